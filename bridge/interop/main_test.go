package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// binary is `weir` of this working tree, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/weir")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the gateway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// weir starts a command of the gateway's binary.
func weir(t *testing.T, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	out := new(output)
	c := exec.Command(binary, args...)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, out
}

// must runs a command of the gateway's binary to its end.
func must(t *testing.T, args ...string) string {
	t.Helper()
	c, out := weir(t, args...)
	if err := c.Wait(); err != nil {
		t.Fatalf("weir %v: %v\n%s", args, err, out)
	}
	return out.String()
}

// gateway is a running `weir`.
type gateway struct {
	t       *testing.T
	config  string
	port    string
	console string
	cmd     *exec.Cmd
	out     *output
}

// startGateway runs a gateway with one bridge, given as YAML.
func startGateway(t *testing.T, bridge string) *gateway {
	t.Helper()
	g := &gateway{t: t, config: filepath.Join(t.TempDir(), "weir.yaml"), port: freePort(t), console: "127.0.0.1:" + freePort(t)}
	config := fmt.Sprintf("data_dir: data\nlisteners: [{name: lan, address: \"127.0.0.1:%s\"}]\nstorage: {reserve: 0}\nconsole: {address: %q}\nbridges:\n%s",
		g.port, g.console, bridge)
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	g.cmd, g.out = weir(g.t, "run", "--config", g.config)
	eventually(g.t, "the gateway is ready", func() bool { _, err := g.uplink(); return err == nil })
}

// kill is SIGKILL.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill() // it may be gone
	_ = g.cmd.Wait()
}

// uplink is the state of the bridge.
type uplink struct {
	State    string `json:"state"`
	Protocol string `json:"protocol"`
	Owed     int    `json:"owed"`

	Quarantined int `json:"quarantined"`
}

func (g *gateway) uplink() (u uplink, err error) {
	resp, err := http.Get("http://" + g.console + "/api/v1/status")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	var s struct{ Bridges []uplink }
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return u, err
	}
	if len(s.Bridges) != 1 {
		return u, errors.New("no bridge")
	}
	return s.Bridges[0], nil
}

// is waits until the bridge has a state and owes so many messages.
func (g *gateway) is(state string, owed int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s, %d owed", state, owed), func() bool {
		u, err := g.uplink()
		return err == nil && u.State == state && u.Owed == owed
	})
}

// publish gives the gateway messages, one after the other.
func (g *gateway) publish(topic, qos string, payloads ...string) {
	g.t.Helper()
	for _, p := range payloads {
		must(g.t, "pub", "-p", g.port, "-t", topic, "-q", qos, "-m", p)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
