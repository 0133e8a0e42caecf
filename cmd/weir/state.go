package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weir-edge/weir/core"
)

// The gateway tells its own state on retained topics under weir/<gateway>/:
//
//	info              what it is and what it runs; once
//	health            "ok", or what is wrong with it, in plain words; "stopped" at the end
//	buffer            the store, as in the console's JSON
//	adapters/<name>   one adapter with its devices
//	bridges/<name>    one bridge with its rules
//
// What has become different in kind (a state, an error, a device that is down, a
// message that was dropped) is told within stateLook; numbers are told every
// stateEvery. What has not changed is not told again. Nothing of it is written to
// disk.
const (
	stateLook  = 500 * time.Millisecond
	stateEvery = 10 * time.Second
)

// stateTeller belongs to its goroutine.
type stateTeller struct {
	prefix string
	status func(context.Context) (core.Status, error)
	tell   func(*core.Message) error

	last map[string]told // by topic
	next time.Time       // when numbers are told again
}

// told is what was said last under a topic.
type told struct{ kind, payload string }

// gatewayInfo is what weir/<gateway>/info says.
type gatewayInfo struct {
	Gateway  string    `json:"gateway"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Adapters []string  `json:"adapters"`
	Bridges  []string  `json:"bridges"`
}

// gatewayHealth is what weir/<gateway>/health says.
type gatewayHealth struct {
	State       string   `json:"state"` // "ok", "degraded", "stopped"
	Problems    []string `json:"problems"`
	ClockSynced bool     `json:"clock_synced"`
}

// newStateTeller makes the teller of a gateway.
func newStateTeller(gateway string, status func(context.Context) (core.Status, error), tell func(*core.Message) error) *stateTeller {
	return &stateTeller{prefix: "weir/" + gateway + "/", status: status, tell: tell, last: make(map[string]told)}
}

// run tells until ctx ends, and then that the gateway stops.
func (t *stateTeller) run(ctx context.Context) error {
	tick := time.NewTicker(stateLook)
	defer tick.Stop()
	for {
		if s, err := t.status(ctx); err == nil { // without one the broker has stopped
			t.look(&s, time.Now())
		}
		select {
		case <-ctx.Done():
			t.say("health", "", gatewayHealth{State: "stopped", Problems: []string{}}, true)
			return nil
		case <-tick.C:
		}
	}
}

// look tells what has changed.
func (t *stateTeller) look(s *core.Status, now time.Time) {
	numbers := !now.Before(t.next)
	if numbers {
		t.next = now.Add(stateEvery)
	}
	t.say("info", "", infoOf(s), numbers)
	problems := problemsOf(s)
	health := gatewayHealth{State: choose(len(problems) == 0, "ok", "degraded"), Problems: problems, ClockSynced: s.ClockSynced}
	t.say("health", fmt.Sprint(health), health, numbers)
	t.say("buffer", s.Buffer.State+s.Buffer.Error+fmt.Sprint(s.Buffer.Dropped), s.Buffer, numbers)
	for i := range s.Adapters {
		a := &s.Adapters[i]
		t.say("adapters/"+a.Name, kindOfAdapter(a), a, numbers)
	}
	for i := range s.Bridges {
		b := &s.Bridges[i]
		t.say("bridges/"+b.Name, b.State+b.Error, b, numbers)
	}
}

// say publishes v under a topic when its kind has changed, or, with numbers,
// anything of it.
func (t *stateTeller) say(name, kind string, v any, numbers bool) {
	old, before := t.last[name]
	if before && old.kind == kind && !numbers {
		return
	}
	payload, err := json.Marshal(v)
	if err != nil || before && old.payload == string(payload) {
		return
	}
	m := &core.Message{Topic: t.prefix + name, Payload: payload, Retain: true, Publisher: "$SYS"}
	if t.tell(m) == nil { // else the mailbox is full; the next look tries again
		t.last[name] = told{kind: kind, payload: string(payload)}
	}
}

func infoOf(s *core.Status) gatewayInfo {
	info := gatewayInfo{Gateway: s.Gateway, Version: s.Version, Started: s.Started, Adapters: []string{}, Bridges: []string{}}
	for _, a := range s.Adapters {
		info.Adapters = append(info.Adapters, a.Name)
	}
	for _, b := range s.Bridges {
		info.Bridges = append(info.Bridges, b.Name)
	}
	return info
}

// kindOfAdapter changes with the state of the adapter and of its devices, also when
// it is what it was again.
func kindOfAdapter(a *core.AdapterStatus) string {
	kind := fmt.Sprintf("%s%s %d %t", a.State, a.Error, a.Since.UnixNano(), a.Possible > 0)
	for _, d := range a.Devices {
		kind += fmt.Sprintf(" %s %t", d.Name, d.Up)
	}
	return kind
}

// problemsOf says in plain words what somebody should look at.
func problemsOf(s *core.Status) []string {
	problems := []string{}
	if s.Buffer.State != "ok" {
		problems = append(problems, fmt.Sprintf("store %s: %s", s.Buffer.State, s.Buffer.Error))
	}
	if n := s.Buffer.Quarantined; n > 0 {
		problems = append(problems, fmt.Sprintf("store: %d damaged parts in quarantine", n))
	}
	for _, b := range s.Bridges {
		if b.State != "connected" && b.State != "resting" || b.Error != "" {
			problems = append(problems, fmt.Sprintf("bridge %s %s: %s", b.Name, b.State, b.Error))
		}
	}
	for _, a := range s.Adapters {
		if a.State != "running" {
			problems = append(problems, fmt.Sprintf("adapter %s %s: %s", a.Name, a.State, a.Error))
			continue
		}
		if a.Possible > 0 {
			problems = append(problems, fmt.Sprintf("adapter %s: %s", a.Name, overload(&a)))
		}
		for _, d := range a.Devices {
			if !d.Up {
				problems = append(problems, fmt.Sprintf("device %s of adapter %s does not answer: %s", d.Name, a.Name, d.Error))
			}
		}
	}
	return problems
}
