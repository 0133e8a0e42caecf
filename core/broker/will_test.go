package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// heir is connected to see the will of a client with a session and a will delay.
func heir(s *brokertest.Server, delay uint32) (w *brokertest.Client, hello packet.Connect) {
	w = join(s, clean("w"))
	w.Subscribe("will", 0)
	hello = durable("c")
	hello.Will = &packet.Will{Topic: []byte("will"), Payload: []byte("gone"), Properties: &packet.Properties{WillDelay: new(delay)}}
	return w, hello
}

// TestWillAtTakeover: a will with a delay is over when its client comes back, unless the
// session ends with that [MQTT-3.1.3-9].
func TestWillAtTakeover(t *testing.T) {
	for _, cleanStart := range []bool{true, false} {
		for _, delay := range []uint32{0, 10, 7200} {
			t.Run(fmt.Sprintf("delay %d, clean start %t", delay, cleanStart), func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					w, hello := heir(s, delay)
					c := join(s, hello)
					again := durable("c")
					again.CleanStart = cleanStart
					s.Pipe().Connect(again)
					c.ExpectReason(packet.SessionTakenOver)
					if cleanStart || delay == 0 {
						w.Receive("will", "gone")
					}
					time.Sleep(3 * time.Hour)
					w.ExpectNothing()
				})
			})
		}
	}
}

// TestWillWithSession: a will does not outlast its session, whose expiry DISCONNECT can
// change.
func TestWillWithSession(t *testing.T) {
	for _, expiry := range []uint32{0, 5} {
		t.Run(fmt.Sprint("expiry ", expiry), func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				w, hello := heir(s, 7200)
				c := join(s, hello)
				c.Send(&packet.Disconnect{Reason: packet.DisconnectWithWill, Properties: &packet.Properties{SessionExpiry: new(expiry)}})
				c.ExpectClosed()
				if expiry > 0 {
					time.Sleep(time.Duration(expiry)*time.Second - time.Millisecond)
					w.ExpectNothing()
					time.Sleep(time.Second)
				}
				w.Receive("will", "gone")
				if s.Pipe().Connect(durable("c")).SessionPresent {
					t.Error("the session is there")
				}
			})
		})
	}
}
