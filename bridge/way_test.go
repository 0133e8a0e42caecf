package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// onTCP runs a bridge over real sockets until three messages are paid.
func onTCP(t *testing.T, cfg bridge.Config) (err error) {
	t.Helper()
	cfg.Name, cfg.Gateway, cfg.ClientID = "cloud", "gw", "gw-1"
	cfg.Out = []bridge.OutRule{{Filter: "#", QoS: 2}}
	local := bridgetest.NewLocal(time.Millisecond)
	queue := local.NewQueue()
	for i := range 3 {
		queue.Put(&core.Message{Topic: "a", Payload: fmt.Append(nil, i), QoS: core.QoS(1 + i%2)})
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	b, err := bridge.New(cfg, []bridge.Queue{queue}, bridge.LinkState{Owner: local.Owner()}, local, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		s := b.Status()
		if queue.Owed() == 0 || s.State == "waiting" || ctx.Err() != nil {
			if s.Error != "" {
				err = fmt.Errorf("%s", s.Error)
			} else if queue.Owed() > 0 {
				err = ctx.Err()
			}
			break
		}
	}
	cancel()
	if failed := <-done; failed != nil {
		t.Error(failed)
	}
	return err
}

// listenUp serves an upstream on the loopback.
func listenUp(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func TestWebSocket(t *testing.T) {
	for _, tc := range []struct {
		name string
		tls  bool
		path string
		want string
	}{
		{name: "ws", path: "/mqtt?tenant=7"},
		{name: "wss", tls: true, path: "/mqtt?tenant=7"},
		{name: "no such path", path: "/other", want: "404"},
		{name: "another subprotocol", path: "/plain", want: "does not offer the subprotocol mqtt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := new(bridgetest.Upstream)
			mux := http.NewServeMux()
			serve := func(protocols ...string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: protocols})
					if err != nil {
						t.Error(err)
						return
					}
					up.Serve(websocket.NetConn(context.Background(), c, websocket.MessageBinary))
				}
			}
			mux.HandleFunc("/mqtt", serve("mqtt"))
			mux.HandleFunc("/plain", serve())
			server := httptest.NewUnstartedServer(mux)
			cfg := bridge.Config{}
			scheme := "ws"
			if tc.tls {
				server.StartTLS()
				scheme, cfg.TLS.Insecure = "wss", true
			} else {
				server.Start()
			}
			defer server.Close()
			cfg.URLs = []string{scheme + "://" + server.Listener.Addr().String() + tc.path}
			err := onTCP(t, cfg)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			if diff := cmp.Diff([]string{"0", "1", "2"}, payloads(up.Got())); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

// httpProxy is a small one; it wants the login "me:secret" if asked to.
func httpProxy(login bool) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if login && req.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
			io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
			return
		}
		through(c, req.Host, "HTTP/1.1 200 Connected\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n\r\n")
	}
}

// socksProxy is the same for SOCKS5.
func socksProxy(login bool) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		take := func(n byte) []byte {
			b := make([]byte, n)
			io.ReadFull(r, b)
			return b
		}
		method := take(take(2)[1])[0]
		if login != (method == 2) {
			c.Write([]byte{5, 0xFF})
			return
		}
		c.Write([]byte{5, method})
		if login {
			user := string(take(take(2)[1]))
			if password := string(take(take(1)[0])); user != "me" || password != "secret" {
				c.Write([]byte{1, 1})
				return
			}
			c.Write([]byte{1, 0})
		}
		host := string(take(take(5)[4]))
		port := take(2)
		through(c, fmt.Sprintf("%s:%d", host, int(port[0])<<8|int(port[1])), "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
	}
}

func through(c net.Conn, address, yes, no string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		io.WriteString(c, no)
		return
	}
	io.WriteString(c, yes)
	go func() {
		io.Copy(far, c)
		far.Close()
	}()
	io.Copy(c, far)
}

