package bridge_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// gateway is a real broker with a real bridge; only the network and the store are
// in memory.
type gateway struct {
	t      testing.TB
	broker *brokertest.Server
	cfg    bridge.Config
	bridge *bridge.Bridge
	cancel context.CancelFunc
	done   chan error
}

func startGateway(t testing.TB, server *brokertest.Server, cfg bridge.Config) *gateway {
	t.Helper()
	g := &gateway{t: t, broker: server, cfg: cfg}
	g.start()
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	var queues []bridge.Queue
	for i, r := range g.cfg.Out {
		q, err := g.broker.Attach(broker.RuleConfig{
			Name: fmt.Sprint(g.cfg.Name, i), Filters: []string{r.LocalFilter()}, Excludes: r.LocalExcludes(),
			QoS: r.QoS, RetainAsPublished: true, NoPublisher: "bridge:" + g.cfg.Name, Policy: r.Policy(),
		})
		if err != nil {
			g.t.Fatal(err)
		}
		queues = append(queues, q)
	}
	link, err := g.broker.Link(g.cfg.Name)
	if err != nil {
		g.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(g.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := bridge.New(g.cfg, queues, bridge.LinkState(link), g.broker, log)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.bridge, g.cancel, g.done = b, cancel, make(chan error, 1)
	go func() {
		defer close(g.done)
		g.done <- b.Run(ctx)
	}()
}

// stop may be called more than once.
func (g *gateway) stop() {
	g.t.Helper()
	g.cancel()
	if err := <-g.done; err != nil {
		g.t.Error(err)
	}
}

func between(n *bridgetest.Network) bridge.Config {
	return bridge.Config{
		Name: "cloud", Gateway: "gw", URLs: []string{"mqtt://cloud"}, ClientID: "gw-1",
		Out:  []bridge.OutRule{{Filter: "up/#", QoS: 2, RemotePrefix: "site/"}},
		In:   []bridge.InRule{{Filter: "cmd/#", QoS: 2, LocalPrefix: "cloud/"}},
		Dial: n.Dial, Backoff: bridge.Backoff{Min: time.Second, Max: 5 * time.Second},
	}
}

// twoBrokers runs a test with a gateway, and a second real broker as its cloud.
func twoBrokers(t *testing.T, test func(t *testing.T, n *bridgetest.Network, g *gateway, cloud *brokertest.Server)) {
	synctest.Test(t, func(t *testing.T) {
		n := new(bridgetest.Network)
		n.SetLatency(10 * time.Millisecond)
		cloud := brokertest.Start(t, broker.Config{SysInterval: -1})
		n.Listen(address, func(c net.Conn) { cloud.Serve(c, "uplink") })
		g := startGateway(t, brokertest.Start(t, broker.Config{SysInterval: -1}), between(n))
		after(time.Second)
		test(t, n, g, cloud)
		g.stop()
		n.Close()
		synctest.Wait()
	})
}

func client(s *brokertest.Server, id string) *brokertest.Client {
	c := s.Pipe()
	c.Connect(packet.Connect{CleanStart: true, ClientID: []byte(id)})
	return c
}

func TestBetweenTwoBrokers(t *testing.T) {
	twoBrokers(t, func(t *testing.T, _ *bridgetest.Network, g *gateway, cloud *brokertest.Server) {
		sub := client(cloud, "sub")
		sub.Subscribe("site/#", 2)
		pub := client(g.broker, "pub")
		for i := range 30 {
			pub.Publish("up/a", fmt.Sprint(i), byte(i%3))
			sub.Receive("site/up/a", fmt.Sprint(i))
		}
		after(time.Second)
		if s := g.bridge.Status(); s.State != "connected" || s.Published != 30 || s.Rules[0].Owed != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// While the uplink keeps up nothing is written for QoS 1.
func TestHealthyUplinkWritesNothing(t *testing.T) {
	twoBrokers(t, func(t *testing.T, _ *bridgetest.Network, g *gateway, _ *brokertest.Server) {
		pub := client(g.broker, "pub")
		for i := range 200 {
			pub.Publish("up/a", fmt.Sprint(i), 1)
		}
		after(time.Second)
		if n := g.broker.Store.Written(); n != 0 {
			t.Errorf("%d messages were written", n)
		}
		if n := g.bridge.Status().Published; n != 200 {
			t.Errorf("%d published", n)
		}
	})
}

func TestCommandsFromTheCloud(t *testing.T) {
	twoBrokers(t, func(t *testing.T, n *bridgetest.Network, g *gateway, cloud *brokertest.Server) {
		sub := client(g.broker, "sub")
		sub.Subscribe("cloud/#", 2)
		pub := client(cloud, "pub")
		for qos := range byte(3) {
			pub.Publish("cmd/a", fmt.Sprint(qos), qos)
			sub.Receive("cloud/cmd/a", fmt.Sprint(qos))
		}
		n.Cut() // the cloud keeps what comes meanwhile
		after(time.Millisecond)
		pub.Publish("cmd/a", "3", 1)
		pub.Publish("cmd/a", "4", 2)
		sub.Receive("cloud/cmd/a", "3")
		sub.Receive("cloud/cmd/a", "4")
	})
}

// An echo must not go round: both rules take the same topics.
func TestNoEcho(t *testing.T) {
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := new(bridgetest.Network)
				cloud := brokertest.Start(t, broker.Config{SysInterval: -1})
				n.Listen(address, func(c net.Conn) { cloud.Serve(c, "uplink") })
				cfg := between(n)
				cfg.Protocol = protocol
				cfg.Out = []bridge.OutRule{{Filter: "#", QoS: 1}}
				cfg.In = []bridge.InRule{{Filter: "#", QoS: 1}}
				g := startGateway(t, brokertest.Start(t, broker.Config{SysInterval: -1}), cfg)
				after(time.Second)
				here, there := client(g.broker, "here"), client(cloud, "there")
				here.Publish("a", "from here", 1)
				there.Publish("a", "from there", 1)
				after(time.Minute)
				s := g.bridge.Status()
				if s.Published != 1 || s.Received > 2 {
					t.Errorf("%d out, %d in: something goes round", s.Published, s.Received)
				}
				g.stop()
				n.Close()
				synctest.Wait()
			})
		})
	}
}

