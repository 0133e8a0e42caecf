package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// most is our Receive Maximum here.
const most = 3

// windowCase uses up all of it.
type windowCase struct {
	before func(s *brokertest.Server, p *brokertest.Client) // what ends again
	open   func(s *brokertest.Server, p *brokertest.Client) // what stays: as much as may
}

func publishTo(topic string, qos byte, pid uint16) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), QoS: qos, PacketID: pid}
}

func windowCases() map[string]windowCase {
	return map[string]windowCase{
		"PUBACK that waits for the disk": {open: func(s *brokertest.Server, p *brokertest.Client) {
			s.Store.Hold(true)
			for pid := range uint16(most) {
				p.Send(publishTo("kept", 1, 1+pid))
			}
		}},
		"PUBCOMP ends one": {
			before: func(_ *brokertest.Server, p *brokertest.Client) {
				for range 2 * most {
					p.Publish("kept", "x", 2)
				}
			},
			open: func(_ *brokertest.Server, p *brokertest.Client) {
				for pid := range uint16(most) {
					p.Send(publishTo("kept", 2, 100+pid))
					p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 100 + pid})
				}
			},
		},
		"PUBREC with an error ends one": {
			before: func(_ *brokertest.Server, p *brokertest.Client) {
				for pid := range uint16(2 * most) {
					p.Send(publishTo("denied", 2, 1+pid))
					p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1 + pid, Reason: packet.NotAuthorized})
				}
			},
			open: func(_ *brokertest.Server, p *brokertest.Client) {
				for pid := range uint16(most) {
					p.Send(publishTo("kept", 2, 1+pid))
					p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1 + pid})
				}
			},
		},
		"the same once more is not another": {
			open: func(_ *brokertest.Server, p *brokertest.Client) {
				for pid := range uint16(most) {
					for range 3 {
						p.Send(publishTo("kept", 2, 1+pid))
						p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1 + pid})
					}
				}
			},
		},
	}
}

// TestOurReceiveMaximum: a client of MQTT 5 may have so many messages on their way to us
// and no more, whatever ends one [MQTT-3.3.4-7].
func TestOurReceiveMaximum(t *testing.T) {
	for name, tc := range windowCases() {
		t.Run(name, func(t *testing.T) {
			cfg := broker.Config{Limits: broker.Limits{ReceiveMaximum: most}, Access: ruled(t, "* deny denied", "* publish #", "* subscribe #", "* receive #")}
			in(t, cfg, func(t *testing.T, s *brokertest.Server) {
				away, p := s.Pipe(), s.Pipe()
				away.Connect(durable("away"))
				away.Subscribe("kept", 2)
				away.Close()
				p.Connect(durable("p"))
				if tc.before != nil {
					tc.before(s, p)
				}
				tc.open(s, p)
				p.Send(publishTo("kept", 0, 0)) // does not count
				p.ExpectNothing()
				p.Send(publishTo("kept", 1, 999))
				p.ExpectReason(packet.ReceiveMaximumExceeded)
				s.Store.Hold(false)
				again := s.Pipe() // which begins with all of it
				again.Connect(durable("p"))
				for pid := range uint16(most) {
					again.Send(publishTo("nobody", 2, 2000+pid))
					again.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 2000 + pid, Reason: packet.NoMatchingSubscribers})
				}
				again.ExpectNothing()
			})
		})
	}
}

// auditor is a receiver that keeps count of what is on its way to it, and ends messages
// in any order and in any way.
type auditor struct {
	t       *testing.T
	rng     *rand.Rand
	client  *brokertest.Client
	most    int
	open    []uint16 // packet ids that are not ended on this connection
	publish map[uint16]*packet.Publish
	release []uint16
	full    int // times that all of the window was used
}

// join begins another connection.
func (a *auditor) join(s *brokertest.Server) {
	a.most = 1 + a.rng.IntN(4)
	a.client = s.Pipe()
	a.open, a.release, a.publish = nil, nil, map[uint16]*packet.Publish{}
	hello := durable("r")
	hello.Properties.ReceiveMaximum = new(uint16(a.most))
	a.client.Connect(hello)
}

// look takes what has come.
func (a *auditor) look() {
	synctest.Wait()
	for {
		p, ok := a.client.Poll()
		if !ok {
			break
		}
		switch p := p.(type) {
		case *packet.Publish:
			if slices.Contains(a.open, p.PacketID) {
				a.t.Fatalf("packet id %d is in use", p.PacketID)
			}
			a.open = append(a.open, p.PacketID)
			a.publish[p.PacketID] = p
		case *packet.Ack:
			if p.Kind == packet.PUBREL {
				a.release = append(a.release, p.PacketID)
			}
		}
	}
	if len(a.open) > a.most {
		a.t.Fatalf("%d messages on their way, receive maximum %d", len(a.open), a.most)
	}
	if len(a.open) == a.most {
		a.full++
	}
}

func (a *auditor) end(pid uint16) {
	a.open = slices.DeleteFunc(a.open, func(o uint16) bool { return o == pid })
	delete(a.publish, pid)
}

// step ends a message, or gets one further.
func (a *auditor) step() {
	if len(a.release) > 0 && a.rng.IntN(2) == 0 {
		pid := a.release[0]
		a.release = a.release[1:]
		a.client.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: pid})
		a.end(pid)
		return
	}
	var waiting []uint16
	for _, pid := range a.open {
		if a.publish[pid] != nil {
			waiting = append(waiting, pid)
		}
	}
	if len(waiting) == 0 {
		return
	}
	pid := waiting[a.rng.IntN(len(waiting))]
	switch refuse := a.rng.IntN(4) == 0; {
	case a.publish[pid].QoS == 1:
		a.client.Send(&packet.Ack{Kind: packet.PUBACK, PacketID: pid})
		a.end(pid)
	case refuse:
		a.client.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: pid, Reason: packet.QuotaExceeded})
		a.end(pid)
	default:
		a.client.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: pid})
		delete(a.publish, pid)
	}
}

// TestTheirReceiveMaximum: nobody is sent more at once than it has said, also while it
// changes its mind from connection to connection, of its own subscriptions and of shared
// ones [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2].
func TestTheirReceiveMaximum(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				a := &auditor{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
				a.join(s)
				a.client.Subscribe("own/#", 2)
				a.client.Subscribe("$share/g/shared/#", 2)
				p := s.Pipe()
				p.Connect(clean("p"))
				for range 300 {
					switch n := a.rng.IntN(10); {
					case n < 4:
						topic := []string{"own/x", "shared/x"}[a.rng.IntN(2)]
						p.Publish(topic, "x", byte(1+a.rng.IntN(2)))
					case n < 9:
						a.step()
					case a.rng.IntN(3) == 0:
						a.client.Close()
						synctest.Wait()
						a.join(s)
					}
					a.look()
				}
				for i := 0; len(a.open)+len(a.release) > 0; i++ {
					if i > 10_000 {
						t.Fatalf("%d stay open", len(a.open))
					}
					a.step()
					a.look()
				}
				if st := s.Store.Status(); st.Messages+uint64(st.Held) > 0 {
					t.Errorf("still owed: %+v", st)
				}
				if a.full < 10 {
					t.Errorf("the window was used up %d times", a.full)
				}
			})
		})
	}
}
