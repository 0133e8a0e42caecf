package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestRegrantInFlight: what is on its way goes on at the QoS at which it was begun,
// whatever is subscribed to meanwhile [MQTT-4.4.0-1].
func TestRegrantInFlight(t *testing.T) {
	for _, tc := range []struct{ from, to byte }{{1, 2}, {2, 1}, {2, 0}, {1, 0}} {
		onBoth(t, fmt.Sprintf("from %d to %d", tc.from, tc.to), broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			r, p := join(s, lasting(v, "r")), join(s, connect(v))
			r.Subscribe("t", packet.Options(tc.from))
			p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 1})
			p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
			m := r.NextPublish()
			r.Send(&packet.Subscribe{PacketID: 9, Filters: []packet.Filter{{Filter: []byte("t"), Options: packet.Options(tc.to)}}})
			r.Expect(&packet.Suback{PacketID: 9, Reasons: []packet.Reason{packet.Reason(tc.to)}})
			for range 2 {
				r.Close()
				synctest.Wait()
				r = join(s, lasting(v, "r"))
				again := r.NextPublish()
				if again.QoS != tc.from || again.PacketID != m.PacketID || !again.Dup {
					t.Errorf("sent again as %s", brokertest.Show(again))
				}
				m = again
			}
			r.Acknowledge(m)
			r.ExpectNothing()
			synctest.Wait()
			if st := s.Store.Status(); st.Messages+uint64(st.Held) > 0 {
				t.Errorf("still owed: %+v", st)
			}
		})
	}
}
