package bridge_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
)

// change stops the bridge and starts it with another configuration, as a reload does.
func (w *world) change(change func(*bridge.Config)) (ended bool, err error) {
	w.t.Helper()
	w.stop()
	old := w.bridge
	change(&w.cfg)
	w.prepare(old)
	ended, err = w.bridge.Leave(w.t.Context(), old)
	w.run()
	return ended, err
}

// TestLeave: a bridge that goes on as another client or at other servers leaves no session
// behind and no state, nothing that is held back there is lost, and what it goes on with
// is not touched.
func TestLeave(t *testing.T) {
	const state = "gw/state"
	for name, tc := range map[string]struct {
		change       func(*bridge.Config)
		ended        bool
		cloud, spare []string // sessions
		states       []string // on the topic gw/state at cloud, from the end of the first bridge on
	}{
		"nothing": {
			change: func(c *bridge.Config) { c.MaxInflight = 7 },
			cloud:  []string{"gw-1"}, states: []string{"online"},
		},
		"client id": {
			change: func(c *bridge.Config) { c.ClientID = "gw-2" },
			ended:  true, cloud: []string{"gw-2"}, states: []string{"online"},
		},
		"client id and state": {
			change: func(c *bridge.Config) { c.ClientID, c.StateTopic = "gw-2", "other" },
			ended:  true, cloud: []string{"gw-2"}, states: []string{"", ""}, // before, and for those that share a session
		},
		"state": {
			change: func(c *bridge.Config) { c.StateTopic = "other" },
			cloud:  []string{"gw-1"}, states: []string{""},
		},
		"server": {
			change: func(c *bridge.Config) { c.URLs = []string{"mqtt://spare"} },
			ended:  true, spare: []string{"gw-1"}, states: []string{""},
		},
		"the same server by another name": {
			change: func(c *bridge.Config) { c.URLs = []string{"mqtt://alias"} },
			ended:  true, cloud: []string{"gw-1"}, states: []string{"", "online"},
		},
		"a server more": {
			change: func(c *bridge.Config) { c.URLs = []string{"mqtt://cloud", "mqtt://spare"} },
			cloud:  []string{"gw-1"}, states: []string{"online"},
		},
	} {
		for _, protocol := range []string{"5", "3.1.1"} {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(c *bridge.Config) { c.StateTopic, c.Protocol = state, protocol })
					spare := new(bridgetest.Upstream)
					w.net.Listen("spare:1883", spare.Serve)
					w.net.Listen("alias:1883", w.up.Serve)
					w.net.SetLatency(50 * time.Millisecond)
					w.start()
					after(time.Second)
					w.put(2, "a", "1")
					time.Sleep(130 * time.Millisecond) // PUBREC has come, and PUBREL is on its way
					w.net.Down(errors.New("no route"))
					w.net.Cut()
					after(time.Second)
					w.net.Down(nil)
					had := len(w.up.Got())
					ended, err := w.change(tc.change)
					if ended != tc.ended || err != nil {
						t.Errorf("ended %v, %v", ended, err)
					}
					after(time.Minute)
					w.put(2, "a", "2")
					after(time.Second)
					if n := w.up.Discarded(); n > 0 {
						t.Errorf("%d messages that the upstream had were lost", n)
					}
					if diff := cmp.Diff([][]string{tc.cloud, tc.spare}, [][]string{w.up.Sessions(), spare.Sessions()}); diff != "" {
						t.Errorf("sessions (-want +got):\n%s", diff)
					}
					var states []string
					for _, r := range w.up.Got()[had:] {
						if r.Topic == state && r.Retain {
							states = append(states, r.Payload)
						}
					}
					if diff := cmp.Diff(tc.states, states); diff != "" {
						t.Errorf("states (-want +got):\n%s", diff)
					}
					var all []string
					for _, r := range append(w.up.Got(), spare.Got()...) {
						if r.Topic == "a" {
							all = append(all, r.Payload)
						}
					}
					if diff := cmp.Diff([]string{"1", "2"}, all); diff != "" {
						t.Errorf("messages (-want +got):\n%s", diff)
					}
					w.end()
				})
			})
		}
	}
}

// TestLeaveInVain: a server that is away costs some seconds and is named.
func TestLeaveInVain(t *testing.T) {
	for name, away := range map[string]func(*world){
		"no route": func(w *world) { w.net.Listen(address, nil) },
		"no answer": func(w *world) {
			w.net.Listen(address, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				spare := new(bridgetest.Upstream)
				w.net.Listen("spare:1883", spare.Serve)
				w.start()
				after(time.Second)
				away(w)
				w.net.Cut()
				began := time.Now()
				ended, err := w.change(func(c *bridge.Config) { c.URLs = []string{"mqtt://spare"} })
				if took := time.Since(began); !ended || err == nil || !strings.Contains(err.Error(), "mqtt://cloud:1883: ") || took > 8*time.Second {
					t.Errorf("ended %v, %v, after %v", ended, err, took)
				}
				w.put(2, "a", "1")
				after(time.Second)
				if diff := cmp.Diff([]string{"1"}, payloads(spare.Got())); diff != "" {
					t.Error(diff)
				}
				w.end()
			})
		})
	}
}

// TestEndSession: the bridge is removed with a message that the upstream holds back.
func TestEndSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.StateTopic = "state" })
		w.net.SetLatency(50 * time.Millisecond)
		w.start()
		after(time.Second)
		w.put(2, "a", "1")
		time.Sleep(130 * time.Millisecond)
		w.net.Cut()
		w.stop()
		if err := w.bridge.EndSession(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		got := w.up.Got()
		if last := got[len(got)-1]; last.Topic != "state" || last.Payload != "" || !last.Retain {
			t.Errorf("at last %+v", last)
		}
		if s, n := w.up.Sessions(), w.up.Discarded(); len(s) > 0 || n > 0 {
			t.Errorf("sessions %q, %d messages lost", s, n)
		}
		w.net.Close()
	})
}

// TestOtherClientAfterARestart: packet ids belong to the session of one client id, also when
// that is changed while the gateway does not run.
func TestOtherClientAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.cfg.KeepHome = func(session string) error { w.cfg.Home = session; return nil }
		var clean []bool
		for _, id := range []string{"gw-1", "gw-2", "gw-2", "gw-1"} {
			w.cfg.ClientID = id
			w.start()
			after(time.Second)
			w.stop()
			all := w.up.Connects()
			clean = append(clean, all[len(all)-1].CleanStart)
		}
		if diff := cmp.Diff([]bool{false, true, false, true}, clean); diff != "" {
			t.Errorf("Clean Start (-want +got):\n%s", diff)
		}
		w.net.Close()
	})
}
