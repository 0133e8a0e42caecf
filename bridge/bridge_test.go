package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a bridge between a local broker and an upstream, in memory.
type world struct {
	t     testing.TB
	cfg   bridge.Config
	clock *core.Clock
	net   *bridgetest.Network
	up    *bridgetest.Upstream
	local *bridgetest.Local

	bridge *bridge.Bridge
	cancel context.CancelFunc
	done   chan error

	crashing sync.Mutex      // held while local and bridge change
	upLost   map[string]bool // payloads, in F12

	stop3   *stoppable // in F3
	swapped bool       // with a live share: the first queue is that of what is new
}

const address = "cloud:1883"

// newWorld is a world with one out rule for everything at QoS 2; change may alter
// the configuration.
func newWorld(t testing.TB, change func(*bridge.Config)) *world {
	w := &world{
		t: t, clock: core.NewClock(), net: new(bridgetest.Network), up: new(bridgetest.Upstream),
		local: bridgetest.NewLocal(5 * time.Millisecond),
	}
	w.cfg = bridge.Config{
		Name: "cloud", Gateway: "gw", URLs: []string{"mqtt://cloud"}, ClientID: "gw-1",
		Out:   []bridge.OutRule{{Filter: "#", QoS: 2}},
		Clock: w.clock, Dial: w.net.Dial,
	}
	if change != nil {
		change(&w.cfg)
	}
	w.net.Listen(address, w.up.Serve)
	for range w.cfg.Out {
		w.local.NewQueue()
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.startAs(nil)
}

// startAs is start of a bridge that takes over from one that has ended.
func (w *world) startAs(old *bridge.Bridge) {
	w.t.Helper()
	w.prepare(old)
	w.run()
}

// prepare makes the bridge.
func (w *world) prepare(old *bridge.Bridge) {
	w.t.Helper()
	var queues []bridge.Queue
	for _, q := range w.local.Queues() {
		queues = append(queues, q)
	}
	if w.cfg.Drain.LiveShare > 0 {
		queues = []bridge.Queue{bridge.Parts{Queue: queues[0], Beside: queues[1], Fresh: func() bool { return w.swapped }}}
	}
	link := bridge.LinkState{Owner: w.local.Owner(), Incoming: w.local.Incoming(), Outgoing: w.local.Outgoing()}
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := bridge.New(w.cfg, queues, link, w.local, log)
	if err != nil {
		w.t.Fatal(err)
	}
	if old != nil {
		b.Inherit(old)
	}
	w.bridge = b
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan error, 1)
	go func(b *bridge.Bridge, done chan<- error) { done <- b.Run(ctx) }(w.bridge, w.done)
}

func (w *world) stop() {
	w.t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

// end stops everything and reports what the upstream did not like.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	w.net.Close()
	synctest.Wait()
	for _, v := range w.up.Violations() {
		w.t.Errorf("the upstream saw %s", v)
	}
}

func (w *world) put(qos core.QoS, topic, payload string) core.Seq {
	return w.putMessage(&core.Message{Topic: topic, Payload: []byte(payload), QoS: qos})
}

func (w *world) putMessage(m *core.Message) core.Seq {
	m.Received = w.clock.Now()
	return w.local.Queues()[0].Put(m)
}

// after lets time pass until everything rests.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func payloads(got []bridgetest.Received) (out []string) {
	for _, r := range got {
		out = append(out, r.Payload)
	}
	return out
}

func (w *world) wantPayloads(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, payloads(w.up.Got())); diff != "" {
		w.t.Errorf("arrived upstream (-want +got):\n%s", diff)
	}
}

func (w *world) wantOwed(want uint64) {
	w.t.Helper()
	if got := w.local.Queues()[0].Owed(); got != want {
		w.t.Errorf("%d messages are owed, want %d", got, want)
	}
}

func (w *world) wantState(state, errorText string) {
	w.t.Helper()
	s := w.bridge.Status()
	if s.State != state || s.Error != errorText {
		w.t.Errorf("state %q (%s), want %q (%s)", s.State, s.Error, state, errorText)
	}
}

