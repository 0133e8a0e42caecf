package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/bridge/bridgetest"
)

// wayUpstream is a mosquitto that is reached in several ways.
type wayUpstream struct {
	*mosquitto
	ports map[string]int               // by the kind of listener
	lines map[string]*bridgetest.Proxy // before them, if they are to be cut
	certs string                       // folder
}

func startWayUpstream(t *testing.T) *wayUpstream {
	t.Helper()
	u := &wayUpstream{
		ports: map[string]int{"ws": freePort(t), "wss": freePort(t), "expired": freePort(t)},
		lines: make(map[string]*bridgetest.Proxy), certs: t.TempDir(),
	}
	server, key := certify(t, u.certs, "server")
	client, _ := certify(t, u.certs, "client")
	certify(t, u.certs, "stranger")
	expired, expiredKey := certifyUntil(t, u.certs, "expired", time.Now().Add(-time.Hour))
	secure := "listener %d 127.0.0.1\nprotocol websockets\ncafile %s\ncertfile %s\nkeyfile %s"
	u.mosquitto = startMosquitto(t,
		fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets", u.ports["ws"]),
		fmt.Sprintf(secure+"\nrequire_certificate true", u.ports["wss"], client, server, key),
		fmt.Sprintf(secure, u.ports["expired"], client, expired, expiredKey))
	u.ports["mqtt"] = u.port
	for name, port := range u.ports {
		eventually(t, patience, "listening for "+name, func() bool { return listening(port) })
	}
	return u
}

// drawLines puts a line before each listener.
func (u *wayUpstream) drawLines(t *testing.T) {
	t.Helper()
	for name, port := range u.ports {
		line, err := bridgetest.NewProxy(fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Close)
		u.lines[name] = line
	}
}

// url of a listener, by its line if there is one. (A line may break before what the far
// end had to say has come through.)
func (u *wayUpstream) url(scheme, listener string) string {
	if line := u.lines[listener]; line != nil {
		return scheme + "://" + strings.Replace(line.Address(), "127.0.0.1", "localhost", 1)
	}
	return fmt.Sprintf("%s://localhost:%d", scheme, u.ports[listener])
}

// bridges is a configuration of some, each YAML without its name and rules; what it
// sends goes below its name.
func (u *wayUpstream) bridges(all map[string]string) string {
	var s strings.Builder
	s.WriteString(loopbackConfig + "bridges:\n")
	for name, more := range all {
		more = strings.ReplaceAll(more, "CERTS", u.certs)
		fmt.Fprintf(&s, "  - {name: %s, client_id: gw-%s, %s, backoff: {min: 50ms, max: 200ms}, out: [{filter: \"plant/#\", qos: 2, remote_prefix: \"%s/\"}]}\n", name, name, more, name)
	}
	return s.String()
}

