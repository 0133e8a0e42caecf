package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// TestSessions holds the broker to a small reference model of sessions, through any
// history of connecting, leaving, subscribing, publishing, waiting and crashes:
// whether a session is there, what each client gets, once and in which order, and
// what it does not get any more. (TestModel is about what is in flight.)
func TestSessions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 40).Draw(rt, "steps")
		var failure string
		synctest.Test(t, func(t *testing.T) { failure = newWorld(t).run(steps) })
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// step is one thing that happens. Which of its fields matter depends on what.
type step struct {
	what    string
	client  int
	clean   bool
	filter  string
	topic   string
	qos     byte
	retain  bool
	seconds uint32 // session or message expiry, or how long nothing happens
}

func drawStep(t *rapid.T) step {
	return step{
		what: rapid.SampledFrom([]string{
			"connect", "connect", "drop", "leave", "subscribe", "subscribe", "unsubscribe",
			"publish", "publish", "publish", "publish", "wait", "crash",
		}).Draw(t, "what"),
		client:  rapid.IntRange(0, 2).Draw(t, "client"),
		clean:   rapid.IntRange(0, 3).Draw(t, "clean") == 0,
		filter:  rapid.SampledFrom([]string{"a", "#", "a/#", "+", "a/+"}).Draw(t, "filter"),
		topic:   rapid.SampledFrom([]string{"a", "b", "a/x"}).Draw(t, "topic"),
		qos:     rapid.Byte().Draw(t, "qos") % 3,
		retain:  rapid.IntRange(0, 4).Draw(t, "retain") == 0,
		seconds: rapid.SampledFrom([]uint32{0, 0, 7, 31}).Draw(t, "seconds"),
	}
}

func (s step) String() string {
	return fmt.Sprintf("%s client=%d clean=%v filter=%s topic=%s qos=%d retain=%v seconds=%d",
		s.what, s.client, s.clean, s.filter, s.topic, s.qos, s.retain, s.seconds)
}

// world is the broker and the model of it.
type world struct {
	t         *testing.T
	s         *brokertest.Server
	publisher *brokertest.Client
	guests    []*guest
	retained  map[string]letter
	count     int
}

// guest is a client and what the model knows of its session.
type guest struct {
	id     string
	c      *brokertest.Client // nil: away
	there  bool               // there is a session
	expiry time.Duration
	left   time.Time
	filter map[string]byte // granted QoS
	owed   []letter        // while it is away
	want   []letter        // now
	had    map[string]bool // of QoS 1, before a crash: they may come once more
}

// letter is a message on its way to a guest.
type letter struct {
	topic, payload string
	qos            byte
	retain         bool
	until          time.Time // zero: for ever
}

// unsure is how near to its expiry a message or a session may be there or not.
const unsure = 2 * time.Second

func (l letter) expired(now time.Time) (gone, maybe bool) {
	if l.until.IsZero() {
		return false, false
	}
	left := l.until.Sub(now)
	return left <= 0, left.Abs() < unsure
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, retained: map[string]letter{}}
	w.s = brokertest.Start(t, broker.Config{Clock: core.NewClock(), SysInterval: -1})
	for i := range 3 {
		w.guests = append(w.guests, &guest{id: fmt.Sprint("g", i), had: map[string]bool{}})
	}
	w.openPublisher()
	return w
}

func (w *world) openPublisher() {
	w.publisher = w.s.Pipe()
	w.publisher.Connect(clean("publisher"))
}

func (w *world) run(steps []step) (failure string) {
	for i, s := range steps {
		if failure = w.do(s); failure == "" {
			time.Sleep(500 * time.Millisecond) // acknowledgements, a commit, an answer of the log
			synctest.Wait()
			failure = w.look()
		}
		if failure != "" {
			return fmt.Sprintf("step %d, %v: %s", i, s, failure)
		}
	}
	return ""
}

func (w *world) do(s step) (failure string) {
	g := w.guests[s.client]
	switch s.what {
	case "connect":
		return w.connect(g, s)
	case "drop", "leave":
		if g.c != nil {
			if s.what == "leave" {
				g.c.Send(&packet.Disconnect{})
			}
			g.c.Close()
			g.leave()
		}
	case "subscribe":
		w.subscribe(g, s)
	case "unsubscribe":
		if g.c != nil {
			g.c.Send(&packet.Unsubscribe{PacketID: g.c.NextID(), Filters: [][]byte{[]byte(s.filter)}})
			delete(g.filter, s.filter)
		}
	case "publish":
		w.publish(s)
	case "wait":
		time.Sleep(time.Duration(s.seconds) * time.Second)
	case "crash":
		w.crash()
	}
	return ""
}

func (g *guest) leave() {
	g.c, g.left = nil, time.Now()
	if g.expiry == 0 {
		g.there = false
	}
}

