package bridge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = a.sign(template, template)
	a.cert, _ = x509.ParseCertificate(der)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes a certificate for localhost that is valid between two moments from now.
func (a *authority) issue(from, to time.Duration) (pair tls.Certificate, certFile, keyFile string) {
	der, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	pair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return pair, a.write("cert.pem", "CERTIFICATE", der), a.write("key.pem", "PRIVATE KEY", keyDER)
}

// heard collects what the bridge logs.
type heard struct {
	slog.Handler
	messages chan string
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }
func (h heard) WithAttrs([]slog.Attr) slog.Handler       { return h }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "why" {
			text += ": " + a.Value.String()
		}
		return true
	})
	if r.Level >= slog.LevelInfo {
		h.messages <- text
	}
	return nil
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	good, certFile, keyFile := a.issue(-time.Hour, time.Hour)
	expired, _, _ := a.issue(-2*time.Hour, -time.Hour)
	early, _, _ := a.issue(time.Hour, 2*time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	for _, tc := range []struct {
		name   string
		server *tls.Config // nil: no TLS
		client bridge.TLS
		host   string
		want   string // the beginning of what is logged first
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, bridge.TLS{CA: a.file}, "localhost", "uplink is up"},
		{"server name", &tls.Config{Certificates: []tls.Certificate{good}}, bridge.TLS{CA: a.file, ServerName: "localhost"}, "127.0.0.1", "uplink is up"},
		{"insecure", &tls.Config{Certificates: []tls.Certificate{expired}}, bridge.TLS{Insecure: true}, "127.0.0.1", "uplink is up"},
		{
			"client certificate",
			&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
			bridge.TLS{CA: a.file, Cert: certFile, Key: keyFile},
			"localhost", "uplink is up",
		},
		{
			"no client certificate",
			&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
			bridge.TLS{CA: a.file},
			"localhost",
			"uplink is down: TLS: the upstream refused the handshake: tls: certificate required: check tls.cert and tls.key",
		},
		{
			"C19 expired", &tls.Config{Certificates: []tls.Certificate{expired}},
			bridge.TLS{CA: a.file},
			"localhost", "uplink is down: TLS: the upstream's certificate expired on ",
		},
		{
			"not yet valid", &tls.Config{Certificates: []tls.Certificate{early}},
			bridge.TLS{CA: a.file},
			"localhost", "uplink is down: TLS: the upstream's certificate is valid from ",
		},
		{
			"C19 self-signed", &tls.Config{Certificates: []tls.Certificate{good}},
			bridge.TLS{},
			"localhost",
			"uplink is down: TLS: the upstream's certificate is signed by an authority that is not trusted: check tls.ca",
		},
		{
			"C19 wrong name", &tls.Config{Certificates: []tls.Certificate{good}},
			bridge.TLS{CA: a.file},
			"127.0.0.1", "uplink is down: TLS: x509: cannot validate certificate for 127.0.0.1",
		},
		{
			"no TLS there", nil,
			bridge.TLS{CA: a.file},
			"localhost", "uplink is down: ",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := firstLog(t, tc.server, tc.host, tc.client)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("logged %q, want %q", got, tc.want)
			}
		})
	}
}

// TestEmptyCAC19: a file of authorities without any is not taken for those of the system,
// or for none. A bridge is not made with it, the first time and the second; and where the
// file becomes empty while it runs, each of its connections is refused. What is owed
// stays. C19.
func TestEmptyCAC19(t *testing.T) {
	good := newAuthority(t).file
	for name, text := range map[string]string{"empty": "", "no certificate": "no PEM here\n", "a key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ca.pem")
			write := func(b []byte) {
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write([]byte(text))
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) {
					c.URLs, c.TLS = []string{"mqtts://cloud:1883"}, bridge.TLS{CA: file}
				})
				w.put(core.AtLeastOnce, "a", "x")
				for range 2 {
					if err := w.cfg.Validate(); err == nil || !strings.Contains(err.Error(), "no certificate") {
						t.Errorf("taken: %v", err)
					}
				}
				ca, err := os.ReadFile(good)
				if err != nil {
					t.Fatal(err)
				}
				write(ca)
				w.start()
				write([]byte(text))
				for range 2 {
					after(5 * time.Minute)
					if st := w.bridge.Status(); st.State == "connected" || !strings.Contains(st.Error, "no certificate") {
						t.Errorf("%s: %s", st.State, st.Error)
					}
				}
				if n := w.local.Queues()[0].Owed(); n != 1 {
					t.Errorf("%d are owed", n)
				}
				w.end()
			})
		})
	}
}

// firstLog runs a bridge to a TLS server over loopback until it says something.
func firstLog(t *testing.T, server *tls.Config, host string, client bridge.TLS) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := new(bridgetest.Upstream)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if server != nil {
				c = tls.Server(c, server)
			}
			up.Serve(c)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cfg := bridge.Config{
		Name: "cloud", ClientID: "gw-1", URLs: []string{"mqtts://" + net.JoinHostPort(host, port)}, TLS: client,
		Out: []bridge.OutRule{{Filter: "#", QoS: 1}},
		// localhost may be ::1 first
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		},
	}
	log := heard{messages: make(chan string, 100)}
	local := bridgetest.NewLocal(0)
	b, err := bridge.New(cfg, []bridge.Queue{local.NewQueue()}, bridge.LinkState{Owner: core.NewReceiverID()}, local, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	text := <-log.messages
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.Close()
	<-served
	return text
}
