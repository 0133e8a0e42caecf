package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// contender is a broker that `weir bench compare` starts, afresh for each run.
type contender struct {
	name    string
	path    string
	args    func(config string) []string
	config  func(dir string, port int) string
	cmd     *exec.Cmd
	done    chan struct{}
	dir     string
	address string
}

// newPeer is the broker at path: a Mosquitto, or another build of Weir.
func newPeer(path string) *contender {
	if strings.HasPrefix(filepath.Base(path), "weir") {
		return newWeir(path)
	}
	return newMosquitto(path)
}

// newWeir has its default settings, store and promise.
func newWeir(path string) *contender {
	return &contender{
		name: filepath.Base(path), path: path,
		args: func(config string) []string { return []string{"run", "--config", config} },
		config: func(dir string, port int) string {
			return fmt.Sprintf("data_dir: %s\nlisteners: [{name: bench, address: \"127.0.0.1:%d\"}]\nconsole: {address: \"127.0.0.1:0\"}\nlimits: {max_connections: 20000}\n",
				filepath.Join(dir, "data"), port)
		},
	}
}

// newMosquitto keeps nothing on disk and drops nothing, so that it is
// measured at its best.
func newMosquitto(path string) *contender {
	return &contender{
		name: filepath.Base(path), path: path,
		args: func(config string) []string { return []string{"-c", config} },
		config: func(_ string, port int) string {
			return fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type error\n", port)
		},
	}
}

// start runs the broker in a directory of its own and waits until it listens.
func (b *contender) start(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	port, err := unusedPort()
	if err != nil {
		return err
	}
	b.address = fmt.Sprintf("127.0.0.1:%d", port)
	config, output := filepath.Join(b.dir, "config"), filepath.Join(b.dir, "output")
	// Mosquitto gives up root before it reads on: the folder must be open.
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(config, []byte(b.config(b.dir, port)), 0o644); err != nil {
		return err
	}
	out, err := os.Create(output)
	if err != nil {
		return err
	}
	defer out.Close()
	b.cmd = exec.Command(b.path, b.args(config)...)
	b.cmd.Stdout, b.cmd.Stderr = out, out
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", b.name, err)
	}
	b.done = make(chan struct{})
	go func() { defer close(b.done); _ = b.cmd.Wait() }() // how it ended is in its output
	b.raiseFiles()
	return b.await(ctx, output)
}

// raiseFiles lets the broker open as many connections as this system allows.
func (b *contender) raiseFiles() {
	var limit unix.Rlimit
	if unix.Prlimit(b.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Prlimit(b.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil) // a run with too many connections fails
	}
}

func (b *contender) await(ctx context.Context, output string) error {
	limit := time.After(20 * time.Second)
	for {
		if conn, err := net.Dial("tcp", b.address); err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-b.done:
			text, _ := os.ReadFile(output) // as much as there is
			return fmt.Errorf("%s ended: %s", b.name, text)
		case <-limit:
			return fmt.Errorf("%s does not listen", b.name)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop kills the broker and forgets what it kept.
func (b *contender) stop() {
	if b.done != nil {
		_ = b.cmd.Process.Kill() // gone already is as well
		<-b.done
		b.done = nil
	}
	os.RemoveAll(b.dir)
}
