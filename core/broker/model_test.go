package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestModel lets publishers, receivers and a bridge do what comes to their minds,
// with lost connections, slow readers, commits that take their time and crashes,
// and then holds the broker to its promise:
//
//   - what was acknowledged to a publisher reaches every durable receiver
//   - at QoS 2 (published and granted) exactly once
//   - in the order of its publisher, for each topic, whatever the QoS
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		if ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newModel(t, seed).run() })
		}); !ok {
			return
		}
	}
}

type model struct {
	t          *testing.T
	rand       *rand.Rand
	cfg        broker.Config
	s          *brokertest.Server
	publishers []*publisher
	receivers  []*reader
	uplink     *bridged
	held       bool
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 1)), cfg: broker.Config{
		Clock:  core.NewClock(),
		Limits: broker.Limits{MaxInflight: 5, MaxClientMessages: 10, ReceiveMaximum: 20},
	}}
	m.s = brokertest.Start(t, m.cfg)
	for i := range 3 {
		m.publishers = append(m.publishers, &publisher{model: m, id: fmt.Sprint("p", i), durable: i > 0})
	}
	for i, qos := range []byte{1, 2, 2} {
		r := &reader{inbox: newInbox(fmt.Sprint("r", i), qos), model: m, heldIDs: map[uint16]bool{}}
		m.receivers = append(m.receivers, r)
		r.connect()
		m.settle()
		r.c.Subscribe("#", packet.Options(qos))
	}
	m.uplink = &bridged{inbox: newInbox("uplink", 1), model: m}
	m.uplink.attach()
	return m
}

// settle lets everything that can happen without us happen.
func (m *model) settle() {
	synctest.Wait()
	for _, p := range m.publishers {
		p.read()
	}
	for _, r := range m.receivers {
		r.read()
	}
	synctest.Wait()
}

func (m *model) run() {
	for range 300 {
		m.step()
	}
	m.finish()
	for _, r := range m.receivers {
		m.check(&r.inbox)
	}
	m.check(&m.uplink.inbox)
}

func (m *model) step() {
	p := m.publishers[m.rand.IntN(len(m.publishers))]
	r := m.receivers[m.rand.IntN(len(m.receivers))]
	switch n := m.rand.IntN(100); {
	case n < 45:
		p.publish()
	case n < 60:
		r.acknowledge(m.rand.IntN(4))
	case n < 70:
		m.uplink.take()
	case n < 73:
		p.disconnect()
	case n < 76:
		r.disconnect()
	case n < 80:
		r.connect()
	case n < 82:
		m.uplink.toggle()
	case n < 86:
		time.Sleep(time.Duration(m.rand.IntN(400)) * time.Millisecond)
	case n < 92:
		m.held = !m.held
		m.s.Store.Hold(m.held)
	case n < 93:
		m.crash()
	default:
		m.settle()
	}
	if m.rand.IntN(3) > 0 {
		m.settle()
	}
}

// crash kills the broker. What the clients have not read by then they never will.
func (m *model) crash() {
	for _, p := range m.publishers {
		p.disconnect()
	}
	for _, r := range m.receivers {
		r.disconnect()
	}
	m.uplink.q = nil
	m.s = m.s.Crash()
	m.held = false
	m.uplink.attach()
}

// finish brings everybody together until nothing is owed any more.
func (m *model) finish() {
	m.s.Store.Hold(false)
	for range 1000 {
		m.settle()
		idle := m.s.Store.Status().Messages == 0 && m.s.Store.Status().Held == 0
		for _, p := range m.publishers {
			p.connect()
			idle = idle && len(p.open) == 0
		}
		for _, r := range m.receivers {
			r.connect()
			r.acknowledge(100)
			idle = idle && r.c != nil && len(r.heldIDs) == 0 && len(r.todo) == 0
		}
		if !m.uplink.online {
			m.uplink.toggle()
		}
		m.uplink.take()
		if idle {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	m.t.Fatalf("never comes to rest: store %+v, clients %+v", m.s.Store.Status(), m.s.Clients())
}

// check is the promise.
func (m *model) check(in *inbox) {
	for _, p := range m.publishers {
		for _, name := range p.kept {
			if in.times[name] == 0 {
				m.t.Errorf("%s has not got %s, which was acknowledged", in.id, name)
			}
		}
	}
	for name, n := range in.times {
		// p0 has no session: what it repeats is new to the broker.
		if n > 1 && in.qos == 2 && name[len(name)-1] == '2' && name[:2] != "p0" {
			m.t.Errorf("%s has got %s %d times", in.id, name, n)
		}
	}
}

// inbox is what a receiver has got.
type inbox struct {
	id    string
	qos   byte
	times map[string]int
	last  map[string]int // by publisher and topic: the greatest number
}

func newInbox(id string, qos byte) inbox {
	return inbox{id: id, qos: qos, times: map[string]int{}, last: map[string]int{}}
}

// got notes a message. Its name is PUBLISHER-NUMBER-qQOS.
func (in *inbox) got(t *testing.T, topic, name string) {
	t.Helper()
	var p, number, qos int
	if _, err := fmt.Sscanf(name, "p%d-%d-q%d", &p, &number, &qos); err != nil {
		t.Fatalf("payload %q: %v", name, err)
	}
	in.times[name]++
	flow := fmt.Sprint(p, topic)
	if in.times[name] > 1 {
		return
	}
	if number < in.last[flow] {
		t.Errorf("%s: %s on %s comes after number %d", in.id, name, topic, in.last[flow])
	}
	in.last[flow] = number
}

// publisher keeps what was not acknowledged and sends it again when it has come back.
type publisher struct {
	model   *model
	id      string
	durable bool
	c       *brokertest.Client
	pid     uint16
	count   int
	open    []*sent
	kept    []string // acknowledged
}

type sent struct {
	packet.Publish
	released bool
}

func (p *publisher) connect() {
	if p.c != nil {
		return
	}
	p.c = p.model.s.Pipe()
	hello := clean(p.id)
	if p.durable {
		hello = durable(p.id)
	}
	present := p.c.Connect(hello).SessionPresent
	for _, m := range p.open {
		switch {
		case m.released:
			p.c.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: m.PacketID})
		default:
			m.Dup = present
			p.c.Send(&m.Publish)
		}
	}
}

