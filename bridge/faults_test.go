package bridge_test

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// faultCase is something that happens to an uplink under load: 50 messages a second of
// QoS 1 and 2 on two topics, before, while and after it lasts. Whatever happens,
// five things hold:
//
//	I1  nothing is lost
//	I2  order per topic and QoS, by the first arrival
//	I3  duplicates: at QoS 1 at most a window for each connection, with DUP or the
//	    same weir-id; at QoS 2 none
//	I4  bounded: messages under way, and goroutines
//	I5  healed soon after the end, by itself
type faultCase struct {
	name   string
	change func(*bridge.Config)
	quirks bridgetest.Quirks
	setUp  func(*world)
	do     func(*world) // returns when the fault is over
	check  func(*testing.T, *world)

	heals   time.Duration // default 10 s
	window  int           // default 1000
	dropped core.Reason   // the odd ones are dropped for this reason; "": all arrive
	repeats bool          // QoS 2 may repeat: the upstream has lost our session
	capped  bool          // all arrives at QoS 1 at most, so QoS 2 may repeat
	lossy   bool          // or at QoS 0, so that what is under way at a cut is lost
}

var faultCases = []faultCase{
	{name: "F1 reset", do: func(w *world) {
		for range 5 {
			w.net.Cut()
			time.Sleep(3 * time.Second)
		}
	}},
	{name: "F1 reset and refused", do: func(w *world) {
		w.net.Down(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		w.net.Cut()
		time.Sleep(time.Minute)
		w.net.Down(nil)
	}},
	{name: "F2 black hole", do: func(w *world) {
		w.net.Blackhole()
		time.Sleep(14 * time.Second)
		w.wantState("connected", "")
		time.Sleep(1100 * time.Millisecond) // one and a half keep-alives
	}, check: func(t *testing.T, w *world) {
		if s := w.bridge.Status(); s.Reconnects != 1 {
			t.Errorf("%d reconnects", s.Reconnects)
		}
	}},
	{name: "F3 the upstream stands still", setUp: func(w *world) {
		var gate stoppable
		w.stop3 = &gate
		w.net.Listen(address, func(c net.Conn) { w.up.Serve(&stopped{c, &gate}) })
	}, do: func(w *world) {
		w.stop3.stop()
		time.Sleep(40 * time.Second)
		w.stop3.resume()
	}, heals: 30 * time.Second}, // what stood still may take over the session once, which is a long pause
	{name: "F4 64 kbit/s, 800 ms, 20 % loss", setUp: func(w *world) {
		w.net.SetLine(400*time.Millisecond, 8000, 0.2, 1)
	}, do: func(*world) { time.Sleep(time.Minute) }, heals: time.Minute},
	{name: "F5 flapping for an hour", do: func(w *world) {
		for i := range 240 {
			time.Sleep(time.Duration(500+(i*7919)%29500) * time.Millisecond)
			w.net.Down(&net.OpError{Op: "dial", Err: syscall.ENETUNREACH})
			w.net.Cut()
			time.Sleep(time.Duration(100+(i*104729)%3000) * time.Millisecond)
			w.net.Down(nil)
		}
	}},
	{name: "F6 DNS: no such name", do: func(w *world) {
		w.net.Down(&net.DNSError{Err: "no such host", Name: "cloud", IsNotFound: true})
		w.net.Cut()
		time.Sleep(20 * time.Second)
		w.wantState("waiting", "DNS does not know the name cloud")
		w.net.Down(nil)
	}},
	{name: "F6 DNS: time-out", do: func(w *world) {
		w.net.Down(&net.DNSError{Err: "i/o timeout", Name: "cloud", IsTimeout: true})
		w.net.Cut()
		time.Sleep(20 * time.Second)
		w.wantState("waiting", "DNS gave no answer for cloud: is the network up?")
		w.net.Down(nil)
	}},
	{name: "F7 credentials refused", do: func(w *world) {
		w.up.Change(func(q *bridgetest.Quirks) {
			q.Refuse = func(*packet.Connect) packet.Reason { return packet.BadUserNameOrPassword }
		})
		w.net.Cut()
		time.Sleep(2 * time.Minute)
		if s := w.bridge.Status(); s.State != "refused" || !strings.Contains(s.Error, "check username and password") {
			w.t.Errorf("status %+v", s)
		}
		w.up.Change(func(q *bridgetest.Quirks) { q.Refuse = nil })
	}, heals: 20 * time.Second, check: func(t *testing.T, w *world) { // twice the longest pause, and what piled up
		if n := len(w.up.Connects()); n > 2+2*60/5 {
			t.Errorf("%d attempts in two minutes", n)
		}
	}},
	tlsFault("F8 TLS: expired", -2*time.Hour, -time.Hour, true, "the upstream's certificate expired on"),
	tlsFault("F8 TLS: not yet valid", time.Hour, 2*time.Hour, true, "the upstream's certificate is valid from"),
	tlsFault("F8 TLS: another authority", -time.Hour, time.Hour, false, "signed by an authority that is not trusted"),
	{name: "F9 maximum QoS 0", quirks: bridgetest.Quirks{MaximumQoS: new(byte(0))}, do: cutOnce, capped: true, lossy: true},
	{name: "F9 maximum QoS 1", quirks: bridgetest.Quirks{MaximumQoS: new(byte(1))}, do: cutOnce, capped: true},
	{name: "F9 no retain", quirks: bridgetest.Quirks{NoRetain: true}, do: cutOnce},
	{name: "F9 packets of 1 KiB", quirks: bridgetest.Quirks{MaxPacket: 1 << 10}, do: func(w *world) {
		w.put(1, "odd", strings.Repeat("x", 2000))
		cutOnce(w)
		w.put(2, "odd", strings.Repeat("x", 2000))
		cutOnce(w)
	}, dropped: core.DroppedTooLarge},
	{name: "F10 receive maximum 1", quirks: bridgetest.Quirks{ReceiveMaximum: 1}, do: cutOnce, window: 1, heals: time.Minute},
	{name: "F10 receive maximum 20", quirks: bridgetest.Quirks{ReceiveMaximum: 20}, do: cutOnce, window: 20},
	{name: "F10 quota 0x97 for a while", do: func(w *world) {
		w.up.Change(func(q *bridgetest.Quirks) {
			q.Publish = func(bridgetest.Received) bridgetest.Reaction {
				return bridgetest.Reaction{Answer: packet.QuotaExceeded}
			}
		})
		time.Sleep(30 * time.Second)
		w.up.Change(func(q *bridgetest.Quirks) { q.Publish = nil })
	}},
	{name: "F10 server busy", do: func(w *world) { refuse(w, packet.ServerBusy) }},
	{name: "F10 use another server", do: func(w *world) { refuse(w, packet.UseAnotherServer) }, heals: 20 * time.Second},
	{name: "F11 our session is lost", do: func(w *world) {
		for range 3 {
			w.net.Down(syscall.ECONNREFUSED)
			w.net.Cut()
			time.Sleep(time.Second)
			w.up.Wipe()
			w.net.Down(nil)
			time.Sleep(8 * time.Second)
		}
	}, repeats: true},
	// What the upstream has acknowledged is its own: it is not kept, and not sent again.
	{name: "F12 the upstream acknowledges, then loses", do: func(w *world) {
		for range 3 {
			time.Sleep(7 * time.Second) // longer than the back-off: what the cut left open is acknowledged
			w.lose(w.up.Lose())
			time.Sleep(time.Second) // the acknowledgements of all that arrive
			w.net.Cut()
			synctest.Wait() // the upstream has seen that
			w.up.Wipe()
		}
	}, repeats: true, check: func(t *testing.T, w *world) {
		if len(w.upLost) == 0 {
			t.Error("the upstream has lost nothing")
		}
		for _, r := range w.up.Got() {
			if w.upLost[r.Payload] {
				t.Errorf("%s was acknowledged and came again", r.Payload)
			}
		}
	}},
	{name: "F14 another with our client id", do: func(w *world) {
		for range 4 {
			w.rival()
			time.Sleep(10 * time.Second)
		}
		if s := w.bridge.Status(); s.State != "connected" || !strings.Contains(s.Error, "another client uses the same client_id") {
			w.t.Errorf("status %+v", s)
		}
	}, heals: 20 * time.Second, check: func(t *testing.T, w *world) {
		if n := len(w.up.Connects()); n > 4+1+5 {
			t.Errorf("%d connections: they throw each other out", n)
		}
	}},
	{name: "F15 killed", do: func(w *world) {
		for i := range 20 {
			time.Sleep(time.Duration(1+(i*7919)%997) * time.Millisecond)
			w.crash()
		}
	}},
	{name: "F15 killed in an outage", do: func(w *world) {
		w.net.Down(syscall.ECONNREFUSED)
		w.net.Cut()
		for range 5 {
			time.Sleep(time.Second)
			w.crash()
		}
		w.net.Down(nil)
	}},
}

// crash is a SIGKILL and a start: what is not on disk is gone.
func (w *world) crash() {
	w.crashing.Lock()
	defer w.crashing.Unlock()
	next := w.local.Crash()
	w.net.Cut()
	w.stop()
	w.local = next
	w.start()
}

// lose notes what the upstream has lost.
func (w *world) lose(got []bridgetest.Received) {
	if w.upLost == nil {
		w.upLost = make(map[string]bool)
	}
	for _, r := range got {
		w.upLost[r.Payload] = true
	}
}

func cutOnce(w *world) {
	time.Sleep(5 * time.Second)
	w.net.Cut()
	time.Sleep(5 * time.Second)
}

func refuse(w *world, reason packet.Reason) {
	w.up.Change(func(q *bridgetest.Quirks) {
		q.Refuse = func(*packet.Connect) packet.Reason { return reason }
	})
	w.up.Kick(reason)
	time.Sleep(30 * time.Second)
	w.up.Change(func(q *bridgetest.Quirks) { q.Refuse = nil })
}

// rival connects with the bridge's client id, and is thrown out in turn.
func (w *world) rival() {
	c, err := w.net.Dial(context.Background(), address)
	if err != nil {
		w.t.Error(err)
		return
	}
	p := packet.Connect{Version: packet.V5, ClientID: []byte("gw-1"), Properties: &packet.Properties{SessionExpiry: new(uint32(0xFFFFFFFF))}}
	c.Write(p.AppendTo(nil, packet.V5))
	time.Sleep(time.Second)
	c.Close()
}

func TestFaults(t *testing.T) {
	for _, tc := range faultCases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, tc.run)
		})
	}
}

