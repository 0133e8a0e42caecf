package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certify writes a certificate for this machine that signs itself, so that it is
// its own authority and can be a client's, too.
func certify(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	return certifyUntil(t, dir, name, time.Now().Add(time.Hour))
}

func certifyUntil(t *testing.T, dir, name string, end time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: end.Add(-2 * time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestListenersOfOthers: Debian's clients and MQTT.js over TLS and WebSocket, and a
// certificate that is renewed with SIGHUP.
func TestListenersOfOthers(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub", "node")
	t.Setenv("NODE_PATH", "/usr/share/nodejs")
	dir := t.TempDir()
	cert, key := certify(t, dir, "server")
	clientCert, clientKey := certify(t, dir, "machine-7")
	ports := map[string]int{}
	for _, name := range []string{"mqtts", "mutual", "ws", "wss"} {
		ports[name] = freePort(t)
	}
	g := startGateway(t, fmt.Sprintf(`
data_dir: %%DATA%%
listeners:
  - {name: lan, address: "%%MQTT%%"}
  - {name: mqtts, address: "127.0.0.1:%d", tls: &tls {cert: %s, key: %s}}
  - {name: mutual, address: "127.0.0.1:%d", anonymous: false, tls: {<<: *tls, client_ca: %s}}
  - {name: ws, address: "127.0.0.1:%d", protocol: ws}
  - {name: wss, address: "127.0.0.1:%d", protocol: ws, tls: *tls}
console: {address: "%%CONSOLE%%"}
auth: {acl: [{allow: [publish, subscribe], topics: "#"}]}
`, ports["mqtts"], cert, key, ports["mutual"], clientCert, ports["ws"], ports["wss"]))

	roundTrip := func(t *testing.T, name string, args ...string) error {
		t.Helper()
		args = append(args, "-h", "localhost", "-p", strconv.Itoa(ports[name]), "--cafile", cert, "-t", "tls/"+name)
		if out, err := run(t, lookPeer("mosquitto_pub"), append(args, "-r", "-q", "1", "-m", "hello")...); err != nil {
			return fmt.Errorf("mosquitto_pub: %w\n%s", err, out)
		}
		out, err := run(t, lookPeer("mosquitto_sub"), append(args, "-C", "1", "-W", "120")...)
		if strings.TrimSpace(out) != "hello" {
			return fmt.Errorf("mosquitto_sub: %w\n%s", err, out)
		}
		return nil
	}
	for _, version := range []string{"tlsv1.2", "tlsv1.3"} {
		t.Run("mosquitto over "+version, func(t *testing.T) {
			if err := roundTrip(t, "mqtts", "--tls-version", version); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("client certificate", func(t *testing.T) {
		if err := roundTrip(t, "mutual", "--cert", clientCert, "--key", clientKey); err != nil {
			t.Error(err)
		}
		if err := roundTrip(t, "mutual"); err == nil {
			t.Error("let in without a certificate")
		}
	})
	for _, protocol := range []string{"ws", "wss"} {
		for _, version := range []string{"4", "5"} {
			t.Run("MQTT.js "+protocol+" "+version, func(t *testing.T) {
				out, err := run(t, "node", filepath.Join("testdata", "mqttjs_client.js"), strconv.Itoa(ports[protocol]), version, protocol)
				if err != nil || !strings.HasSuffix(strings.TrimSpace(out), "ok") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
	t.Run("SIGHUP", func(t *testing.T) {
		certify(t, dir, "server")
		g.signal(syscall.SIGHUP)
		eventually(t, patience, "the new certificate", func() bool { return roundTrip(t, "mqtts") == nil })
	})
}
