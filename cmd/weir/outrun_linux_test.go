package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

const outrunConfig = `
data_dir: %s
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {budget: 2GiB, reserve: 0}
`

// outrun is a publisher of MQTT 3.1.1, which knows no Receive Maximum: it sends
// numbered messages for a session that is away as fast as TCP takes them.
type outrun struct {
	t     *testing.T
	conn  net.Conn
	acked chan int // how many were acknowledged, when the connection has ended or all were
}

// outrunPayload is large, so that what memory there is is used up on a busy machine, too.
const outrunPayload = 16 << 10

func startOutrun(t *testing.T, g *testGateway, messages int) *outrun {
	t.Helper()
	away, in := dialOutrun(t, g, "away", false)
	away.Write((&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t"), Options: 1}}}).AppendTo(nil, packet.V311))
	if p, err := readPacket(in, packet.V311); err != nil || p.Type() != packet.SUBACK {
		t.Fatalf("no SUBACK: %v %v", p, err)
	}
	away.Close()
	conn, in := dialOutrun(t, g, "fast", true)
	o := &outrun{t: t, conn: conn, acked: make(chan int, 1)}
	go o.send(messages)
	go o.count(in, messages)
	return o
}

// dialOutrun connects with a keep alive of two seconds.
func dialOutrun(t *testing.T, g *testGateway, id string, clean bool) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	hello := packet.Connect{Version: packet.V311, ClientID: []byte(id), CleanStart: clean, Keepalive: 2}
	conn.Write(hello.AppendTo(nil, packet.V311))
	in := bufio.NewReaderSize(conn, 64<<10)
	if p, err := readPacket(in, packet.V311); err != nil || p.Type() != packet.CONNACK {
		t.Fatalf("no CONNACK: %v %v", p, err)
	}
	return conn, in
}

// send ends with the connection. The payloads do not compress.
func (o *outrun) send(messages int) {
	noise := rand.NewChaCha8([32]byte{1})
	payload := make([]byte, outrunPayload)
	w := bufio.NewWriterSize(o.conn, 64<<10)
	var b []byte
	for i := range messages {
		noise.Read(payload)
		binary.BigEndian.PutUint64(payload, uint64(i))
		b = (&packet.Publish{Topic: []byte("t"), Payload: payload, QoS: 1, PacketID: uint16(1 + i%60_000)}).AppendTo(b[:0], packet.V311)
		if _, err := w.Write(b); err != nil {
			return
		}
	}
	w.Flush()
	for range time.Tick(time.Second) { // it lives
		if _, err := o.conn.Write((&packet.Pingreq{}).AppendTo(nil, packet.V311)); err != nil {
			return
		}
	}
}

// count wants the acknowledgements in order.
func (o *outrun) count(in *bufio.Reader, messages int) {
	n := 0
	defer func() { o.acked <- n }()
	for n < messages {
		p, err := readPacket(in, packet.V311)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packet.Pingresp:
		case *packet.Ack:
			if want := uint16(1 + n%60_000); p.Kind != packet.PUBACK || p.PacketID != want {
				o.t.Errorf("got %s %d, want PUBACK %d", p.Kind, p.PacketID, want)
				return
			}
			n++
		default:
			o.t.Errorf("got %s", p.Type())
			return
		}
	}
}

// collect wants n messages and perhaps more for the session that was away, in order.
func (o *outrun) collect(g *testGateway, n int) {
	o.t.Helper()
	conn, in := dialOutrun(o.t, g, "away", false)
	conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	for i := range n {
		p, err := readPacket(in, packet.V311)
		m, ok := p.(*packet.Publish)
		if err != nil || !ok {
			o.t.Fatalf("after %d of %d: %v %v", i, n, p, err)
		}
		if got := binary.BigEndian.Uint64(m.Payload); got != uint64(i) {
			o.t.Fatalf("got message %d, want %d", got, i)
		}
		conn.Write((&packet.Ack{Kind: packet.PUBACK, PacketID: m.PacketID}).AppendTo(nil, packet.V311))
	}
}

// TestFasterThanTheDisk: a publisher that is faster than the disk is slowed down, not
// sent away; what it costs is bounded, and nothing is lost. WEIR_FAULTS=long is 300 MB.
func TestFasterThanTheDisk(t *testing.T) {
	messages := 2000
	if os.Getenv("WEIR_FAULTS") == "long" {
		messages = 20_000
	}
	disk := newDisk(t, 1<<30)
	g := startGateway(t, fmt.Sprintf(outrunConfig, filepath.Join(disk.mount, "data")))
	o := startOutrun(t, g, messages)
	most := uint64(0)
	for ended := false; !ended; {
		stopDisk(disk, 150*time.Millisecond)
		most = max(most, g.status().Process.RSS)
		select {
		case n := <-o.acked:
			if n != messages {
				t.Fatalf("%d of %d were acknowledged, refused %v", n, messages, g.status().Broker.Refused)
			}
			ended = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	st := g.status().Broker
	if st.StoreWaits == 0 || len(st.Dropped) > 0 {
		t.Errorf("it waited %d times, dropped %v", st.StoreWaits, st.Dropped)
	}
	if most > 100<<20 {
		t.Errorf("it took %d MiB of memory", most>>20)
	}
	o.collect(g, messages)
	t.Logf("%d MB, held back %d times, %d MiB of memory", messages*outrunPayload/1_000_000, st.StoreWaits, most>>20)
}

// stopDisk makes a disk that is slow now and then.
func stopDisk(d *disk, pause time.Duration) {
	d.run("fsfreeze", "-f", d.mount)
	time.Sleep(pause)
	d.run("fsfreeze", "-u", d.mount)
}

// TestFasterThanTheDiskUntilItIsFull: when others have filled the disk it is refused,
// which at MQTT 3.1.1 is the end of the connection. What was acknowledged is there.
func TestFasterThanTheDiskUntilItIsFull(t *testing.T) {
	const messages = 60_000
	disk := newDisk(t, 200<<20)
	g := startGateway(t, fmt.Sprintf(outrunConfig, filepath.Join(disk.mount, "data")))
	o := startOutrun(t, g, messages)
	eventually(t, patience, "some messages to be kept", func() bool { return g.status().Buffer.Messages > 100 })
	hog := filepath.Join(disk.mount, "hog")
	if err := os.WriteFile(hog, make([]byte, 200<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	select {
	case n := <-o.acked:
		if n < 100 || n == messages {
			t.Errorf("%d of %d were acknowledged", n, messages)
		}
		st := g.status()
		if st.Buffer.State != "full" || st.Broker.Dropped[core.DroppedStoreFull] == 0 {
			t.Errorf("state %q, dropped %v, refused %v", st.Buffer.State, st.Broker.Dropped, st.Broker.Refused)
		}
		o.collect(g, n)
		t.Logf("%d were acknowledged", n)
	case <-time.After(time.Minute):
		t.Fatalf("it hangs: %+v", g.status().Buffer)
	}
}