func numbers(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestOut(t *testing.T) {
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Protocol = protocol })
				w.start()
				after(time.Second)
				for i := range 300 {
					w.put(core.QoS(i%3), "plant/a", fmt.Sprint(i))
				}
				after(time.Second)
				w.wantPayloads(numbers(300)...)
				w.wantOwed(0)
				if n := len(w.local.Outgoing()); n != 0 {
					t.Errorf("%d packet ids are still on record", n)
				}
				s := w.bridge.Status()
				if s.State != "connected" || s.Published != 300 || s.Inflight != 0 || s.Rules[0].Messages != 300 {
					t.Errorf("status %+v", s)
				}
				w.end()
			})
		})
	}
}

func TestTopics(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rule  bridge.OutRule
		local string
		want  string
	}{
		{"as it is", bridge.OutRule{Filter: "plant/#"}, "plant/a", "plant/a"},
		{"remote prefix", bridge.OutRule{Filter: "plant/#", RemotePrefix: "site7/"}, "plant/a", "site7/plant/a"},
		{"local prefix", bridge.OutRule{Filter: "#", LocalPrefix: "plant/"}, "plant/a", "a"},
		{"both", bridge.OutRule{Filter: "#", LocalPrefix: "plant/", RemotePrefix: "s/"}, "plant/a/b", "s/a/b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Out = []bridge.OutRule{tc.rule} })
				w.start()
				after(time.Second)
				w.put(0, tc.local, "x")
				after(time.Second)
				if got := w.up.Got(); len(got) != 1 || got[0].Topic != tc.want {
					t.Errorf("arrived as %v, want %s", got, tc.want)
				}
				w.end()
			})
		})
	}
}

func TestRetain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy string
		quirks bridgetest.Quirks
		want   bool
	}{
		{"kept", bridge.Keep, bridgetest.Quirks{}, true},
		{"stripped", bridge.Strip, bridgetest.Quirks{}, false},
		{"not available [MQTT-3.2.2-14]", bridge.Keep, bridgetest.Quirks{NoRetain: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Out[0].Retain = tc.policy })
				w.up.Quirks = tc.quirks
				w.start()
				w.putMessage(&core.Message{Topic: "a", QoS: 1, Retain: true})
				after(time.Second)
				if got := w.up.Got(); len(got) != 1 || got[0].Retain != tc.want {
					t.Errorf("arrived: %v", got)
				}
				w.end()
			})
		})
	}
}

func TestQoSCap(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rule   core.QoS
		quirks bridgetest.Quirks
		want   []byte
	}{
		{"rule 1", 1, bridgetest.Quirks{}, []byte{0, 1, 1}},
		{"rule 0", 0, bridgetest.Quirks{}, []byte{0, 0, 0}},
		{"Maximum QoS 1 [MQTT-3.2.2-11]", 2, bridgetest.Quirks{MaximumQoS: new(byte(1))}, []byte{0, 1, 1}},
		{"Maximum QoS 0", 2, bridgetest.Quirks{MaximumQoS: new(byte(0))}, []byte{0, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Out[0].QoS = tc.rule })
				w.up.Quirks = tc.quirks
				w.start()
				after(time.Second)
				for qos := range core.QoS(3) {
					w.put(qos, "a", fmt.Sprint(qos))
				}
				after(time.Second)
				var got []byte
				for _, r := range w.up.Got() {
					got = append(got, r.QoS)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
				w.wantOwed(0)
				w.end()
			})
		})
	}
}

// The upstream notes a violation when the window is exceeded; here it must also
// be used.
func TestReceiveMaximum(t *testing.T) {
	for _, tc := range []struct {
		quirk uint16
		max   int
		want  int
	}{{10, 0, 10}, {0, 0, 1000}, {50, 20, 20}} {
		t.Run(fmt.Sprint(tc.quirk), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.MaxInflight = tc.max })
				w.up.Quirks.ReceiveMaximum = tc.quirk
				w.net.SetLatency(50 * time.Millisecond) // 100 ms there and back
				for i := range 2000 {
					w.put(1, "a", fmt.Sprint(i))
				}
				w.start()
				after(150 * time.Millisecond) // CONNECT, CONNACK, first window
				if got := len(w.up.Got()); got != tc.want {
					t.Errorf("%d messages in the first window, want %d", got, tc.want)
				}
				if s := w.bridge.Status(); s.Window != tc.want || s.Inflight != tc.want {
					t.Errorf("status: in flight %d of %d", s.Inflight, s.Window)
				}
				after(100 * time.Millisecond * time.Duration(2000/tc.want))
				w.wantPayloads(numbers(2000)...)
				if rtt := w.bridge.Status().RTT; rtt < 0.099 || rtt > 0.110 {
					t.Errorf("round trip %vs", rtt)
				}
				w.end()
			})
		})
	}
}