func TestProxy(t *testing.T) {
	for _, tc := range []struct {
		name  string
		proxy func(net.Conn)
		cfg   bridge.Proxy
		down  bool
		want  string
	}{
		{name: "http", proxy: httpProxy(false), cfg: bridge.Proxy{URL: "http"}},
		{name: "http with login", proxy: httpProxy(true), cfg: bridge.Proxy{URL: "http", Username: "me", Password: "secret"}},
		{name: "http, no login", proxy: httpProxy(true), cfg: bridge.Proxy{URL: "http"}, want: "it wants a user name and a password"},
		{name: "http, upstream away", proxy: httpProxy(false), cfg: bridge.Proxy{URL: "http"}, down: true, want: "it answers 502 Bad Gateway"},
		{name: "socks5", proxy: socksProxy(false), cfg: bridge.Proxy{URL: "socks5"}},
		{name: "socks5 with login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5", Username: "me", Password: "secret"}},
		{name: "socks5, wrong login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5", Username: "me", Password: "x"}, want: "it refused user name and password"},
		{name: "socks5, no login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5"}, want: "it does not take this kind of login"},
		{name: "socks5, upstream away", proxy: socksProxy(false), cfg: bridge.Proxy{URL: "socks5"}, down: true, want: "connection refused by the upstream"},
		{name: "not a proxy", proxy: func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); c.Close() }, cfg: bridge.Proxy{URL: "socks5"}, want: "it does not speak SOCKS5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := new(bridgetest.Upstream)
			target := listenUp(t, up.Serve)
			if tc.down {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				target = l.Addr().String()
				l.Close()
			}
			tc.cfg.URL += "://" + listenUp(t, tc.proxy)
			err := onTCP(t, bridge.Config{URLs: []string{"mqtt://" + target}, Proxy: tc.cfg, BindAddress: "127.0.0.1"})
			switch {
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %s", err, tc.want)
			case tc.want == "" && (err != nil || len(up.Got()) != 3):
				t.Errorf("%v, %d messages", err, len(up.Got()))
			}
		})
	}
}

// twoServers is a world with a second server; dead says which does not answer.
func twoServers(t *testing.T, choose string) (w *world, dead *[2]atomic.Bool) {
	dead = new([2]atomic.Bool)
	w = newWorld(t, func(c *bridge.Config) {
		c.URLs = []string{"mqtt://one", "mqtt://two"}
		c.Select = choose
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if address == "one:1883" && dead[0].Load() || address == "two:1883" && dead[1].Load() {
				return nil, fmt.Errorf("%s is away", address)
			}
			return w.net.Dial(ctx, address)
		}
	})
	w.net.Listen("one:1883", w.up.Serve)
	w.net.Listen("two:1883", w.up.Serve)
	return w, dead
}

func TestFailBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dead := twoServers(t, bridge.SelectPrimary)
		dead[0].Store(true)
		w.start()
		after(5 * time.Second)
		if url := w.bridge.Status().URL; url != "mqtt://two:1883" {
			t.Errorf("connected to %s", url)
		}
		w.put(2, "a", "0")
		after(3 * time.Minute) // the first stays away
		dead[0].Store(false)
		after(2 * time.Minute)
		if url := w.bridge.Status().URL; url != "mqtt://one:1883" {
			t.Errorf("connected to %s", url)
		}
		w.put(2, "a", "1")
		after(10 * time.Minute)
		w.wantPayloads("0", "1")
		if n := w.bridge.Status().Reconnects; n != 1 {
			t.Errorf("%d reconnects", n)
		}
		w.end()
	})
}

func TestRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := twoServers(t, bridge.SelectRoundRobin)
		w.start()
		for i := range 4 {
			after(10 * time.Minute)
			if url, want := w.bridge.Status().URL, []string{"mqtt://one:1883", "mqtt://two:1883"}[i%2]; url != want {
				t.Errorf("connected to %s, want %s", url, want)
			}
			w.net.Cut()
		}
		after(time.Minute)
		w.end()
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		after(time.Second)
		w.put(2, "a", "0")
		after(time.Second)
		w.bridge.Pause()
		w.bridge.Pause()
		after(time.Second)
		w.wantState("paused", "")
		w.put(2, "a", "1")
		after(time.Hour)
		w.wantState("paused", "")
		w.wantOwed(1)
		w.bridge.Resume()
		after(time.Second)
		w.wantState("connected", "")
		w.wantPayloads("0", "1")
		w.bridge.Pause() // and stopping works then, too
		after(time.Second)
		w.end()
	})
}

func TestPauseRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Out = []bridge.OutRule{{Filter: "a/#", QoS: 2, LocalPrefix: "x/"}, {Filter: "b", QoS: 1}}
		})
		w.start()
		put := func(rule int, payload string) {
			w.local.Queues()[rule].Put(&core.Message{Topic: []string{"x/a/1", "b"}[rule], Payload: []byte(payload), QoS: 1})
		}
		if err := w.bridge.PauseRule("a/#"); !errors.Is(err, bridge.ErrNoRule) {
			t.Errorf("a rule that is not there: %v", err)
		}
		if err := w.bridge.PauseRule("x/a/#"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		put(0, "0")
		put(1, "1")
		w.net.Cut()
		after(time.Hour)
		w.wantPayloads("1")
		w.wantOwed(1)
		if r := w.bridge.Status().Rules; !r[0].Paused || r[1].Paused {
			t.Errorf("rules %+v", r)
		}
		if err := w.bridge.ResumeRule("x/a/#"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		w.wantPayloads("1", "0")
		w.end()
	})
}

