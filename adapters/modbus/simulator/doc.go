// Package simulator is a line of Modbus devices made of software: for tests, for
// the demo, and for trying a configuration without hardware.
//
// A [Slave] holds units; a [Unit] holds registers and bits, fixed or computed at
// the moment when they are read, and can be made to misbehave as devices on real
// lines do: be dead, slow or late, refuse long requests, garble or cut answers.
//
//	s := simulator.New()
//	u := s.Unit(1)
//	u.Float32(simulator.Inputs, 0, func(now time.Time) float32 { … })
//	u.Set(simulator.Holdings, 10, 42)
//	err := s.ServeTCP(ctx, listener)   // or ServeRTU on a pseudo-terminal
//
// # Order and time
//
// Each unit answers one request after the other, on a goroutine of its own, as
// devices do; so an answer that is late may come in the middle of another unit's.
//
// A pseudo-terminal and a socket have no wire. A [Wire] gives them one: bytes
// take their time, a unit sees the end of a request t3.5 after its last byte, and
// a request that begins before t3.5 of silence is counted as a violation, and left
// unanswered if the wire is strict, as real devices do.
package simulator
