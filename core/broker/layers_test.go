package broker_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// authority signs certificates and keeps them in files of a folder.
type authority struct {
	t    *testing.T
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, name: name, next: 2}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.write(name+".pem", "CERTIFICATE", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue makes a certificate, in NAME.pem and NAME.key.
func (a *authority) issue(name string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	a.next++
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write("cert-of-"+name+".pem", "CERTIFICATE", der)
	a.write("key-of-"+name+".pem", "PRIVATE KEY", keyDER)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// revoke writes a list with serial numbers.
func (a *authority) revoke(file string, serials ...int64) {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file, "X509 CRL", der)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// secured is a broker that asks for client certificates.
func secured(t *testing.T) (*brokertest.Server, *authority) {
	t.Helper()
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("localhost", nil)
	a.revoke("crl.pem")
	return brokertest.Start(t, broker.Config{Listeners: []broker.Listener{{
		Name: "tls", Address: "127.0.0.1:0",
		TLS: &transport.TLSFiles{
			Cert: a.file("cert-of-localhost.pem"), Key: a.file("key-of-localhost.pem"),
			ClientCA: a.file("ca.pem"), CRL: a.file("crl.pem"),
		},
	}}}), a
}

// handshake connects with TLS. With version 1.3 a refusal of the client's
// certificate comes with the first read.
func handshake(s *brokertest.Server, cfg *tls.Config) (*tls.Conn, error) {
	cfg.ServerName = "localhost"
	c, err := tls.Dial("tcp", s.Addr("tls").String(), cfg)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write(raw(&packet.Connect{Version: packet.V5, CleanStart: true, ClientID: []byte("c")}, packet.V5))
	first := make([]byte, 1)
	if _, err := c.Read(first); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func TestClientCertificates(t *testing.T) {
	s, a := secured(t)
	stranger := newAuthority(t, a.dir, "stranger")
	for name, tc := range map[string]struct {
		change func(*x509.Certificate)
		by     *authority
		want   string // identity, "" when it is refused
	}{
		"good":             {want: "machine"},
		"C13 expired":      {change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }},
		"C13 wildcard":     {change: func(c *x509.Certificate) { c.Subject.CommonName = "#" }},
		"C13 level":        {change: func(c *x509.Certificate) { c.Subject.CommonName = "a/b" }},
		"C13 control":      {change: func(c *x509.Certificate) { c.Subject.CommonName = "a\nb" }},
		"C13 no name":      {change: func(c *x509.Certificate) { c.Subject.CommonName = "" }},
		"C13 usage":        {change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
		"C13 other issuer": {by: stranger},
		"C13 revoked":      {change: func(c *x509.Certificate) { a.revoke("crl.pem", c.SerialNumber.Int64()) }},
		"C13 two names": {change: func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: "one"}, {Type: []int{2, 5, 4, 3}, Value: "two"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			by := tc.by
			if by == nil {
				by = a
			}
			cert := by.issue("machine", tc.change)
			if err := s.Reload(); err != nil {
				t.Fatal(err)
			}
			c, err := handshake(s, &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{cert}})
			if tc.want == "" {
				if err == nil {
					t.Error("let in")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := s.Clients(); len(got) != 1 || got[0].User != tc.want || got[0].Listener != "tls" {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		if _, err := handshake(s, &tls.Config{RootCAs: a.pool()}); err == nil {
			t.Error("let in")
		}
	})
	if n := s.Status().Refused["tls handshake"]; n < 9 {
		t.Errorf("%d handshakes were counted as refused", n)
	}
}

// TestTLSAttacks is row A14.
func TestTLSAttacks(t *testing.T) {
	s, a := secured(t)
	cert := a.issue("machine", nil)
	client := func(change func(*tls.Config)) *tls.Config {
		c := &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{cert}}
		change(c)
		return c
	}
	t.Run("A14 TLS 1.0", func(t *testing.T) {
		if _, err := handshake(s, client(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("A14 TLS 1.2", func(t *testing.T) {
		if _, err := handshake(s, client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })); err != nil {
			t.Error(err)
		}
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run("A14 ticket of before "+tls.VersionName(version), func(t *testing.T) {
			cfg := client(func(c *tls.Config) { c.MaxVersion, c.ClientSessionCache = version, tls.NewLRUClientSessionCache(4) })
			for i, want := range []bool{false, true, false} {
				if i == 2 {
					if err := s.Reload(); err != nil {
						t.Fatal(err)
					}
				}
				c, err := handshake(s, cfg)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.ConnectionState().DidResume; got != want {
					t.Errorf("handshake %d: resumed %t, want %t", i, got, want)
				}
				c.Close()
			}
		})
	}
}

// TestStalledHandshakes: the time for CONNECT runs from the start of the
// connection, whatever layer it hangs in.
func TestStalledHandshakes(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("localhost", nil)
	files := &transport.TLSFiles{Cert: a.file("cert-of-localhost.pem"), Key: a.file("key-of-localhost.pem")}
	s := brokertest.Start(t, broker.Config{
		Limits: broker.Limits{ConnectTimeout: 200 * time.Millisecond},
		Listeners: []broker.Listener{
			{Name: "tls", Address: "127.0.0.1:0", TLS: files, Anonymous: true},
			{Name: "wss", Address: "127.0.0.1:0", TLS: files, WebSocket: &transport.WebSocket{}, Anonymous: true},
			{Name: "ws", Address: "127.0.0.1:0", WebSocket: &transport.WebSocket{}, Anonymous: true},
			{Name: "proxy", Address: "127.0.0.1:0", ProxyFrom: loopback, Anonymous: true},
		},
	})
	for _, listener := range []string{"tls", "wss", "ws", "proxy"} {
		for name, send := range map[string]string{
			"A1 silence":             "",
			"A14 half a ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
			"half a request":         "GET / HTTP/1.1\r\nHost: ",
			"half a line":            "PROXY TCP4 ",
		} {
			t.Run(listener+" "+name, func(t *testing.T) {
				t.Parallel()
				c := tcp(t, s, listener)
				io.WriteString(c, send)
				c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
					t.Error("still open")
				}
			})
		}
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func tcp(t *testing.T, s *brokertest.Server, listener string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr(listener).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCertificatesChange: a renewed certificate is used without being told, a bad
// one leaves the one before in force, and says so.
func TestCertificatesChange(t *testing.T) {
	s, a := secured(t)
	cert := a.issue("machine", nil)
	serial := func() int64 {
		t.Helper()
		c, err := handshake(s, &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	first := serial()
	a.issue("localhost", nil)
	if err := s.Reload(); err != nil || serial() == first {
		t.Errorf("serial %d, %v", serial(), err)
	}
	second := serial()
	if err := os.WriteFile(a.file("cert-of-localhost.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || serial() != second {
		t.Errorf("a bad file: %v", err)
	}
	if l := s.Status().Listeners[0]; l.Error == "" || l.Protocol != "mqtts" || time.Until(*l.CertificateExpires) > time.Hour {
		t.Errorf("%+v", l)
	}
	a.issue("localhost", nil) // noticed within a second
	for until := time.Now().Add(time.Minute); serial() == second; {
		if time.Now().After(until) {
			t.Fatal("the new certificate is not used")
		}
	}
	if err := os.Remove(a.file("ca.pem")); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil { // never "no authority asked for"
		t.Error("a missing authority was accepted")
	}
	if _, err := handshake(s, &tls.Config{RootCAs: a.pool()}); err == nil {
		t.Error("let in without a certificate")
	}
}

// web is a broker with a WebSocket listener.
func web(t *testing.T, w transport.WebSocket) *brokertest.Server {
	return brokertest.Start(t, broker.Config{Listeners: []broker.Listener{{Name: "ws", Address: "127.0.0.1:0", Anonymous: true, WebSocket: &w, MaxPacket: 100 << 10}}})
}

func TestUpgrade(t *testing.T) {
	const good = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	s := web(t, transport.WebSocket{Origins: []string{"https://*.good.example"}})
	for name, tc := range map[string]struct {
		header string
		want   int
	}{
		"good":                      {good + "Sec-WebSocket-Protocol: mqtt\r\n", 101},
		"among others":              {good + "Sec-WebSocket-Protocol: x, mqtt\r\n", 101},
		"3.1":                       {good + "Sec-WebSocket-Protocol: mqttv3.1\r\n", 101},
		"compression is not agreed": {good + "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 101},
		"own origin":                {good + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: http://here.example\r\n", 101},
		"good origin":               {good + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://a.good.example\r\n", 101},
		"A12 foreign origin":        {good + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://evil.example\r\n", 403},
		"A12 other scheme":          {good + "Sec-WebSocket-Protocol: mqtt\r\nOrigin: http://a.good.example\r\n", 403},
		"A12 no subprotocol":        {good, 400},
		"A12 other subprotocol":     {good + "Sec-WebSocket-Protocol: chat\r\n", 400},
		"A12 1 MiB of header":       {"X: " + strings.Repeat("x", 1<<20) + "\r\n", 431},
		"no upgrade":                {"", 426},
		"no HTTP":                   {"nonsense\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := tcp(t, s, "ws")
			c.SetDeadline(time.Now().Add(time.Minute))
			go io.WriteString(c, "GET /mqtt HTTP/1.1\r\nHost: here.example\r\n"+tc.header+"\r\n")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.StatusCode != tc.want {
				t.Errorf("status %s", r.Status)
			}
			if e := r.Header.Get("Sec-WebSocket-Extensions"); e != "" {
				t.Errorf("extensions %s", e)
			}
		})
	}
}

// TestFrames is row A13: frames of WebSocket as no good client sends them.
func TestFrames(t *testing.T) {
	s := web(t, transport.WebSocket{})
	masked := func(first byte, payload string) string { // the mask is 0
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	hello := string(raw(&packet.Connect{Version: packet.V5, CleanStart: true}, packet.V5))
	pings := strings.Repeat("\xC0\x00", 50)
	huge := binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, 1<<63)
	for name, tc := range map[string]struct {
		send  string
		codes []uint16 // of which one is to come
	}{
		"A13 text":            {masked(0x81, hello), []uint16{1003}},
		"A13 unmasked":        {"\x82" + string(rune(len(hello))) + hello, []uint16{1002}},
		"A13 length 2^63":     {string(huge) + "\x00\x00\x00\x00", []uint16{1002, 1009}},
		"A13 RSV1":            {masked(0xC2, hello), []uint16{1002}},
		"A13 too long":        {masked(0x82, hello) + "\x82\xFF\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00" + strings.Repeat(pings, 4000), []uint16{1009}},
		"A13 endless message": {masked(0x02, hello) + strings.Repeat(masked(0x00, pings), 4000), []uint16{1009}},
	} {
		t.Run(name, func(t *testing.T) {
			c := tcp(t, s, "ws")
			c.SetDeadline(time.Now().Add(time.Minute))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
			br := bufio.NewReader(c)
			if r, err := http.ReadResponse(br, nil); err != nil || r.StatusCode != 101 {
				t.Fatal(err)
			}
			go io.WriteString(c, tc.send)
			got := closeCode(br)
			for _, want := range tc.codes {
				if got == want {
					return
				}
			}
			t.Errorf("closed with %d, want one of %d", got, tc.codes)
		})
	}
	alive(t, s)
}

// closeCode reads frames until that of the end; 0 where there is none.
func closeCode(r *bufio.Reader) uint16 {
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0
		}
		payload := make([]byte, payloadLength(r, head[1]))
		if _, err := io.ReadFull(r, payload); err != nil {
			return 0
		}
		if head[0]&0xF == 8 && len(payload) >= 2 {
			return binary.BigEndian.Uint16(payload)
		}
	}
}

// payloadLength is that of a frame that is not masked: many answers may share one.
func payloadLength(r io.Reader, b byte) uint64 {
	extended := make([]byte, 8)
	switch b &= 0x7F; b {
	case 126:
		io.ReadFull(r, extended[6:])
	case 127:
		io.ReadFull(r, extended)
	default:
		return uint64(b)
	}
	return binary.BigEndian.Uint64(extended)
}

// TestWebSocket: packets of all sizes, however they are cut into frames.
func TestWebSocket(t *testing.T) {
	s := web(t, transport.WebSocket{})
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, "ws://"+s.Addr("ws").String(), &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	client := brokertest.NewClient(t, websocket.NetConn(ctx, c, websocket.MessageBinary))
	c.SetReadLimit(-1)
	client.Connect(clean("w"))
	client.Subscribe("t", 1)
	for _, n := range []int{0, 1, 5000, 90_000} {
		client.Send(&packet.Publish{Topic: []byte("t"), Payload: make([]byte, n)})
		if m := client.NextPublish(); len(m.Payload) != n {
			t.Errorf("got %d bytes, want %d", len(m.Payload), n)
		}
	}
	for _, b := range raw(&packet.Publish{Topic: []byte("t"), Payload: []byte("in pieces")}, packet.V5) {
		client.Write(b)
	}
	client.Receive("t", "in pieces")
	if l := s.Status().Listeners[0]; l.Protocol != "ws" || l.Connections != 1 {
		t.Errorf("%+v", l)
	}
}

func TestProxy(t *testing.T) {
	for name, tc := range map[string]struct {
		from   string
		header string
		want   string // the address; "": refused; "own": that of the socket
		count  string
	}{
		"version 1":      {"127.0.0.0/8", "PROXY TCP4 192.0.2.7 127.0.0.1 5 1883\r\n", "192.0.2.7:5", ""},
		"health check":   {"127.0.0.1/32", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "own", ""},
		"not a proxy":    {"10.0.0.0/8", "PROXY TCP4 192.0.2.7 127.0.0.1 5 1883\r\n", "", "not a proxy"},
		"without header": {"127.0.0.0/8", "", "", "proxy header"},
	} {
		t.Run(name, func(t *testing.T) {
			s := brokertest.Start(t, broker.Config{Listeners: []broker.Listener{{
				Name: "p", Address: "127.0.0.1:0", Anonymous: true, ProxyFrom: []netip.Prefix{netip.MustParsePrefix(tc.from)},
			}}})
			conn := tcp(t, s, "p")
			io.WriteString(conn, tc.header)
			c := brokertest.NewClient(t, conn)
			if tc.want == "" {
				if ack := c.TryConnect(clean("c")); ack != nil {
					t.Errorf("answered %+v", ack)
				}
				if n := s.Status().Refused[tc.count]; n != 1 {
					t.Errorf("refused: %v", s.Status().Refused)
				}
				return
			}
			c.Connect(clean("c"))
			want := tc.want
			if want == "own" {
				want = conn.LocalAddr().String()
			}
			if got := s.Clients()[0].Address; got != want {
				t.Errorf("address %s, want %s", got, want)
			}
		})
	}
}

func TestVersionsOfAListener(t *testing.T) {
	cfg := onLoopback()
	cfg.Listeners[0].Versions = []packet.Version{packet.V5}
	cfg.Listeners[0].MaxConnections = 1
	cfg.Listeners[0].MaxPacket = 2000
	s := brokertest.Start(t, cfg)
	c := dial(t, s, "lo")
	c.Speak(packet.V311)
	if ack := c.TryConnect(packet.Connect{Version: packet.V311, CleanStart: true, ClientID: []byte("old")}); ack == nil || ack.Reason != packet.V3UnacceptableProtocol {
		t.Errorf("3.1.1: %+v", ack)
	}
	c.ExpectClosed()
	s.Status() // a turn: the connection has gone from the count
	c = dial(t, s, "lo")
	if ack := c.Connect(clean("new")); *ack.Properties.MaximumPacketSize != 2000 {
		t.Errorf("%+v", ack.Properties)
	}
	dial(t, s, "lo").ExpectClosed()
	c.Send(&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 3000)})
	c.ExpectReason(packet.PacketTooLarge)
	if n := s.Status().Refused["too many connections of the listener"]; n != 1 {
		t.Errorf("%v", s.Status().Refused)
	}
}

// TestManyFromOneAddressA6 is row A6: silent connections from one address cost their
// owner, not the clients that are there, nor those that come.
func TestManyFromOneAddressA6(t *testing.T) {
	cfg := onLoopback()
	cfg.Limits.MaxPerAddress, cfg.Limits.MaxOpening = 20, 5
	s := brokertest.Start(t, cfg)
	good := dial(t, s, "lo")
	good.Connect(clean("good"))
	var silent []*brokertest.Client
	for range 12 {
		silent = append(silent, dial(t, s, "lo"))
		good.ExpectNothing()
	}
	for _, c := range silent[:12-5] {
		c.ExpectClosed()
	}
	for i := range 15 { // the first lets one more of the silent go
		dial(t, s, "lo").Connect(clean(fmt.Sprint(i)))
	}
	dial(t, s, "lo").ExpectClosed()
	good.ExpectNothing()
	refused := s.Status().Refused
	if refused["silent connection gave way"] != 8 || refused["too many connections from the address"] != 1 {
		t.Errorf("refused: %v", refused)
	}
}

// TestManyFromOneNetworkA6: of IPv6 one peer has as many addresses as it likes; they
// count together.
func TestManyFromOneNetworkA6(t *testing.T) {
	s := brokertest.Start(t, broker.Config{
		Listeners: []broker.Listener{{Name: "p", Address: "127.0.0.1:0", Anonymous: true, ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		Limits:    broker.Limits{MaxPerAddress: 3},
	})
	from := func(source string) *brokertest.Client {
		conn := tcp(t, s, "p")
		fmt.Fprintf(conn, "PROXY TCP6 %s 2001:db8::ffff 4000 1883\r\n", source)
		return brokertest.NewClient(t, conn)
	}
	for i := range 3 {
		from(fmt.Sprintf("2001:db8:1:2::%x", i+1)).Connect(clean(fmt.Sprint(i)))
	}
	from("2001:db8:1:2:3:4:5:6").ExpectClosed()
	from("2001:db8:1:3::1").Connect(clean("from another network"))
}
