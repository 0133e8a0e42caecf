package broker_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func onLoopback() broker.Config {
	return broker.Config{Listeners: []broker.Listener{{Name: "lo", Address: "127.0.0.1:0", Anonymous: true}}}
}

// dial opens a socket to a listener.
func dial(t *testing.T, s *brokertest.Server, listener string) *brokertest.Client {
	t.Helper()
	a := s.Addr(listener)
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.NewClient(t, c)
}

// TestSockets: the loop's own sockets, with packets of all sizes, in pieces and
// many at a time.
func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.sock")
	cfg := onLoopback()
	cfg.Listeners = append(cfg.Listeners, broker.Listener{Name: "unix", Address: "unix://" + path, Anonymous: true})
	s := brokertest.Start(t, cfg)
	for _, listener := range []string{"lo", "unix"} {
		t.Run(listener, func(t *testing.T) {
			p, r := dial(t, s, listener), dial(t, s, listener)
			p.Connect(clean("p" + listener))
			r.Connect(clean("r" + listener))
			r.Subscribe("t", 1)
			r.AcknowledgeAll()
			sizes := []int{0, 1, 100, 2000, 4095, 65_530, 70_000, 300_000, 2_000_000}
			for _, n := range sizes {
				p.Publish("t", strings.Repeat("x", n), 1)
			}
			var all []packet.Packet
			for _, n := range sizes[:8] {
				all = append(all, &packet.Publish{Topic: []byte("t"), Payload: make([]byte, n)})
			}
			p.Send(all...)
			for _, n := range append(sizes, sizes[:8]...) {
				if m := r.NextPublish(); len(m.Payload) != n {
					t.Fatalf("got %d bytes, want %d", len(m.Payload), n)
				}
			}
			for _, b := range raw(&packet.Publish{Topic: []byte("t"), Payload: []byte("in pieces")}, packet.V5) {
				p.Write(b)
				time.Sleep(100 * time.Microsecond)
			}
			r.Receive("t", "in pieces")
		})
	}
	s.Stop()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestSlowSocket: who does not read is not waited for, and gets everything when
// it reads again.
func TestSlowSocket(t *testing.T) {
	s := brokertest.Start(t, onLoopback())
	p, r, other := dial(t, s, "lo"), dial(t, s, "lo"), dial(t, s, "lo")
	p.Connect(clean("p"))
	r.Connect(durable("r"))
	other.Connect(clean("other"))
	r.Subscribe("t", 1)
	r.AcknowledgeAll()
	r.Hold(true)
	const n, size = 400, 50_000
	payload := strings.Repeat("x", size)
	for range n { // 20 MB: more than sockets and queues take
		p.PublishPacket(packet.Publish{Topic: []byte("t"), Payload: []byte(payload), QoS: 1})
		other.ExpectNothing()
	}
	r.Hold(false)
	for i := range n {
		if m := r.NextPublish(); len(m.Payload) != size {
			t.Fatalf("message %d has %d bytes", i, len(m.Payload))
		}
	}
	if d := s.Status().Dropped; len(d) > 0 {
		t.Errorf("dropped %v", d)
	}
}

// TestDeafPeerD6: a client that sends without reading is not read from after a while,
// instead of taking memory for what it is to be told.
func TestDeafPeerD6(t *testing.T) {
	s := brokertest.Start(t, onLoopback())
	a := s.Addr("lo")
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(raw(&packet.Connect{Version: packet.V5, CleanStart: true}, packet.V5))
	pings := make([]byte, 0, 64<<10)
	for len(pings) < cap(pings) {
		pings = append(pings, 0xC0, 0)
	}
	sent := 0
	for c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); ; {
		n, err := c.Write(pings)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || sent > 1<<30 {
			t.Fatalf("%d bytes taken: %v", sent, err)
		}
	}
	alive(t, s)
}

