package broker_test

import (
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestUnsubscribeEndsReplay: who unsubscribes gets no more retained messages than are on
// their way [MQTT-3.10.4-2], and who subscribes again all of them from the beginning.
func TestUnsubscribeEndsReplay(t *testing.T) {
	const n, window = 1000, 10
	onBoth(t, "replay", broker.Config{Limits: broker.Limits{MaxInflight: window}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		for i := range n {
			publishRetained(t, s, i)
		}
		r := join(s, lasting(v, "r"))
		var inFlight []*packet.Publish
		for range 2 {
			r.Subscribe("m/#", 1)
			for range window {
				inFlight = append(inFlight, r.NextPublish())
			}
			r.ExpectNothing()
			r.Send(&packet.Unsubscribe{PacketID: 999, Filters: [][]byte{[]byte("m/#")}})
			want := &packet.Unsuback{PacketID: 999}
			if v >= packet.V5 {
				want.Reasons = []packet.Reason{packet.Success}
			}
			r.Expect(want)
			for _, m := range inFlight {
				r.Acknowledge(m)
			}
			inFlight = nil
			synctest.Wait()
			r.ExpectNothing()
		}
		r.Subscribe("m/#", 1)
		for range window {
			inFlight = append(inFlight, r.NextPublish())
		}
		r.Subscribe("m/#", 0)
		for _, m := range inFlight {
			r.Acknowledge(m)
		}
		for i := range n {
			if m := r.NextPublish(); string(m.Topic) != string(inFlight[0].Topic) && i == 0 || m.QoS != 0 {
				t.Fatalf("message %d is %s", i, brokertest.Show(m))
			}
		}
		r.ExpectNothing()
	})
}

// TestManyFiltersInOnePacket: those beyond what a session can have are refused, be they
// the same.
func TestManyFiltersInOnePacket(t *testing.T) {
	onBoth(t, "filters", broker.Config{Limits: broker.Limits{MaxSubscriptions: 3}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, connect(v))
		refused := packet.QuotaExceeded
		if v < packet.V5 {
			refused = packet.UnspecifiedError
		}
		same := packet.Filter{Filter: []byte("a"), Options: 1}
		c.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{same, same, same, same, same}})
		c.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{1, 1, 1, refused, refused}})
	})
}