func (p *publisher) disconnect() {
	if p.c != nil {
		p.c.Close()
		p.c = nil
	}
}

func (p *publisher) publish() {
	p.connect()
	if len(p.open) >= 20 {
		return
	}
	topic, qos := string(rune('a'+p.model.rand.IntN(2))), byte(1+p.model.rand.IntN(2))
	if p.pid++; p.pid == 0 {
		p.pid = 1
	}
	p.count++
	m := &sent{Publish: packet.Publish{
		Topic: []byte(topic), QoS: qos, PacketID: p.pid, Payload: fmt.Appendf(nil, "%s-%d-q%d", p.id, p.count, qos),
	}}
	p.open = append(p.open, m)
	p.c.Send(&m.Publish)
}

func (p *publisher) read() {
	for p.c != nil {
		got, ok := p.c.Poll()
		if !ok {
			return
		}
		a, ok := got.(*packet.Ack)
		if !ok {
			p.model.t.Fatalf("%s got %s", p.id, brokertest.Show(got))
		}
		i := slices.IndexFunc(p.open, func(m *sent) bool { return m.PacketID == a.PacketID })
		if i < 0 {
			continue
		}
		m := p.open[i]
		switch a.Kind {
		case packet.PUBACK, packet.PUBREC:
			if !m.released {
				p.kept = append(p.kept, string(m.Payload))
			}
			if m.released = true; a.Kind == packet.PUBACK {
				p.open = slices.Delete(p.open, i, i+1)
				continue
			}
			p.c.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: m.PacketID})
		case packet.PUBCOMP:
			p.open = slices.Delete(p.open, i, i+1)
		}
	}
}

// reader is a durable client that takes its time to acknowledge.
type reader struct {
	inbox
	model   *model
	c       *brokertest.Client
	todo    []*packet.Publish
	heldIDs map[uint16]bool
}

func (r *reader) connect() {
	if r.c != nil {
		return
	}
	r.c = r.model.s.Pipe()
	r.todo = nil
	r.c.Connect(durable(r.id))
}

func (r *reader) disconnect() {
	if r.c != nil {
		r.c.Close()
		r.c, r.todo = nil, nil
	}
}

func (r *reader) read() {
	for r.c != nil {
		got, ok := r.c.Poll()
		if !ok {
			return
		}
		switch p := got.(type) {
		case *packet.Publish:
			r.todo = append(r.todo, p)
		case *packet.Ack:
			if p.Kind != packet.PUBREL {
				r.model.t.Fatalf("%s got %s", r.id, brokertest.Show(got))
			}
			delete(r.heldIDs, p.PacketID)
			r.c.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: p.PacketID})
		}
	}
}

// acknowledge takes the first n messages.
func (r *reader) acknowledge(n int) {
	if r.c == nil {
		return
	}
	r.read()
	for ; n > 0 && len(r.todo) > 0; n-- {
		m := r.todo[0]
		r.todo = r.todo[1:]
		if m.QoS == 1 {
			r.got(r.model.t, string(m.Topic), string(m.Payload))
			r.c.Send(&packet.Ack{Kind: packet.PUBACK, PacketID: m.PacketID})
			continue
		}
		if !r.heldIDs[m.PacketID] {
			r.heldIDs[m.PacketID] = true
			r.got(r.model.t, string(m.Topic), string(m.Payload))
		}
		r.c.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: m.PacketID})
	}
}

// bridged takes from a Queue.
type bridged struct {
	inbox
	model  *model
	q      *broker.Queue
	online bool
	unpaid []core.Seq
}

func (b *bridged) attach() {
	cfg := broker.RuleConfig{Name: "up", Filters: []string{"#"}, QoS: 1, MaxMessages: 8}
	b.q = attach(b.model.t, b.model.s, cfg)
	b.unpaid = nil
	b.online = false
}

func (b *bridged) toggle() {
	b.online = !b.online
	b.unpaid = nil
	if b.online {
		b.q.Online(64)
	} else {
		b.q.Offline()
	}
}

func (b *bridged) take() {
	synctest.Wait()
	for _, d := range b.q.Take(nil, 1+b.model.rand.IntN(10)) {
		b.got(b.model.t, d.Message.Topic, string(d.Message.Payload))
		b.unpaid = append(b.unpaid, d.Seq)
	}
	n := b.model.rand.IntN(len(b.unpaid) + 1)
	b.q.Paid(b.unpaid[:n]...)
	b.unpaid = b.unpaid[n:]
}