// What each service does that its CONNACK does not say: the preset knows it, so that
// everything arrives that can, and no connection is lost over it.
func TestPresets(t *testing.T) {
	closeAt := func(bad func(bridgetest.Received) bool) bridgetest.Quirks {
		return bridgetest.Quirks{Publish: func(r bridgetest.Received) bridgetest.Reaction { return bridgetest.Reaction{Close: bad(r)} }}
	}
	deep := "a/b/c/d/e/f/g/h/i/j/k"
	for _, tc := range []struct {
		preset string
		quirks bridgetest.Quirks
		unfit  int // of the messages below
		rate   bool
	}{
		{preset: "generic"},
		{preset: "mosquitto"},
		{preset: "weir"},
		{preset: "emqx"},
		{preset: "emqx-serverless", unfit: 1, rate: true, quirks: closeAt(func(r bridgetest.Received) bool { return strings.Count(r.Topic, "/") >= 10 })},
		{preset: "hivemq", quirks: bridgetest.Quirks{ReceiveMaximum: 10}},
		{preset: "aws-iot", unfit: 1, quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || strings.Count(r.Topic, "/") > 7 })},
		{preset: "azure-iot-hub", quirks: closeAt(func(r bridgetest.Received) bool {
			return r.QoS == 2 || r.Retain || !strings.HasPrefix(r.Topic, "devices/gw-1/messages/events/topic=")
		})},
		{preset: "azure-event-grid", quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || r.Retain })},
		{preset: "nats", unfit: 1, quirks: func() bridgetest.Quirks {
			q := closeAt(func(r bridgetest.Received) bool { return strings.Contains(r.Topic, " ") })
			q.Refuse = func(c *packet.Connect) packet.Reason {
				if c.Version == packet.V5 {
					return packet.UnsupportedProtocolVersion
				}
				return packet.Success
			}
			return q
		}()},
		{preset: "rabbitmq", unfit: 1, quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || strings.Contains(r.Topic, ".") })},
	} {
		t.Run(tc.preset, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var aside []bridge.Quarantined
				w := newWorld(t, func(c *bridge.Config) {
					c.Preset = tc.preset
					c.Quarantine = func(q bridge.Quarantined) error { aside = append(aside, q); return nil }
				})
				w.up.Quirks = tc.quirks
				w.start()
				after(time.Second)
				topics := []string{"a", deep, "b c", "d.e", "a"}
				for i := range 100 {
					w.put(core.QoS(1+i%2), "a", fmt.Sprint(i))
				}
				for _, topic := range topics {
					w.putMessage(&core.Message{Topic: topic, Payload: []byte("x"), QoS: 2, Retain: true})
				}
				begin := time.Now()
				w.local.Queues()[0].WaitPaid()
				took := time.Since(begin)
				after(time.Second)
				if got, want := len(w.up.Got()), 100+len(topics)-tc.unfit; got != want || len(aside) != tc.unfit {
					t.Errorf("%d arrived, want %d; set aside: %+v", got, want, aside)
				}
				if n := w.bridge.Status().Reconnects; n != 0 {
					t.Errorf("%d reconnects", n)
				}
				if slow := took > 10*time.Second; slow != tc.rate {
					t.Errorf("it took %v", took)
				}
				w.end()
			})
		})
	}
	if n := len(bridge.Presets()); n != 11 {
		t.Errorf("%d presets, not all of which are tried here", n)
	}
}

// The password of Azure IoT Hub is made anew before it ends, without a loss.
func TestAzureToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Preset, c.SASKey = "azure-iot-hub", "aGVsbG8=" })
		w.start()
		for i := range 300 {
			w.put(1, "t", fmt.Sprint(i))
			after(time.Minute)
		}
		connects := w.up.Connects()
		if len(connects) != 1+300/48 {
			t.Errorf("%d connections in five hours", len(connects))
		}
		seen := make(map[string]bool)
		for _, c := range connects {
			seen[string(c.Password)] = true
			if user := string(c.Username); user != "cloud/gw-1/?api-version=2021-04-12" {
				t.Errorf("user %s", user)
			}
			if !strings.HasPrefix(string(c.Password), "SharedAccessSignature sr=cloud%2Fdevices%2Fgw-1&sig=") {
				t.Errorf("password %s", c.Password)
			}
		}
		if len(seen) != len(connects) || len(w.up.Got()) != 300 {
			t.Errorf("%d passwords for %d connections, %d messages", len(seen), len(connects), len(w.up.Got()))
		}
		w.end()
	})
}

