package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCert: certificates of weir cert let Debian's clients in over TLS, name their
// users, and are taken by the running gateway when they are renewed.
func TestCert(t *testing.T) {
	need(t, "mosquitto_pub")
	dir := filepath.Join(t.TempDir(), "tls")
	cert := func(want int, args ...string) string {
		t.Helper()
		out, code := weir(t, append(append([]string{"cert"}, args...), "--dir", dir)...)
		if code != want {
			t.Fatalf("weir cert %v: exit code %d, want %d: %s", args, code, want, out)
		}
		return out
	}
	out := cert(exitOK, "new", "--host", "localhost", "--host", "127.0.0.1", "--days", "30")
	if !strings.Contains(out, "authority "+filepath.Join(dir, "ca.pem")) || !strings.Contains(out, "names     localhost, 127.0.0.1\n") {
		t.Error(out)
	}
	if out := cert(exitOK, "new", "--client", "meter-7"); strings.Contains(out, "authority ") || !strings.Contains(out, "user      meter-7") {
		t.Error(out)
	}
	cert(exitFailed, "new")
	cert(exitUsage, "new", "--client", "a/b")
	cert(exitUsage, "new", "--client", "server")
	cert(exitUsage, "new", "--client", "x", "--days", "0")
	cert(exitUsage, "renew", "ca")
	cert(exitFailed, "renew", "nobody")
	for name, want := range map[string]os.FileMode{"ca.key": 0o600, "server.key": 0o600, "meter-7.key": 0o600, "ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	port := freePort(t)
	g := startGateway(t, fmt.Sprintf(`
data_dir: %%DATA%%
console: {address: "%%CONSOLE%%"}
listeners:
  - {name: plain, address: "%%MQTT%%"}
  - {name: machines, address: "127.0.0.1:%d", anonymous: false, tls: {cert: %[2]s/server.pem, key: %[2]s/server.key, client_ca: %[2]s/ca.pem}}
auth: {acl: [{user: meter-7, allow: publish, topics: "plant/%%u"}]}
`, port, dir))
	publish := func(topic string) string {
		file := func(name string) string { return filepath.Join(dir, name) }
		out, err := run(t, lookPeer("mosquitto_pub"), "-h", "localhost", "-p", strconv.Itoa(port), "--cafile", file("ca.pem"),
			"--cert", file("meter-7.pem"), "--key", file("meter-7.key"), "-V", "5", "-q", "1", "-d", "-t", topic, "-m", "x")
		if err != nil {
			return out + err.Error()
		}
		return out
	}
	if out := publish("plant/meter-7"); !strings.Contains(out, "RC:16") && !strings.Contains(out, "RC:0") {
		t.Errorf("not let in: %s", out)
	}
	if out := publish("plant/meter-8"); !strings.Contains(out, "RC:135") {
		t.Errorf("another's topic: %s", out)
	}
	expires := func() time.Time { return *g.status().Broker.Listeners[1].CertificateExpires }
	before := expires()
	if out := cert(exitOK, "renew", "--days", "300"); !strings.Contains(out, "renewed   ") {
		t.Error(out)
	}
	cert(exitOK, "renew", "meter-7")
	eventually(t, 10*time.Second, "the renewed certificate", func() bool {
		out := publish("plant/meter-7")
		return expires().After(before) && strings.Contains(out, "PUBACK")
	})
	shown := cert(exitOK, "show")
	for _, want := range []string{"authority Weir authority of ", "server    localhost, 127.0.0.1\n", "client    meter-7\n", "good for 299 days more", "good for 364 days more"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
}
