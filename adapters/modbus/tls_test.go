package modbus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A device that wants a certificate gets ours, and one whose certificate nobody
// vouches for gets no request.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	config, err := TLS{CA: cert, Cert: cert, Key: key}.config("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, config.RootCAs
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	s := simulator.New()
	s.Unit(1).Set(simulator.Holdings, 0, 42)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.ServeTCP(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-done })
	for name, c := range map[string]struct {
		tls  TLS
		good bool
	}{
		"both know each other": {TLS{CA: cert, Cert: cert, Key: key}, true},
		"unknown authority":    {TLS{Cert: cert, Key: key}, false},
		"nothing to show":      {TLS{CA: cert}, false},
		"insecure":             {TLS{Cert: cert, Key: key, Insecure: true}, true},
		"another name":         {TLS{CA: cert, Cert: cert, Key: key, ServerName: "plc"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bus := newRecorder()
			a := newAdapter(t, Config{URL: "tls://" + ln.Addr().String(), TLS: c.tls, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}})
			stop := start(t, a, bus)
			got := bus.await(t, "a reading", func(m map[string]readingDoc) bool { return m["p/d/p"].Quality != "" })["p/d/p"]
			if (got.Value == 42.0) != c.good || !c.good && got.Quality != "comm-error" {
				t.Errorf("reading is %+v", got)
			}
			stop()
		})
	}
}
