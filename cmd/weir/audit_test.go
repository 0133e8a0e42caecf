package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/audit"
	"github.com/weir-edge/weir/core/packet"
)

// TestAuditKilled: what has happened when the process is killed can be read.
func TestAuditKilled(t *testing.T) {
	g := startGateway(t, aclConfig)
	for i := range 5 {
		c := dialSession(t, g.port, fmt.Sprint("m-", i), packet.V311)
		for range 3 { // the loop has been to the network and back
			if _, err := c.Write([]byte{0xc0, 0}); err != nil {
				t.Fatal(err)
			}
			if kind, _ := c.packet(t); kind != packet.PINGRESP {
				t.Fatal(kind)
			}
		}
		g.kill()
		out, _ := weir(t, "audit", "login", "-c", g.config)
		if !strings.Contains(out, fmt.Sprint("client=m-", i, " ")) {
			t.Errorf("killed, and the login is lost:\n%s", out)
		}
		g.start()
	}
}

// TestAudit: what happens to the binary can be read afterwards.
func TestAudit(t *testing.T) {
	need(t, "mosquitto_pub")
	g := startGateway(t, aclConfig)
	publish := func(args ...string) {
		args = append([]string{"-p", strconv.Itoa(g.port), "-V", "5", "-q", "1", "-m", "x", "-i", "m-7"}, args...)
		_, _ = run(t, lookPeer("mosquitto_pub"), args...)
	}
	publish("-t", "plant/m-7/x")
	publish("-t", "se\"cret user=root")
	file, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"nonsense: true\n", string(file)} {
		if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := strings.Count(g.out.String(), "reloaded:")
		g.signal(syscall.SIGHUP)
		eventually(t, patience, "the reload", func() bool { return strings.Count(g.out.String(), "reloaded:") > before })
	}
	if code := g.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	out, code := weir(t, "audit", "-c", g.config)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	at := 0
	for _, want := range []string{
		"start          version=", "login          user=\"\" client=m-7 address=127.0.0.1 listener=lan\n",
		`denied         user="" client=m-7 address=127.0.0.1 action=publish topic="se\"cret user=root"` + "\n",
		"reload refused file=", "reload         file=", "stop", "login          user=\"\" client=m-7 address=127.0.0.1 listener=lan times=1\n",
	} {
		i := strings.Index(out, want)
		if i < 0 {
			t.Errorf("no %q in\n%s", want, out)
		}
		if want != "stop" && i < at && !strings.Contains(want, "times") {
			t.Errorf("%q stands too early in\n%s", want, out)
		}
		at = max(at, i)
	}
	if out, _ := weir(t, "audit", "denied", "-c", g.config, "--json"); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"topic":"se\"cret user=root"`) {
		t.Errorf("denied: %s", out)
	}
	if out, _ := weir(t, "audit", "-n", "2", "-c", g.config); strings.Count(out, "\n") != 2 {
		t.Errorf("last: %s", out)
	}
	if _, code := weir(t, "audit", "-c", filepath.Join(t.TempDir(), "none.yaml")); code != exitConfig {
		t.Errorf("without a configuration: exit code %d", code)
	}
}

// inside is a bus whose subscriber gets one command.
type inside struct{ m *core.Message }

func (inside) Publish(*core.Message) error { return nil }

func (b inside) Subscribe(_ string, deliver func(*core.Message)) (func(), error) {
	deliver(b.m)
	return func() {}, nil
}

func TestDeviceWritesAreAudited(t *testing.T) {
	dir := t.TempDir()
	a, err := audit.Open(dir, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	bus := auditedBus{inside{&core.Message{Topic: "plant/m1/set", Payload: []byte("42"), Publisher: "hmi"}}, a}
	if _, err := bus.Subscribe("plant/+/set", func(*core.Message) { got++ }); err != nil || got != 1 {
		t.Errorf("%d delivered: %v", got, err)
	}
	g := &gateway{}
	run := g.background(a.Run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	text, _ := audit.Read(dir)
	if !strings.Contains(string(text), `"event":"device write","topic":"plant/m1/set","client":"hmi","value":"42"`) {
		t.Errorf("%s", text)
	}
}
