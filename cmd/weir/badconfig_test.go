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

// TestSecretsStaySecret: no secret is in what config show prints, nor in the log, on
// $SYS, in the API, on the page or in the metrics of a gateway that has used all of
// them, well and badly.
func TestSecretsStaySecret(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	dir := t.TempDir()
	files := map[string]string{"cloud.secret": "hunter2-from-file", "jwt.secret": "hunter2-hunter2-hunter2-hunter2-hunter2"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := filepath.Join(dir, "users.txt")
	addUser(t, users, "alice", "hunter2-alice")
	addUser(t, users, "bob", "hunter2-bob", "--scram")
	token, stranger := tokenOf(files["jwt.secret"], "app", time.Hour), tokenOf("hunter2", "app", time.Hour)
	secrets := []string{"hunter2", token[strings.LastIndex(token, "."):], stranger[strings.LastIndex(stranger, "."):]}
	for line := range strings.Lines(string(read(t, users))) {
		_, hash, _ := strings.Cut(strings.TrimSpace(line), ":")
		secrets = append(secrets, hash, hash[strings.LastIndex(hash, "$")+1:])
	}
	g := startWithUsers(t, users, fmt.Sprintf("  jwt: {secret_file: %s, audience: weir, unknown_clock: trust}\n", filepath.Join(dir, "jwt.secret"))+`bridges:
  - {name: a, url: "mqtt://127.0.0.1:1", client_id: x, username: u, password_file: `+filepath.Join(dir, "cloud.secret")+`, out: [{filter: "a/#", qos: 1}]}
  - {name: b, url: "mqtt://127.0.0.1:1", client_id: y, username: u, password: hunter2-inline, out: [{filter: "b/#", qos: 1}]}
`)
	sys := start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(g.port), "-u", "alice", "-P", "hunter2-alice", "-t", "$SYS/#", "-t", "weir/#", "-v")
	eventually(t, patience, "an event", func() bool { return sys.out.String() != "" })
	for _, login := range [][2]string{
		{"alice", "hunter2-alice"},
		{"alice", "hunter2-wrong"},
		{"mallory", "hunter2"},
		{"bob", "hunter2-bob"},
		{"app", token},
		{"app", stranger},
		{"app", token + "x"},
	} {
		g.publish(login[0], login[1], "-V", "5", "-q", "1")
	}
	if err := os.WriteFile(users, append([]byte("mallory:hunter2-plain\n"), read(t, users)...), 0o600); err != nil {
		t.Fatal(err)
	}
	g.reload("not reloaded")
	show, code := weir(t, "config", "show", g.config)
	if code == 0 {
		t.Errorf("a users file with an error is taken: %s", show)
	}
	shown := map[string]string{"config show with an error": show}
	if _, code := weir(t, "user", "ls", "--file", users); code == 0 {
		t.Error("users of a file with an error are listed")
	}
	if err := os.WriteFile(users, []byte(strings.TrimPrefix(string(read(t, users)), "mallory:hunter2-plain\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if shown["config show"], code = weir(t, "config", "show", g.config); code != 0 {
		t.Fatalf("exit code %d: %s", code, shown["config show"])
	}
	if shown["user ls"], code = weir(t, "user", "ls", "--file", users); code != 0 {
		t.Fatalf("exit code %d: %s", code, shown["user ls"])
	}
	shown["status"], _ = weir(t, "status", "--config", g.config)
	for _, page := range []string{"/", "/metrics", "/api/v1/status", "/readyz"} {
		shown[page] = g.fetch(page)
	}
	g.stop()
	shown["log"], shown["$SYS"] = g.out.String(), sys.out.String()
	for where, text := range shown {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is shown in %s:\n%s", secret, where, text)
			}
		}
	}
}
