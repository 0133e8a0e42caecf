package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadConfiguration: everything that is wrong at once, with line, excerpt and
// suggestion, exit code 78, and nothing started.
func TestBadConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "weir.yaml")
	port := freePort(t)
	text := fmt.Sprintf(`data_dir: %s/data
listeners:
  - {name: lan, adress: "127.0.0.1:%d"}
storage: {budget: 2 apples}
bridges:
  - name: cloud
    url: mqtt://broker.example
    out: [{filter: "plant/#/x", qos: 3}]
adapters:
  - {name: scale, type: serail, port: /dev/ttyUSB0}
`, dir, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "--config", file}, {"run", "--check", "--config", file}, {"config", "check", file}} {
		out, code := weir(t, args...)
		if code != exitConfig {
			t.Errorf("weir %v: exit code %d", args, code)
		}
		for _, want := range []string{"weir.yaml:3", "address", "weir.yaml:4", "2 apples", "weir.yaml:8", "plant/#/x", "weir.yaml:10", "serail", "serial"} {
			if !strings.Contains(out, want) {
				t.Errorf("weir %v: no %q in\n%s", args, want, out)
			}
		}
	}
	if fileExists(filepath.Join(dir, "data")) {
		t.Error("the store was made for a configuration that is wrong")
	}
	if listening(port) {
		t.Error("somebody listens")
	}
	t.Run("no such file", func(t *testing.T) {
		if out, code := weir(t, "run", "--config", filepath.Join(dir, "nothing.yaml")); code != exitConfig || !strings.Contains(out, "nothing.yaml") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}

// TestSecretsStaySecret: what config show prints has no secret in it.
func TestSecretsStaySecret(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "cloud.secret")
	if err := os.WriteFile(secret, []byte("hunter2-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "weir.yaml")
	text := `bridges:
  - {name: a, url: "mqtt://broker.example", client_id: x, username: u, password_file: cloud.secret, out: [{filter: "a/#", qos: 1}]}
  - {name: b, url: "mqtt://broker.example", client_id: y, username: u, password: hunter2-inline, out: [{filter: "b/#", qos: 1}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := weir(t, "config", "show", file)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if strings.Contains(out, "hunter2") {
		t.Errorf("a secret in\n%s", out)
	}
}