func (w *world) connect(g *guest, s step) (failure string) {
	if g.c != nil {
		g.c.Close()
		g.leave()
		synctest.Wait()
	}
	left := g.expiry - time.Since(g.left)
	if g.there && left.Abs() < unsure {
		s.clean = true // whether it is there does not matter then
	}
	present := g.there && left > 0 && !s.clean
	if !present {
		g.there, g.filter, g.owed = true, map[string]byte{}, nil
	}
	g.expiry = time.Duration(s.seconds) * time.Second
	hello := packet.Connect{ClientID: []byte(g.id), CleanStart: s.clean, Properties: &packet.Properties{SessionExpiry: new(s.seconds)}}
	g.c = w.s.Pipe()
	g.c.AcknowledgeAll()
	if got := g.c.Connect(hello).SessionPresent; got != present {
		return fmt.Sprintf("session present is %v", got)
	}
	g.want, g.owed = g.owed, nil
	return ""
}

func (w *world) subscribe(g *guest, s step) {
	if g.c == nil {
		return
	}
	g.filter[s.filter] = s.qos
	g.c.Send(&packet.Subscribe{PacketID: g.c.NextID(), Filters: []packet.Filter{{Filter: []byte(s.filter), Options: packet.Options(s.qos)}}})
	for _, name := range slices.Sorted(maps.Keys(w.retained)) {
		if topic.Match(s.filter, name) {
			l := w.retained[name]
			l.qos, l.retain = min(l.qos, s.qos), true
			g.want = append(g.want, l)
		}
	}
}

func (w *world) publish(s step) {
	w.count++
	l := letter{topic: s.topic, payload: fmt.Sprint(w.count), qos: s.qos}
	p := packet.Publish{Topic: []byte(s.topic), Payload: []byte(l.payload), QoS: s.qos, Retain: s.retain && s.qos > 0}
	if s.seconds > 0 {
		p.Properties = &packet.Properties{MessageExpiry: new(s.seconds)}
		l.until = time.Now().Add(time.Duration(s.seconds) * time.Second)
	}
	if p.Retain { // of QoS 0 it might not be there after a crash
		w.retained[s.topic] = l
	}
	w.publisher.PublishPacket(p)
	for _, g := range w.guests {
		granted, matched := byte(0), false
		for filter, qos := range g.filter {
			if topic.Match(filter, s.topic) {
				granted, matched = max(granted, qos), true
			}
		}
		to := l
		switch to.qos = min(l.qos, granted); {
		case !matched || !g.there:
		case g.c != nil:
			g.want = append(g.want, to)
		case to.qos > 0:
			g.owed = append(g.owed, to)
		}
	}
}

// crash kills the broker. Before that something is put on disk, and with it all
// that may take its time: that a session is there, and how long.
func (w *world) crash() {
	barrier := w.s.Pipe()
	barrier.Connect(durable("barrier"))
	barrier.Subscribe(fmt.Sprint("barrier/", w.count), 1)
	w.s = w.s.Crash()
	for _, g := range w.guests {
		if g.c != nil {
			g.leave()
		}
	}
	w.openPublisher()
}

// look compares what has come with what the model wants.
func (w *world) look() (failure string) {
	for _, g := range w.guests {
		if g.c == nil {
			g.want = nil
			continue
		}
		var got []letter
		for p, ok := g.c.Poll(); ok; p, ok = g.c.Poll() {
			if m, ok := p.(*packet.Publish); ok {
				got = append(got, letter{topic: string(m.Topic), payload: string(m.Payload), qos: m.QoS, retain: m.Retain})
			}
		}
		for _, name := range []string{"a", "b", "a/x"} { // order is by topic
			if failure = g.compare(about(name, got), about(name, g.want)); failure != "" {
				return failure
			}
		}
		g.want = nil
	}
	return ""
}

func about(topic string, all []letter) (some []letter) {
	for _, l := range all {
		if l.topic == topic {
			some = append(some, l)
		}
	}
	return some
}

func (g *guest) compare(got, want []letter) (failure string) {
	wanted, now := want, time.Now()
	show := func() string { return fmt.Sprintf("%s got %v, want %v", g.id, got, wanted) }
	for _, l := range got {
		for len(want) > 0 && !want[0].is(l) {
			if gone, maybe := want[0].expired(now); !gone && !maybe {
				break
			}
			want = want[1:]
		}
		switch {
		case len(want) > 0 && want[0].is(l):
			if gone, maybe := want[0].expired(now); gone && !maybe {
				return "what has expired came: " + show()
			}
			want = want[1:]
		case l.qos == 1 && g.had[l.payload]: // repeated after a crash
		default:
			return show()
		}
		g.had[l.payload] = true
	}
	for _, l := range want {
		if gone, maybe := l.expired(now); !gone && !maybe {
			return show()
		}
	}
	return ""
}

func (l letter) is(other letter) bool {
	return l.topic == other.topic && l.payload == other.payload && l.qos == other.qos && l.retain == other.retain
}

func (l letter) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s=%s/q%d%s", l.topic, l.payload, l.qos, map[bool]string{true: "/r"}[l.retain]), " ")
}
