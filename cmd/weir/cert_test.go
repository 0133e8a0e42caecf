package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// weirCert runs `weir cert` on a folder and gives what it says.
func weirCert(t testing.TB, dir string, code int, args ...string) string {
	t.Helper()
	out, got := weir(t, append(append([]string{"cert"}, args...), "--dir", dir)...)
	if got != code {
		t.Fatalf("weir cert %v: exit code %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// TestCertificates: what weir cert makes is good enough for OpenSSL and Mosquitto's
// clients, renewed while the gateway runs, and revoked.
func TestCertificates(t *testing.T) {
	need(t, "mosquitto_pub", "openssl")
	dir := filepath.Join(t.TempDir(), "certs")
	weirCert(t, dir, 0, "new", "localhost", "127.0.0.1")
	weirCert(t, dir, 0, "new", "--client", "meter-7")
	weirCert(t, dir, 0, "new", "--client", "meter-8")
	file := func(name string) string { return filepath.Join(dir, name) }
	if out, err := run(t, "openssl", "verify", "-x509_strict", "-CAfile", file("ca.pem"), file("server.pem"), file("meter-7.pem")); err != nil {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}
	port := freePort(t)
	g := startGateway(t, strings.ReplaceAll(fmt.Sprintf(`
data_dir: %%DATA%%
listeners:
  - {name: lan, address: "%%MQTT%%"}
  - name: tls
    address: "127.0.0.1:%d"
    tls: {cert: DIR/server.pem, key: DIR/server.key, client_ca: DIR/ca.pem, crl: DIR/revoked.pem}
console: {address: "%%CONSOLE%%"}
`, port), "DIR", dir))
	as := func(client string) []string {
		return []string{"-p", strconv.Itoa(port), "--cafile", file("ca.pem"), "--cert", file(client + ".pem"), "--key", file(client + ".key"), "-t", "a", "-m", "x", "-q", "1"}
	}
	mosquitto := func(client string) bool {
		_, err := run(t, lookPeer("mosquitto_pub"), append(as(client), "-h", "localhost")...)
		return err == nil
	}
	if !mosquitto("meter-7") || !mosquitto("meter-8") {
		t.Error("mosquitto_pub is not let in")
	}
	if out, code := weir(t, append([]string{"pub"}, as("meter-7")...)...); code != 0 {
		t.Errorf("weir pub: %s", out)
	}
	if out, code := weir(t, append([]string{"pub", "-h", "127.0.0.2"}, as("meter-7")...)...); code == 0 {
		t.Errorf("weir pub to another name: %s", out)
	}

	weirCert(t, dir, 0, "renew", "server", "meter-7")
	weirCert(t, dir, 0, "revoke", "meter-7")
	g.signal(syscall.SIGHUP)
	eventually(t, patience, "meter-7 is refused", func() bool { return !mosquitto("meter-7") })
	if !mosquitto("meter-8") {
		t.Error("meter-8 is refused, too")
	}
}

func TestCertificateCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing to show", []string{"show"}, exitFailed, "weir cert new makes them"},
		{"nothing to renew", []string{"renew"}, exitFailed, "no such file"},
		{"new", []string{"new"}, exitOK, "tls: {cert: " + dir + "/server.pem"},
		{"new again", []string{"new"}, exitFailed, "is there already"},
		{"client", []string{"new", "--client", "m"}, exitOK, "until"},
		{"client with names", []string{"new", "--client", "m", "host"}, exitUsage, "no other names"},
		{"no days", []string{"new", "--days", "0", "x"}, exitUsage, "at least 1"},
		{"show", []string{"show"}, exitOK, "localhost"},
		{"nothing ends", []string{"renew"}, exitOK, "nothing ends within 60 days"},
		{"soon", []string{"new", "--client", "short", "--days", "5"}, exitOK, "short.pem"},
		{"renew", []string{"renew"}, exitOK, "short.pem"},
		{"not a certificate", []string{"show", "/etc/hostname"}, exitFailed, "has no certificate"},
		{"revoke nobody", []string{"revoke", "who"}, exitFailed, "no certificate was issued"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if out := weirCert(t, dir, tt.code, tt.args...); !strings.Contains(out, tt.want) {
				t.Errorf("it says\n%s\nwant %q", out, tt.want)
			}
		})
	}
	if info, err := os.Stat(filepath.Join(dir, "server.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	// show fails when something is over, so that a monitor can call it.
	err := showCertificates(io.Discard, []string{filepath.Join(dir, "server.pem")}, time.Now().AddDate(3, 0, 0))
	if err == nil || !strings.Contains(err.Error(), "over: ") {
		t.Errorf("in three years: %v", err)
	}
}
