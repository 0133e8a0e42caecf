package bridge_test

import (
	"bufio"
	"bytes"
	"context"
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
	"github.com/weir-edge/weir/core/porttest"
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
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
		method := map[bool]byte{false: 0, true: 2}[login]
		if !bytes.Contains(take(take(2)[1]), []byte{method}) {
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
		{name: "http, wrong login", proxy: httpProxy(true), cfg: bridge.Proxy{URL: "http", Username: "me", Password: "x"}, want: "it refused user name and password"},
		{name: "http, upstream away", proxy: httpProxy(false), cfg: bridge.Proxy{URL: "http"}, down: true, want: "it does not connect us to 127.0.0.1:"},
		{name: "socks5", proxy: socksProxy(false), cfg: bridge.Proxy{URL: "socks5"}},
		{name: "socks5 with login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5", Username: "me", Password: "secret"}},
		{name: "socks5, wrong login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5", Username: "me", Password: "x"}, want: "it refused user name and password"},
		{name: "socks5, no login", proxy: socksProxy(true), cfg: bridge.Proxy{URL: "socks5"}, want: "it wants a user name and a password: give proxy.username"},
		{name: "socks5, a login that nobody asks for", proxy: socksProxy(false), cfg: bridge.Proxy{URL: "socks5", Username: "me", Password: "secret"}},
		{name: "socks5, upstream away", proxy: socksProxy(false), cfg: bridge.Proxy{URL: "socks5"}, down: true, want: "connection refused by the upstream"},
		{name: "not a proxy", proxy: func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); c.Close() }, cfg: bridge.Proxy{URL: "socks5"}, want: "it does not speak SOCKS5"},
		{name: "not a proxy of HTTP", proxy: func(c net.Conn) { io.WriteString(c, "\x05\xff"); c.Close() }, cfg: bridge.Proxy{URL: "http"}, want: "it does not speak HTTP"},
		{name: "no answer", proxy: func(c net.Conn) { c.Read(make([]byte, 3)); c.Close() }, cfg: bridge.Proxy{URL: "socks5"}, want: ": it closed the connection"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := new(bridgetest.Upstream)
			target := listenUp(t, up.Serve)
			if tc.down {
				target = porttest.Address(t)
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

// TestFailBackInVain: a load balancer takes connections for a first server that is away.
// The one that works is given up for it ever more rarely.
func TestFailBackInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := twoServers(t, bridge.SelectPrimary)
		var up atomic.Bool
		w.net.Listen("one:1883", func(c net.Conn) {
			if up.Load() {
				w.up.Serve(c)
			}
			c.Close()
		})
		w.start()
		after(24 * time.Hour)
		if s := w.bridge.Status(); s.URL != "mqtt://two:1883" || s.Reconnects > 30 {
			t.Errorf("connected to %s after %d reconnects in a day", s.URL, s.Reconnects)
		}
		up.Store(true)
		after(2 * time.Hour)
		if url := w.bridge.Status().URL; url != "mqtt://one:1883" {
			t.Errorf("connected to %s", url)
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
