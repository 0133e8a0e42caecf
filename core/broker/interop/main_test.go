package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/porttest"
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
	build := exec.Command("go", "build", "-C", "../../..", "-o", binary, "./cmd/weir")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the gateway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// gateway is a running `weir` of this working tree.
type gateway struct {
	t       *testing.T
	config  string
	address string
	cmd     *exec.Cmd
}

// startGateway runs the gateway with a store and one listener, whose
// settings may be extended; so may be the rest.
func startGateway(t *testing.T, more string, sections ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, config: filepath.Join(t.TempDir(), "weir.yaml"), address: porttest.Address(t)}
	config := fmt.Sprintf("data_dir: data\nlisteners: [{name: test, address: %q%s}]\nstorage: {reserve: 0}\nconsole: {address: off}\n", g.address, more)
	config += strings.Join(sections, "")
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.run()
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) run() {
	g.t.Helper()
	var out bytes.Buffer
	g.cmd = exec.Command(binary, "run", "--config", g.config)
	g.cmd.Stdout, g.cmd.Stderr = &out, &out
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", g.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			g.kill()
			g.t.Fatalf("the gateway does not listen:\n%s", &out)
		}
	}
}

// kill is SIGKILL.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill() // it may be gone
	_ = g.cmd.Wait()
}
