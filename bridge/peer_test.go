package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/porttest"
	"github.com/weir-edge/weir/core/session"
)

// mosquitto is Debian's broker as upstream. It keeps sessions over a restart.
type mosquitto struct {
	t       *testing.T
	path    string
	address string
	conf    string
	process *exec.Cmd
}

func newMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not everybody has sbin in the path
		_, err = os.Stat(path)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("mosquitto is not installed")
		}
		t.Skip("mosquitto is not installed")
	}
	dir, port := t.TempDir(), porttest.Free(t)
	m := &mosquitto{t: t, path: path, address: fmt.Sprint("127.0.0.1:", port), conf: filepath.Join(dir, "mosquitto.conf")}
	conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\n", port, dir)
	if os.Geteuid() == 0 {
		conf += "user root\n" // it would give up its rights to the directory
	}
	if err := os.WriteFile(m.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.process = exec.Command(m.path, "-c", m.conf)
	if err := m.process.Start(); err != nil {
		m.t.Fatal(err)
	}
}

// stop lets it write its sessions down.
func (m *mosquitto) stop() {
	if m.process == nil {
		return
	}
	m.process.Process.Signal(os.Interrupt)
	m.process.Wait()
	m.process = nil
}

// subscriber is a client with a persistent session, which takes QoS 2 once.
type subscriber struct {
	t      *testing.T
	m      *mosquitto
	client *brokertest.Client
	in     *session.Inbound
	order  []string // first arrivals
	count  map[string]int
}

// connect waits until there is somebody to talk to.
func (s *subscriber) connect() {
	s.t.Helper()
	var conn net.Conn
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err = net.Dial("tcp", s.m.address); err == nil {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.client = brokertest.NewClient(s.t, conn)
	ack := s.client.Connect(packet.Connect{
		ClientID:   []byte("sub"),
		Properties: &packet.Properties{SessionExpiry: new(uint32(3600))},
	})
	s.in.Connect(0, ack.SessionPresent)
}

// receive goes on until so many different messages have come.
func (s *subscriber) receive(until int) {
	s.t.Helper()
	for len(s.order) < until {
		switch p := s.client.Next().(type) {
		case *packet.Publish:
			s.take(p)
		case *packet.Ack:
			s.in.Pubrel(p.PacketID)
			s.client.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: p.PacketID})
		case nil:
			s.connect()
		default:
			s.t.Fatalf("after %d messages the subscriber got %s", len(s.order), brokertest.Show(p))
		}
	}
}

func (s *subscriber) take(p *packet.Publish) {
	kind := packet.PUBACK
	if p.QoS == core.ExactlyOnce {
		kind = packet.PUBREC
	}
	s.client.Send(&packet.Ack{Kind: kind, PacketID: p.PacketID})
	if s.in.Publish(p.PacketID, p.QoS) == session.Repeated {
		return
	}
	if p.QoS == core.AtLeastOnce {
		s.in.Acked(kind, p.PacketID)
	}
	text := string(p.Payload)
	if s.count[text]++; s.count[text] == 1 {
		s.order = append(s.order, text)
	}
}

// The uplink to Mosquitto is cut, and Mosquitto restarted, while messages go
// through: everything arrives, in order. The uplink repeats no more than was under
// way, and nothing at QoS 2. (What Mosquitto 2.0.11 repeats to its subscribers
// after a restart is not ours to judge: it forgets their acknowledgements.)
func TestMosquitto(t *testing.T) {
	for _, how := range []string{"cut", "restart"} {
		for _, protocol := range []string{"5", "3.1.1"} {
			for _, qos := range []core.QoS{1, 2} {
				t.Run(fmt.Sprintf("%s, %s, QoS %d", how, protocol, qos), func(t *testing.T) {
					testMosquitto(t, how, protocol, qos)
				})
			}
		}
	}
}

func testMosquitto(t *testing.T, how, protocol string, qos core.QoS) {
	const total, faults = 3000, 5
	m := newMosquitto(t)
	sub := &subscriber{t: t, m: m, in: session.NewInbound(), count: make(map[string]int)}
	sub.connect()
	sub.client.Subscribe("site/#", packet.Options(qos))
	cable := new(cable)
	g := startGateway(t, brokertest.Start(t, broker.Config{SysInterval: -1}), bridge.Config{
		Name: "cloud", Gateway: "gw", ClientID: "gw-1", URLs: []string{"mqtt://" + m.address}, Protocol: protocol,
		Out:     []bridge.OutRule{{Filter: "up/#", QoS: qos, RemotePrefix: "site/"}},
		Backoff: bridge.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond},
		Dial:    cable.dial,
	})
	defer g.stop()
	const part = total / (faults + 1)
	for i := range total {
		put(t, g, qos, fmt.Sprint(i))
		if i%part != part-1 {
			continue
		}
		sub.receive(i - part/2) // in the middle of things
		if how == "cut" {
			cable.cut()
			continue
		}
		m.stop()
		m.start()
		sub.connect()
	}
	sub.receive(total)
	if diff := cmp.Diff(numbers(total), sub.order); diff != "" {
		t.Error(diff)
	}
	twice := 0
	for _, n := range sub.count {
		twice += n - 1
	}
	switch {
	case how == "restart":
	case qos == core.ExactlyOnce && twice > 0:
		t.Errorf("%d messages of QoS 2 came twice", twice)
	case twice > (faults+1)*100: // the windows
		t.Errorf("%d messages came twice, more than was under way", twice)
	}
}

// cable is a TCP connection that can be pulled out.
type cable struct {
	mu   sync.Mutex
	conn *net.TCPConn
}

func (c *cable) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn.(*net.TCPConn)
	return conn, nil
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetLinger(0) // reset, and lose what is under way
	c.conn.Close()
}

// put publishes as an adapter does, which has to wait when the broker is busy.
func put(t *testing.T, g *gateway, qos core.QoS, payload string) {
	t.Helper()
	for {
		err := g.broker.Publish(&core.Message{Topic: "up/a", Payload: []byte(payload), QoS: qos})
		switch {
		case err == nil:
			return
		case !errors.Is(err, core.ErrFull):
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}
