package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestManyAliasesOut: an alias stands for the topic that it was given for, however many
// topics of one length come in one buffer, one after the other.
func TestManyAliasesOut(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		r, p := s.Pipe(), s.Pipe()
		hello := clean("r")
		hello.Properties = &packet.Properties{TopicAliasMaximum: new(uint16(32))}
		r.Connect(hello)
		r.Subscribe("#", 0)
		p.Connect(clean("p"))
		topics, known, aliased := map[uint16]string{}, 0, 0
		for round := range 5 {
			for i := range 40 {
				name := fmt.Sprintf("plant/%02d", (i*7+round)%40)
				p.Publish(name, name, 0)
			}
			synctest.Wait()
		}
		for got, ok := r.Poll(); ok; got, ok = r.Poll() {
			m, ok := got.(*packet.Publish)
			if !ok {
				continue
			}
			name := string(m.Topic)
			if m.Properties != nil && m.Properties.TopicAlias != nil {
				aliased++
				if alias := *m.Properties.TopicAlias; name == "" {
					name = topics[alias]
					known++
				} else {
					topics[alias] = name
				}
			}
			if name != string(m.Payload) {
				t.Fatalf("%s came as %s", m.Payload, name)
			}
		}
		t.Logf("%d of %d aliases stood for a topic", known, aliased)
	})
}
