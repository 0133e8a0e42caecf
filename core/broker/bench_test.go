package broker

import (
	"fmt"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/storage/storagetest"
)

// sink is a link without anything behind it.
type sink struct{ bytes int }

func (s *sink) write(b, tail []byte) (int, error) {
	s.bytes += len(b) + len(tail)
	return len(b) + len(tail), nil
}
func (s *sink) listen(bool) {}
func (s *sink) close()      {}

// bench is a broker whose loop is the test itself.
type bench struct {
	*Broker
	listener *listener
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	var b *Broker
	store := storagetest.NewMemory(storagetest.Config{Delay: true})
	b, err := New(Config{SysInterval: -1}, store)
	if err != nil {
		tb.Fatal(err)
	}
	return &bench{b, &listener{Listener: Listener{Anonymous: true}, broker: b}}
}

// feed gives a connection bytes and lets the broker take a turn.
func (b *bench) feed(c *conn, bytes []byte) {
	c.took(copy(c.space(), bytes))
	b.turn()
}

func (b *bench) connect(p packet.Connect, filters ...packet.Filter) *conn {
	c := b.accept(&sink{}, b.listener, peer{remote: "bench"})
	if p.Version == 0 {
		p.Version = packet.V5
	}
	b.feed(c, p.AppendTo(nil, 0))
	if len(filters) > 0 {
		b.feed(c, (&packet.Subscribe{PacketID: 1, Filters: filters}).AppendTo(nil, p.Version))
	}
	return c
}

func filter(f string, qos byte) packet.Filter {
	return packet.Filter{Filter: []byte(f), Options: packet.Options(qos)}
}

func message(qos byte) []byte {
	p := packet.Publish{Topic: []byte("plant/line1/temperature"), Payload: make([]byte, 100), QoS: qos, PacketID: 7}
	return p.AppendTo(nil, packet.V5)
}

// TestAllocations: a QoS 0 message costs none if its receivers have room, and one
// if somebody keeps it, however many receivers there are.
func TestAllocations(t *testing.T) {
	keeper := func(b *bench) {
		if _, err := b.Subscribe("plant/#", func(*core.Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		setup func(b *bench)
		qos   byte
		want  float64
	}{
		"QoS 0, 50 receivers":          {func(*bench) {}, 0, 0},
		"QoS 0, 50 receivers, kept":    {keeper, 0, 1},
		"QoS 1, 50 receivers of QoS 0": {func(*bench) {}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for i := range 50 {
				b.connect(packet.Connect{ClientID: fmt.Append(nil, i), CleanStart: true}, filter("plant/+/temperature", 0))
			}
			tc.setup(b)
			p := b.connect(packet.Connect{ClientID: []byte("p"), CleanStart: true})
			bytes := message(tc.qos)
			run := func() { b.feed(p, bytes) }
			run()
			if got := testing.AllocsPerRun(1000, run); got != tc.want {
				t.Errorf("%.1f allocations a message, want %.0f", got, tc.want)
			}
			for l := range b.locals {
				l.end()
			}
			b.serving.Wait()
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, receivers := range []int{1, 50} {
		for qos := range byte(2) {
			b.Run(fmt.Sprintf("qos %d to %d", qos, receivers), func(b *testing.B) {
				br := newBench(b)
				for i := range receivers {
					br.connect(packet.Connect{ClientID: fmt.Append(nil, i), CleanStart: true}, filter("plant/#", 0))
				}
				p := br.connect(packet.Connect{ClientID: []byte("p"), CleanStart: true})
				bytes := message(qos)
				b.ReportAllocs()
				for b.Loop() {
					br.feed(p, bytes)
				}
			})
		}
	}
}

// BenchmarkDurable: QoS 1 from end to end with a durable receiver that acknowledges.
func BenchmarkDurable(b *testing.B) {
	br := newBench(b)
	r := br.connect(packet.Connect{
		ClientID: []byte("r"), CleanStart: true, Properties: &packet.Properties{SessionExpiry: new(uint32(60))},
	}, filter("plant/#", 1))
	p := br.connect(packet.Connect{ClientID: []byte("p"), CleanStart: true})
	bytes := message(1)
	id := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		br.feed(p, bytes)
		if id++; id == 0 {
			id = 1
		}
		br.feed(r, packet.AppendAck(nil, packet.V5, packet.PUBACK, id, 0))
	}
	if n := br.store.Owed(r.client.receiver); n != 0 {
		b.Errorf("%d owed", n)
	}
}

// BenchmarkUnrelated: what a message costs does not depend on what others have
// subscribed to.
func BenchmarkUnrelated(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			br := newBench(b)
			for i := range n / 100 {
				var filters []packet.Filter
				for j := range 100 {
					filters = append(filters, filter(fmt.Sprintf("site/%d/+/sensor%d", i, j), 0))
				}
				br.connect(packet.Connect{ClientID: fmt.Append(nil, "s", i), CleanStart: true}, filters...)
			}
			br.connect(packet.Connect{ClientID: []byte("r"), CleanStart: true}, filter("plant/+/temperature", 0))
			p := br.connect(packet.Connect{ClientID: []byte("p"), CleanStart: true})
			bytes := message(0)
			b.ReportAllocs()
			for b.Loop() {
				br.feed(p, bytes)
			}
		})
	}
}