// The window and the round trip are all that limits the drain: 1,000 messages in
// 100 ms. QoS 2 takes two round trips and two syncs.
func TestDrainSpeed(t *testing.T) {
	for _, tc := range []struct {
		qos  core.QoS
		want int // messages a second
	}{{1, 9500}, {2, 4500}} {
		t.Run(fmt.Sprint("QoS ", tc.qos), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.net.SetLatency(50 * time.Millisecond)
				const n = 20_000
				for i := range n {
					w.put(tc.qos, "a", fmt.Sprint(i))
				}
				w.start()
				after(100 * time.Millisecond) // CONNECT and CONNACK
				start := time.Now()
				for w.local.Queues()[0].Owed() > 0 {
					after(10 * time.Millisecond)
				}
				rate := n / time.Since(start).Seconds()
				t.Logf("%.0f messages/s", rate)
				if rate < float64(tc.want) {
					t.Errorf("%.0f messages/s, want %d", rate, tc.want)
				}
				w.wantPayloads(numbers(n)...)
				w.end()
			})
		})
	}
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.up.Quirks.MaxPacket = 1024
		w.start()
		after(time.Second)
		w.put(1, "a", "before")
		w.put(1, "a", string(make([]byte, 1020)))
		w.put(2, "a", string(make([]byte, 5000)))
		w.put(0, "a", string(make([]byte, 1024)))
		fits := string(make([]byte, 1010)) // with a header of 2+2+1+2+1 bytes
		w.put(1, "a", fits)
		w.put(1, "a", "after")
		after(time.Second)
		w.wantPayloads("before", fits, "after")
		w.wantOwed(0)
		if got := w.bridge.Status().Rules[0].Dropped[core.DroppedTooLarge]; got != 3 {
			t.Errorf("%d counted as too large", got)
		}
		w.end()
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.putMessage(&core.Message{Topic: "a", Payload: []byte("old"), QoS: 1, Expiry: 5 * time.Second})
		w.putMessage(&core.Message{Topic: "a", Payload: []byte("good"), QoS: 1, Expiry: 60 * time.Second})
		after(10 * time.Second)
		w.start()
		after(time.Second)
		got := w.up.Got()
		if len(got) != 1 || got[0].Payload != "good" || got[0].Expiry == nil || *got[0].Expiry != 50 {
			t.Errorf("arrived: %+v", got)
		}
		if n := w.bridge.Status().Rules[0].Dropped[core.DroppedExpired]; n != 1 {
			t.Errorf("%d counted as expired", n)
		}
		w.end()
	})
}

func TestNotBackWhereItCameFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		w.putMessage(&core.Message{Topic: "a", QoS: 1, Publisher: "bridge:cloud"})
		w.putMessage(&core.Message{Topic: "a", QoS: 1, Publisher: "bridge:other", Payload: []byte("x")})
		after(time.Second)
		w.wantPayloads("x")
		w.wantOwed(0)
		w.end()
	})
}

func TestStamps(t *testing.T) {
	for _, tc := range []struct {
		stamp string
		wait  time.Duration
		in    bool
		want  map[string]string
	}{
		{bridge.StampBuffered, 0, false, nil},
		{bridge.StampBuffered, 3 * time.Second, false, map[string]string{"weir-id": "gw/1", "weir-ts": "2000-01-01T00:00:00.000Z", "weir-ts-synced": "false"}},
		{bridge.StampAlways, 0, false, map[string]string{"weir-id": "gw/1", "weir-ts": "2000-01-01T00:00:00.000Z", "weir-ts-synced": "false"}},
		{bridge.StampNever, 3 * time.Second, false, nil},
		{bridge.StampNever, 0, true, map[string]string{"weir-hops": "1", "weir-id": "gw/1"}},
	} {
		t.Run(fmt.Sprint(tc.stamp, tc.wait, tc.in), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) {
					c.Out[0].Stamp = tc.stamp
					if tc.in {
						c.In = []bridge.InRule{{Filter: "cmd"}}
					}
				})
				w.put(1, "a", "x")
				time.Sleep(tc.wait)
				w.start()
				after(time.Second)
				got := w.up.Got()
				if len(got) != 1 {
					t.Fatalf("arrived: %v", got)
				}
				if diff := cmp.Diff(tc.want, got[0].User); diff != "" {
					t.Error(diff)
				}
				w.end()
			})
		})
	}
}

