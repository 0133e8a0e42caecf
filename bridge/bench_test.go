package bridge_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
)

// BenchmarkDrain is what a message of QoS 1 costs on its way from the queue to an
// upstream over loopback TCP and back to its payment. The upstream, which does as
// little as it can, is part of it.
func BenchmarkDrain(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			acknowledge(c)
		}
	}()
	local := bridgetest.NewLocal(0)
	queue := local.NewQueue()
	m := &core.Message{Topic: "plant/line1/meter/voltage", Payload: make([]byte, 100), QoS: 1}
	for range b.N {
		queue.Put(m)
	}
	up, err := bridge.New(bridge.Config{
		Name: "cloud", Gateway: "gw", ClientID: "gw-1", URLs: []string{"mqtt://" + l.Addr().String()},
		Out: []bridge.OutRule{{Filter: "#", QoS: 1, Stamp: bridge.StampNever}},
	}, []bridge.Queue{queue}, bridge.LinkState{Owner: local.Owner()}, local, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { done <- up.Run(ctx) }()
	queue.WaitPaid()
	b.StopTimer()
	cancel()
	<-done
	<-served
}

// acknowledge answers CONNECT and every PUBLISH of QoS 1.
func acknowledge(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	w := bufio.NewWriterSize(c, 64<<10)
	body := make([]byte, 1<<10)
	for {
		if r.Buffered() == 0 {
			w.Flush()
		}
		kind, err := r.ReadByte()
		if err != nil {
			return
		}
		length, err := binary.ReadUvarint(r)
		if err != nil {
			return
		}
		if _, err := io.ReadFull(r, body[:length]); err != nil {
			return
		}
		switch kind >> 4 {
		case 1:
			w.Write([]byte{0x20, 3, 0, 0, 0})
		case 3:
			at := 2 + binary.BigEndian.Uint16(body)
			w.Write([]byte{0x40, 2, body[at], body[at+1]})
		}
	}
}