func TestRoutes(t *testing.T) {
	c := bridge.Config{
		Name: "cloud", Gateway: "gw", ClientID: "id", Preset: "aws-iot",
		Out: []bridge.OutRule{
			{Filter: "plant/#", QoS: 2, RemotePrefix: "site7/", Exclude: []string{"plant/debug/#"}},
			{Filter: "+/+/#", LocalPrefix: "l/", QoS: 1, RemoteTopic: "{gateway}/{bridge}/{client_id}/{2}/{1}/x{#}/{topic}"},
			{Filter: "one", QoS: 1, RemoteTopic: "{3}b"},
		},
		In: []bridge.InRule{
			{Filter: "cmd/#", QoS: 1, RemotePrefix: "site7/", LocalPrefix: "cloud/"},
			{Filter: "set/+", QoS: 1, LocalTopic: "plant/{2}/set"},
		},
	}
	for topic, want := range map[string][]bridge.Route{
		"plant/a":       {{"out", "plant/#", "site7/plant/a", 1, ""}},
		"plant/debug/x": {{"out", "plant/#", "site7/plant/debug/x", 1, "excluded by plant/debug/#"}},
		"l/a/b/c":       {{"out", "l/+/+/#", "gw/cloud/id/b/a/xc/a/b/c", 1, "the topic has more than 8 levels"}},
		"one":           {{"out", "one", "b", 1, ""}},
		"site7/cmd/x":   {{"in", "site7/cmd/#", "cloud/cmd/x", 1, ""}},
		"set/valve":     {{"in", "set/+", "plant/valve/set", 1, ""}},
		"other":         nil,
	} {
		if diff := cmp.Diff(want, c.Routes(topic)); diff != "" {
			t.Errorf("%s: %s", topic, diff)
		}
	}
}

// A message that the upstream refuses is set aside with all that it had, whether it
// is remembered or has to come again.
func TestQuarantine(t *testing.T) {
	for name, size := range map[string]int{"remembered": 10, "comes again": 5 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var aside []bridge.Quarantined
				w := newWorld(t, func(c *bridge.Config) {
					c.Quarantine = func(q bridge.Quarantined) error { aside = append(aside, q); return nil }
				})
				w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
					if r.Topic == "denied" {
						return bridgetest.Reaction{Answer: packet.NotAuthorized}
					}
					return bridgetest.Reaction{}
				}
				w.start()
				after(time.Second)
				w.put(1, "a", "0")
				w.put(1, "denied", strings.Repeat("x", size))
				w.put(1, "a", "1")
				after(time.Second)
				w.wantPayloads("0", "1")
				if size > 100 { // it is owed until the next connection
					w.wantOwed(1)
					w.net.Cut()
					after(time.Minute)
				}
				w.wantOwed(0)
				if len(aside) != 1 || len(aside[0].Message.Payload) != size || aside[0].Why != "Not authorized" || aside[0].Rule != "#" {
					t.Errorf("set aside: %d, %.200v", len(aside), aside)
				}
				w.end()
			})
		})
	}
}

// The disk of the quarantine may take its time: others go on meanwhile, what is being
// set aside stays owed, and a connection that ends sets nothing aside twice.
func TestSlowQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var aside atomic.Int32
		w := newWorld(t, func(c *bridge.Config) {
			c.Quarantine = func(bridge.Quarantined) error {
				time.Sleep(10 * time.Second)
				aside.Add(1)
				return nil
			}
		})
		w.up.Quirks.MaxPacket = 100
		w.start()
		after(time.Second)
		w.put(1, "a", strings.Repeat("x", 200))
		w.put(1, "a", "0")
		after(time.Second)
		w.wantPayloads("0")
		w.wantOwed(1)
		w.net.Cut()
		after(time.Minute)
		w.wantOwed(0)
		if n := aside.Load(); n != 1 {
			t.Errorf("set aside %d times", n)
		}
		w.end()
	})
}

// counted counts what a bridge writes.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

// TestUplinkBytes is what a message of 100 bytes with a topic of 30 costs on the way
// up, keep-alives and all.
func TestUplinkBytes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		aliases uint16
		most    float64
	}{{"with topic aliases", 10, 115}, {"without", 0, 140}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bytes atomic.Int64
				w := newWorld(t, func(c *bridge.Config) { c.Out[0].QoS = 1 })
				w.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
					c, err := w.net.Dial(ctx, address)
					return counted{c, &bytes}, err
				}
				w.up.Quirks.Aliases = tc.aliases
				w.start()
				after(time.Second)
				before := bytes.Load()
				const messages = 2000
				for i := range messages {
					w.put(1, fmt.Sprintf("plant/line1/meter%d/voltage/xyz", i%10)[:30], strings.Repeat("x", 100))
					after(100 * time.Millisecond)
				}
				each := float64(bytes.Load()-before) / messages
				t.Logf("%.1f bytes a message, %d keep-alives", each, w.up.Pings())
				if each > tc.most || w.up.Pings() > 0 || len(w.up.Got()) != messages {
					t.Errorf("%.1f bytes a message (at most %.0f), %d keep-alives, %d arrived", each, tc.most, w.up.Pings(), len(w.up.Got()))
				}
				w.end()
			})
		})
	}
}