// proxies are of Debian; "": without a login.
func startSocks(t *testing.T, login ...string) string {
	t.Helper()
	need(t, "microsocks")
	port := freePort(t)
	args := []string{"-i", "127.0.0.1", "-p", strconv.Itoa(port)}
	if len(login) > 0 {
		args = append(args, "-u", login[0], "-P", login[1])
	}
	start(t, lookPeer("microsocks"), args...)
	eventually(t, patience, "a listening microsocks", func() bool { return listening(port) })
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func startTinyproxy(t *testing.T, more string) string {
	t.Helper()
	need(t, "tinyproxy")
	port, conf := freePort(t), filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\n%s\n", port, more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, lookPeer("tinyproxy"), "-d", "-c", conf)
	eventually(t, patience, "a listening tinyproxy", func() bool { return listening(port) })
	return fmt.Sprintf("127.0.0.1:%d", port)
}

const (
	mutualTLS = `tls: {ca: CERTS/server.pem, cert: CERTS/client.pem, key: CERTS/client.key}`
	asMe      = `username: me, password: secret`
)

// TestWays: over each way to an upstream, with proxies of others in between, all comes
// through cuts, in order and once.
func TestWays(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	up := startWayUpstream(t)
	up.drawLines(t)
	socks, socksLogin := startSocks(t), startSocks(t, "me", "secret")
	proxy, proxyLogin := startTinyproxy(t, ""), startTinyproxy(t, "BasicAuth me secret")
	ways := map[string]string{
		"ws":         fmt.Sprintf(`url: "%s/mqtt"`, up.url("ws", "ws")),
		"wss":        fmt.Sprintf(`url: "%s/mqtt", %s`, up.url("wss", "wss"), mutualTLS),
		"socks":      fmt.Sprintf(`url: "%s", proxy: {url: "socks5://%s"}`, up.url("mqtt", "mqtt"), socks),
		"sockslogin": fmt.Sprintf(`url: "%s", proxy: {url: "socks5://%s", %s}`, up.url("mqtt", "mqtt"), socksLogin, asMe),
		"proxy":      fmt.Sprintf(`url: "%s", proxy: {url: "http://%s"}`, up.url("mqtt", "mqtt"), proxy),
		"proxylogin": fmt.Sprintf(`url: "%s", proxy: {url: "http://%s", %s}`, up.url("mqtt", "mqtt"), proxyLogin, asMe),
		"wssproxy":   fmt.Sprintf(`url: "%s/mqtt", %s, proxy: {url: "http://%s", %s}`, up.url("wss", "wss"), mutualTLS, proxyLogin, asMe),
		"wssocks":    fmt.Sprintf(`url: "%s/mqtt", proxy: {url: "socks5://%s", %s}`, up.url("ws", "ws"), socksLogin, asMe),
	}
	recs := make(map[string]*recorder)
	for name := range ways {
		recs[name] = record(t, up.port, name, name+"/#")
	}
	g := startGateway(t, up.bridges(ways))
	g.allConnected(len(ways))
	src := publishNumbered(t, g, "auditor", 2, time.Millisecond, "plant/a", "plant/b")
	for range 2 {
		src.grown(t, 150)
		for _, line := range up.lines {
			line.Cut()
		}
		src.grown(t, 150)
		for _, line := range up.lines {
			line.Restore()
		}
		g.allConnected(len(ways))
	}
	src.end()
	for name, rec := range recs {
		if v := settle(t, rec, g, src.source); v.Reversed > 0 || v.Duplicates > 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestWaysTold: `weir bridge test` names the stage that fails, and why.
func TestWaysTold(t *testing.T) {
	need(t, "mosquitto")
	up := startWayUpstream(t)
	socks, proxy := startSocks(t, "me", "secret"), startTinyproxy(t, "BasicAuth me secret")
	nobody := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	mqtt := fmt.Sprintf(`url: "%s"`, up.url("mqtt", "mqtt"))
	cases := map[string]struct {
		bridge string
		words  []string
	}{
		"goodwss":    {fmt.Sprintf(`url: "%s/mqtt", %s`, up.url("wss", "wss"), mutualTLS), []string{"DNS ", "TCP ", "TLS ", "certificate of server by server, until ", "WebSocket ", "CONNACK ", "PUBACK ", "echo "}},
		"goodproxy":  {fmt.Sprintf(`%s, proxy: {url: "http://%s", %s}`, mqtt, proxy, asMe), []string{"proxy      ok", "http://" + proxy + " to localhost:", "PUBACK"}},
		"nocert":     {fmt.Sprintf(`url: "%s/mqtt", tls: {ca: CERTS/server.pem}`, up.url("wss", "wss")), []string{"FAILED", "check tls.cert and tls.key"}},
		"wrongcert":  {fmt.Sprintf(`url: "%s/mqtt", tls: {ca: CERTS/server.pem, cert: CERTS/stranger.pem, key: CERTS/stranger.key}`, up.url("wss", "wss")), []string{"FAILED", "check tls.cert and tls.key"}},
		"wrongca":    {fmt.Sprintf(`url: "%s/mqtt", tls: {ca: CERTS/stranger.pem}`, up.url("wss", "wss")), []string{"TLS        FAILED", "not trusted: check tls.ca"}},
		"wrongname":  {fmt.Sprintf(`url: "%s/mqtt", tls: {ca: CERTS/server.pem, server_name: broker.example}`, up.url("wss", "wss")), []string{"TLS        FAILED", "check url and tls.server_name"}},
		"expired":    {fmt.Sprintf(`url: "%s/mqtt", tls: {ca: CERTS/expired.pem}`, up.url("wss", "expired")), []string{"TLS        FAILED", "the upstream's certificate expired on "}},
		"notls":      {fmt.Sprintf(`url: "%s/mqtt"`, up.url("wss", "ws")), []string{"TLS        FAILED", "does not speak TLS on this port"}},
		"http":       {fmt.Sprintf(`url: "%s"`, up.url("mqtt", "ws")), []string{"CONNACK    FAILED", "HTTP answers there, not MQTT: if it is MQTT over WebSocket, url begins with ws://"}},
		"nologin":    {fmt.Sprintf(`%s, proxy: {url: "socks5://%s"}`, mqtt, socks), []string{"proxy      FAILED", "it wants a user name and a password"}},
		"wronglogin": {fmt.Sprintf(`%s, proxy: {url: "socks5://%s", username: me, password: x}`, mqtt, socks), []string{"proxy      FAILED", "it refused user name and password"}},
		"httplogin":  {fmt.Sprintf(`%s, proxy: {url: "http://%s", username: me, password: x}`, mqtt, proxy), []string{"proxy      FAILED", "it refused user name and password"}},
		"noproxy":    {fmt.Sprintf(`%s, proxy: {url: "http://%s"}`, mqtt, nobody), []string{"proxy      FAILED", "no proxy listens on " + nobody}},
		"behind":     {fmt.Sprintf(`url: "mqtt://%s", proxy: {url: "socks5://%s", %s}`, nobody, socks, asMe), []string{"proxy      FAILED", "connection refused by the upstream"}},
		"mixed":      {fmt.Sprintf(`%s, proxy: {url: "http://%s", %s}`, mqtt, socks, asMe), []string{"proxy      FAILED", "it does not speak HTTP"}},
	}
	bridges := make(map[string]string)
	for name, c := range cases {
		bridges[name] = c.bridge
	}
	g := prepareGateway(t, up.bridges(bridges))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code := exitUnavailable
			if strings.HasPrefix(name, "good") {
				code = 0
			}
			expect(t, code, []string{"bridge", "test", name, "--config=" + g.config}, c.words...)
		})
	}
}