func TestOutageAndCrash(t *testing.T) {
	twoBrokers(t, func(t *testing.T, n *bridgetest.Network, g *gateway, cloud *brokertest.Server) {
		sub := client(cloud, "sub")
		sub.Subscribe("site/#", 2)
		sub.AcknowledgeAll()
		n.Down(net.ErrClosed)
		n.Cut()
		pub := client(g.broker, "pub")
		for i := range 500 {
			pub.Publish("up/a", fmt.Sprint(i), byte(1+i/250)) // acknowledged, so on disk
		}
		crashed := g.broker.Crash()
		g.stop()
		g = startGateway(t, crashed, g.cfg)
		after(time.Minute)
		if got := g.bridge.Status().Rules[0].Owed; got != 500 {
			t.Errorf("%d are owed after the crash", got)
		}
		n.Down(nil)
		for i := range 500 {
			sub.Receive("site/up/a", fmt.Sprint(i))
		}
		after(time.Minute)
		if got := g.bridge.Status().Rules[0].Owed; got != 0 {
			t.Errorf("%d are still owed", got)
		}
		g.stop() // that of the old broker is stopped by the caller
		g.broker.Stop()
	})
}

// TestGatewayProperty is TestProperty with the real broker: any order of cuts and
// crashes, and everything that was acknowledged arrives.
func TestGatewayProperty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(rapidT{t}, func(rt *rapid.T) {
			n, up := new(bridgetest.Network), new(bridgetest.Upstream)
			n.Listen(address, up.Serve)
			n.SetLatency(20 * time.Millisecond)
			cfg := between(n)
			cfg.Backoff = bridge.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
			cfg.MaxInflight = rapid.SampledFrom([]int{1, 3, 20}).Draw(rt, "window")
			tb := &cleanups{TB: t}
			g := startGateway(tb, brokertest.Start(tb, broker.Config{SysInterval: -1}), cfg)
			defer func() {
				g.stop()
				n.Close()
				tb.run()
				synctest.Wait()
			}()
			l := ledger{acked: make(map[string]bool)}
			rt.Repeat(map[string]func(*rapid.T){
				"publish":  func(t *rapid.T) { l.publish(t, g.broker) },
				"publish2": func(t *rapid.T) { l.publish(t, g.broker) },
				"wait":     wait,
				"wait2":    wait,
				"cut":      func(*rapid.T) { n.Cut() },
				"crash": func(*rapid.T) {
					l.mark()
					crashed := g.broker.Crash()
					n.Cut()
					g.stop()
					g = startGateway(tb, crashed, cfg)
				},
			})
			for range 60 {
				after(time.Second)
				if g.bridge.Status().Rules[0].Owed == 0 {
					break
				}
			}
			after(time.Second)
			l.check(rt, up)
		})
	})
}

// ledger is who was promised what.
type ledger struct {
	mu    sync.Mutex
	sent  []string
	acked map[string]bool
	epoch int
}

func (l *ledger) publish(t *rapid.T, s *brokertest.Server) {
	for range rapid.IntRange(1, 10).Draw(t, "messages") {
		qos := rapid.SampledFrom([]core.QoS{1, 2}).Draw(t, "qos")
		payload := fmt.Sprintf("%d-%d", qos, len(l.sent))
		l.sent = append(l.sent, payload)
		epoch := l.epoch
		s.Accept(&core.Message{Topic: "up/a", Payload: []byte(payload), QoS: qos, Publisher: "test"}, nil, func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err == nil && epoch == l.epoch { // not after the crash: nobody hears it
				l.acked[payload] = true
			}
		})
	}
}

// mark: what was not promised before now is nobody's to expect.
func (l *ledger) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
}

// check: nothing is lost, QoS 2 comes once, and each QoS in order (the broker
// delivers QoS 2 when it is durable, so that QoS 1 may overtake it).
func (l *ledger) check(t *rapid.T, up *bridgetest.Upstream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := payloads(up.Got())
	for _, qos := range []byte{'1', '2'} {
		var first, want []string
		for i, p := range got {
			switch {
			case p[0] != qos:
			case !slices.Contains(got[:i], p):
				first = append(first, p)
			case qos == '2':
				t.Fatalf("%s arrived twice: %v", p, got)
			}
		}
		for _, p := range l.sent {
			if p[0] == qos && (l.acked[p] || slices.Contains(first, p)) {
				want = append(want, p)
			}
		}
		if diff := cmp.Diff(want, first); diff != "" {
			t.Fatalf("first arrivals (-want +got):\n%s", diff)
		}
	}
	if v := up.Violations(); v != nil {
		t.Fatalf("the upstream saw %v", v)
	}
}

// cleanups runs at the end of a round, not of the test.
type cleanups struct {
	testing.TB
	fs []func()
}

func (c *cleanups) Cleanup(f func())  { c.fs = append(c.fs, f) }
func (c *cleanups) Output() io.Writer { return io.Discard }

func (c *cleanups) run() {
	for _, f := range slices.Backward(c.fs) {
		f()
	}
}