// A message sent again carries its id, so that the receiver can tell.
func TestStampWhenSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
			return bridgetest.Reaction{Ignore: !r.Dup}
		}
		w.start()
		after(time.Second)
		w.put(1, "a", "x")
		after(100 * time.Millisecond)
		w.net.Cut()
		after(10 * time.Second)
		got := w.up.Got()
		if len(got) != 1 || got[0].User["weir-id"] != "gw/1" || !got[0].Dup {
			t.Errorf("arrived: %+v", got)
		}
		w.end()
	})
}

func TestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Out = []bridge.OutRule{
				{Filter: "low", QoS: 1}, {Filter: "high", QoS: 1, Priority: 9}, {Filter: "also", QoS: 1},
			}
		})
		w.up.Quirks.ReceiveMaximum = 10
		queues := w.local.Queues()
		for i := range 100 {
			queues[0].Put(&core.Message{Topic: "low", Payload: []byte(fmt.Sprint("l", i)), QoS: 1})
			queues[1].Put(&core.Message{Topic: "high", Payload: []byte(fmt.Sprint("h", i)), QoS: 1})
			queues[2].Put(&core.Message{Topic: "also", Payload: []byte(fmt.Sprint("a", i)), QoS: 1})
		}
		w.start()
		after(time.Second)
		got := payloads(w.up.Got())
		if len(got) != 300 {
			t.Fatalf("%d arrived", len(got))
		}
		for i := range 100 {
			if want := fmt.Sprint("h", i); got[i] != want {
				t.Fatalf("message %d is %s, want %s", i, got[i], want)
			}
		}
		// The two others share.
		first := got[100:200]
		if n := len(slices.DeleteFunc(slices.Clone(first), func(s string) bool { return s[0] == 'a' })); n < 40 || n > 60 {
			t.Errorf("%d of 100 messages are of one of two rules", n)
		}
		w.end()
	})
}

func TestDrainRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Drain = bridge.Drain{Rate: 50, Burst: 20} })
		for i := range 500 {
			w.put(1, "a", fmt.Sprint(i))
		}
		w.start()
		after(time.Millisecond)
		if n := len(w.up.Got()); n != 20 {
			t.Errorf("a burst of %d, want 20", n)
		}
		after(4 * time.Second)
		if n := len(w.up.Got()); n < 210 || n > 221 {
			t.Errorf("%d after 4 s at 50/s, want 20 + 200", n)
		}
		after(6 * time.Second)
		w.wantPayloads(numbers(500)...)
		w.end()
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.net.SetLatency(100 * time.Millisecond)
		w.start()
		after(time.Second)
		for i := range 10 {
			w.put(2, "a", fmt.Sprint(i))
		}
		after(50 * time.Millisecond)
		start := time.Now()
		w.stop() // waits for what is under way: two round trips and two syncs
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("stopping took %v", took)
		}
		w.wantPayloads(numbers(10)...)
		w.wantOwed(0)
		after(time.Second)
		if n := len(w.local.Outgoing()); n != 0 {
			t.Errorf("%d packet ids are left on record", n)
		}
		w.net.Close()
	})
}

func TestStopWhileTheUpstreamIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		after(time.Second)
		w.net.Blackhole()
		w.put(1, "a", "x")
		synctest.Wait()
		start := time.Now()
		w.stop()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("stopping took %v", took)
		}
		w.wantOwed(1)
		w.net.Close()
	})
}

func TestConnectPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Username, c.Password = "u", "p"
			c.Keepalive = 20 * time.Second
			c.SessionExpiry = time.Hour
		})
		w.start()
		after(time.Second)
		got := w.up.Connects()[0]
		got.Properties = &packet.Properties{SessionExpiry: got.Properties.SessionExpiry}
		want := packet.Connect{
			Version: packet.V5, Keepalive: 20, ClientID: []byte("gw-1"),
			HasUsername: true, HasPassword: true, Username: []byte("u"), Password: []byte("p"),
			Properties: &packet.Properties{SessionExpiry: new(uint32(3600))},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		w.end()
	})
}
