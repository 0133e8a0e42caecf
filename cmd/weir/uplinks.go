package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/console"
)

// attached is a bridge with what belongs to it.
type attached struct {
	*bridge.Bridge
	name       string
	cfg        bridge.Config            // as configured
	file       string                   // where, if it was added at work
	queues     map[string]*broker.Queue // by the rule's name
	quarantine *quarantine
	run        *background // set by run and reload
}

// status adds what the bridge does not know.
func (a *attached) status() core.BridgeStatus {
	s := a.Status()
	s.Quarantined, s.File = a.quarantine.len(), a.file
	return s
}

// command is what the console may ask of a bridge.
func (g *gateway) command(_ context.Context, name, rule, verb string) (string, error) {
	for _, a := range g.uplinks() {
		switch {
		case a.name != name:
		case rule != "":
			return a.commandRule(rule, verb)
		default:
			return a.command(verb)
		}
	}
	return "", fmt.Errorf("bridge %s is %w", name, console.ErrUnknown)
}

func (a *attached) commandRule(rule, verb string) (answer string, err error) {
	switch verb {
	case "pause":
		answer, err = "paused: what is for this rule is kept", a.PauseRule(rule)
	case "resume":
		answer, err = "resumed", a.ResumeRule(rule)
	default:
		return "", fmt.Errorf("command %s is %w for a rule: there are pause and resume", verb, console.ErrUnknown)
	}
	if errors.Is(err, bridge.ErrNoRule) {
		err = fmt.Errorf("the rule is %w: %w", console.ErrUnknown, err)
	}
	return answer, err
}

func (a *attached) command(verb string) (string, error) {
	switch verb {
	case "pause":
		a.Pause()
		return "paused: what is for the upstream is kept", nil
	case "resume":
		a.Resume()
		return "resumed", nil
	case "replay":
		n, err := a.quarantine.release(func(rule string, m *core.Message) error {
			q := a.queues[a.name+" "+rule]
			if q == nil {
				return fmt.Errorf("the rule %s is not configured any more", rule)
			}
			return q.Owe(m)
		})
		done := fmt.Sprintf("%d messages go out of quarantine again", n)
		if err != nil {
			err = fmt.Errorf("%s, the others stay: %w", done, err)
		}
		return done, err
	}
	return "", fmt.Errorf("command %s is %w: there are pause, resume and replay", verb, console.ErrUnknown)
}