func (f *faultCase) run(t *testing.T) {
	w := newWorld(t, func(c *bridge.Config) {
		c.Keepalive = 10 * time.Second
		c.Backoff = bridge.Backoff{Min: time.Second, Max: 5 * time.Second}
		if f.change != nil {
			f.change(c)
		}
	})
	w.net.SetLatency(20 * time.Millisecond)
	w.up.Quirks = f.quirks
	if f.setUp != nil {
		f.setUp(w)
	}
	w.start()
	after(time.Second)
	goroutines := runtime.NumGoroutine()
	load := startLoad(w)
	time.Sleep(5 * time.Second)
	f.do(w)
	load.stop()

	time.Sleep(or(f.heals, 10*time.Second)) // I5
	synctest.Wait()
	if s := w.bridge.Status(); s.State != "connected" {
		t.Errorf("state %s: %s", s.State, s.Error)
	}
	w.wantOwed(0)
	most := or(f.window, 1000)
	if load.inflight > most { // I4
		t.Errorf("%d messages under way, the window is %d", load.inflight, most)
	}
	if n := runtime.NumGoroutine(); n > goroutines+4 {
		t.Errorf("%d goroutines before the fault, %d after it", goroutines, n)
	}
	f.audit(t, w, load.sent)
	if f.check != nil {
		f.check(t, w)
	}
	w.end()
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// audit is I1 to I3.
func (f *faultCase) audit(t *testing.T, w *world, sent []string) {
	first := make(map[string]int)
	repeats := 0
	for i, r := range w.up.Got() {
		at, again := first[r.Payload]
		switch {
		case !again:
			first[r.Payload] = i
		case r.QoS == 2 && !f.repeats && !f.capped:
			t.Errorf("%s arrived twice at QoS 2", r.Payload)
		case !r.Dup && r.User["weir-id"] == "":
			t.Errorf("%s came again, without DUP and weir-id; first as number %d", r.Payload, at)
		default:
			repeats++
		}
	}
	if most := len(w.up.Connects()) * or(f.window, 1000); repeats > most {
		t.Errorf("%d duplicates, more than %d", repeats, most)
	}
	last := make(map[string]int)
	lost := 0
	for _, p := range sent {
		kind, _, _ := strings.Cut(p, "-")
		at, ok := first[p]
		switch {
		case w.upLost[p]:
		case !ok:
			lost++
		case at < last[kind]:
			t.Errorf("%s arrived before one that was sent before it", p)
		default:
			last[kind] = at
		}
	}
	if lost > 0 && (!f.lossy || lost > 3*len(w.up.Connects())) {
		t.Errorf("%d of %d messages were lost", lost, len(sent))
	}
	drops := w.bridge.Status().Rules[0].Dropped
	for why, n := range drops {
		if n > 0 && why != f.dropped {
			t.Errorf("%d dropped: %s", n, why)
		}
	}
	if f.dropped != "" && drops[f.dropped] == 0 {
		t.Errorf("none was dropped as %s", f.dropped)
	}
}

// load is 50 messages a second.
type load struct {
	quit, done chan struct{}
	sent       []string
	inflight   int // the most at a time
}

func startLoad(w *world) *load {
	l := &load{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.quit:
				return
			case <-tick.C:
			}
			topic, qos := []string{"a", "b"}[i%2], core.QoS(1+i/2%2)
			payload := topic + strconv.Itoa(int(qos)) + "-" + strconv.Itoa(i)
			l.sent = append(l.sent, payload)
			w.crashing.Lock()
			w.put(qos, topic, payload)
			l.inflight = max(l.inflight, w.bridge.Status().Inflight)
			w.crashing.Unlock()
		}
	}()
	return l
}

func (l *load) stop() {
	close(l.quit)
	<-l.done
}

// stoppable stops whoever reads or writes through it, as SIGSTOP does.
type stoppable struct{ gate atomic.Pointer[chan struct{}] }

func (s *stoppable) stop()   { s.gate.Store(new(make(chan struct{}))) }
func (s *stoppable) resume() { close(*s.gate.Load()) }

// stopped is a server's end of a connection that is as slow as its process.
type stopped struct {
	net.Conn
	by *stoppable
}

func (s *stopped) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if gate := s.by.gate.Load(); gate != nil {
		<-*gate
	}
	return n, err
}
