package main

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

// meter is an energy meter on Modbus TCP, simulated.
type meter struct {
	address string
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

func startMeter() (*meter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &meter{address: listener.Addr().String(), cancel: cancel}
	slave := simulator.New()
	unit := slave.Unit(1)
	begin := time.Now()
	since := func(now time.Time) float64 { return now.Sub(begin).Seconds() }
	unit.Float32(simulator.Inputs, 0, func(now time.Time) float32 {
		return float32(math.Round(10*(230+2*math.Sin(since(now)/3))) / 10)
	})
	unit.Float32(simulator.Inputs, 2, func(now time.Time) float32 {
		return float32(math.Round(1200 + 300*math.Sin(since(now)/5)))
	})
	energy := func(now time.Time) uint32 { return 4_711_000 + uint32(since(now)/3) }
	unit.Func(simulator.Holdings, 0, func(now time.Time) uint16 { return uint16(energy(now) >> 16) })
	unit.Func(simulator.Holdings, 1, func(now time.Time) uint16 { return uint16(energy(now)) })
	m.wg.Go(func() { _ = slave.ServeTCP(ctx, listener) }) // ends with its context
	return m, nil
}

func (m *meter) close() {
	m.cancel()
	m.wg.Wait()
}