func TestTooManyConnections(t *testing.T) {
	cfg := onLoopback()
	cfg.Limits.MaxConnections = 3
	s := brokertest.Start(t, cfg)
	for range 3 {
		dial(t, s, "lo").Connect(packet.Connect{CleanStart: true})
	}
	dial(t, s, "lo").ExpectClosed()
	if n := s.Status().Refused["too many connections"]; n != 1 {
		t.Errorf("%d refused", n)
	}
}

// TestNoDescriptors: when the system has none left, accepting pauses and goes on.
func TestNoDescriptors(t *testing.T) {
	s := brokertest.Start(t, onLoopback())
	first := dial(t, s, "lo")
	first.Connect(packet.Connect{CleanStart: true})
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	a := s.Addr("lo")
	c, err := net.Dial(a.Network(), a.String()) // the kernel has the connection,
	if err != nil {
		t.Fatal(err)
	}
	first.ExpectNothing()
	waiting := brokertest.NewClient(t, c)
	waiting.Connect(packet.Connect{CleanStart: true})

	low := syscall.Rlimit{Cur: 3, Max: old.Max}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	port := a.(*net.TCPAddr).Port
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	first.ExpectNothing() // those that are there are served
	first.ExpectNothing()
	if e := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); e != nil || err != nil {
		t.Fatal(e, err)
	}
	syscall.Write(fd, raw(&packet.Connect{Version: packet.V311, CleanStart: true}, packet.V311))
	var ack [4]byte
	if n, err := syscall.Read(fd, ack[:]); n != 4 || err != nil {
		t.Errorf("CONNACK: %d bytes, %v", n, err)
	}
	if n := s.Status().Refused["accept paused"]; n == 0 {
		t.Error("accepting has not paused")
	}
}

func TestListeners(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "stale.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: stale}), syscall.Close(fd)); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := filepath.Join(dir, "used.sock")
	other, err := net.Listen("unix", used)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, tc := range map[string]struct {
		address string
		want    string // in the error
	}{
		"stale socket":   {"unix://" + stale, ""},
		"socket in use":  {"unix://" + used, "is in use"},
		"not a socket":   {"unix://" + file, "not a socket"},
		"port in use":    {busy.Addr().String(), "in use"},
		"no such port":   {"127.0.0.1:99999", "invalid port"},
		"dual stack":     {":0", ""},
		"no such folder": {"unix://" + dir + "/no/x.sock", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := broker.New(broker.Config{Listeners: []broker.Listener{
				{Name: "good", Address: "127.0.0.1:0"}, {Name: "tested", Address: tc.address},
			}}, brokertest.NewStore())
			if err != nil {
				t.Fatal(err)
			}
			err = b.Start()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			defer b.Run(ctx) // closes what is open
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			case tc.want != "" && b.Addr("good") != nil:
				t.Error("half a start")
			}
		})
	}
}

func TestAnonymous(t *testing.T) {
	cfg := broker.Config{Auth: users{"alice": "x"}, Listeners: []broker.Listener{{Name: "lan", Address: "127.0.0.1:0"}}}
	s := brokertest.Start(t, cfg)
	if ack := dial(t, s, "lan").TryConnect(clean("a")); ack.Reason != packet.NotAuthorized {
		t.Errorf("anonymous: %s", ack.Reason)
	}
	hello := clean("b")
	hello.HasUsername, hello.Username, hello.HasPassword, hello.Password = true, []byte("alice"), true, []byte("x")
	dial(t, s, "lan").Connect(hello)
	if ack := dial(t, s, "lan").TryConnect(packet.Connect{Version: packet.V311, CleanStart: true}); ack.Reason != packet.V3NotAuthorized {
		t.Errorf("anonymous: %s", ack.Reason)
	}
}

func TestConfigErrors(t *testing.T) {
	_, err := broker.New(broker.Config{
		Listeners: []broker.Listener{{Name: "a"}, {Name: "a"}},
		Limits:    broker.Limits{MaxPacket: 5, MaxInflight: 70_000, ReceiveMaximum: -1, MaxConnections: -1},
	}, brokertest.NewStore())
	for _, want := range []string{"max packet (5)", "max inflight (70000)", "receive maximum (-1)", "max connections (-1)", "listener name (a)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}
