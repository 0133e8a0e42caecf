package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/porttest"
)

// weirBinary is the real binary, built once for all end-to-end tests.
var weirBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "weir")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return path, nil
})

// builtIn is the folder of weirBinary, once that was asked for: most tests, and the
// workers of the fuzz targets, need none.
var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// need skips a test by name when a peer is not installed; in CI it fails.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if lookPeer(p) != "" {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("%s is not installed", p)
	}
}

// lookPeer finds a program, also where daemons are kept.
func lookPeer(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path := filepath.Join("/usr/sbin", name); fileExists(path) {
		return path
	}
	return ""
}

// process is a child whose output is kept for the failure message.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
	err  error // valid after done
}

// lockedBuffer is a bytes.Buffer for a writer and readers on different goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a program until the end of the test.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(name), cmd: exec.Command(name, args...), out: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = dyingWithTest()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, tail(p.out.String(), 6000))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// kill is the power cut of a process.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks politely and waits for the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait(patience)
}

func (p *process) wait(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(d):
		p.t.Fatalf("%s does not end; its output:\n%s", p.name, p.out)
		return -1
	}
}

// freePort is a TCP port of the loopback that nobody but who asked for it listens on.
func freePort(t testing.TB) int {
	t.Helper()
	return porttest.Free(t)
}

// patience is how long a test waits for what has to come. Only a failure takes as long,
// so that it is no measure of speed: a busy machine may need a while for anything.
const patience = 2 * time.Minute

// eventually polls until ok holds, and fails the test with what after d.
func eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(d)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("after %v: not %s", d, what)
		}
	}
}

// listening says whether somebody accepts connections on a port.
func listening(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// gateway is a running Weir with its configuration.
type testGateway struct {
	*process
	t       testing.TB
	config  string
	port    int
	console int
}

// startGateway runs the real binary on a configuration; %MQTT%, %CONSOLE% and
// %DATA% in it are replaced. It returns when the gateway says that it is ready.
func startGateway(t testing.TB, config string) *testGateway {
	t.Helper()
	g := prepareGateway(t, config)
	g.start()
	return g
}

// prepareGateway is startGateway without the start.
func prepareGateway(t testing.TB, config string) *testGateway {
	t.Helper()
	g := &testGateway{t: t, port: freePort(t), console: freePort(t)}
	config = strings.NewReplacer(
		"%MQTT%", fmt.Sprintf("127.0.0.1:%d", g.port),
		"%CONSOLE%", fmt.Sprintf("127.0.0.1:%d", g.console),
		"%DATA%", filepath.Join(t.TempDir(), "data"),
	).Replace(config)
	g.config = filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// start runs the gateway again on the same configuration and data.
func (g *testGateway) start() {
	g.t.Helper()
	path, err := weirBinary()
	if err != nil {
		g.t.Fatal(err)
	}
	g.startAs(path)
}

// startAs is start with another binary.
func (g *testGateway) startAs(path string) {
	g.t.Helper()
	g.process = start(g.t, path, "run", "--config", g.config)
	eventually(g.t, patience, "ready", func() bool {
		select {
		case <-g.done:
			g.t.Fatalf("the gateway ended: %v\n%s", g.err, g.out)
		default:
		}
		return g.ready()
	})
}

func (g *testGateway) ready() bool {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", g.console))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// status reads /api/v1/status.
func (g *testGateway) status() core.Status {
	g.t.Helper()
	var s core.Status
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", g.console))
	if err != nil {
		g.t.Fatalf("read the status: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, json.Unmarshal(body, &s)); err != nil {
		g.t.Fatalf("read the status: %v\n%s", err, body)
	}
	return s
}

// mosquitto is Debian's broker, which plays the upstream.
type mosquitto struct {
	*process
	t    testing.TB
	conf string
	port int
}

func startMosquitto(t testing.TB, extra ...string) *mosquitto {
	t.Helper()
	need(t, "mosquitto")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { // mosquitto gives up root
		t.Fatal(err)
	}
	m := &mosquitto{t: t, port: freePort(t), conf: filepath.Join(dir, "mosquitto.conf")}
	conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\nset_tcp_nodelay true\nuser root\n%s\n",
		m.port, dir, strings.Join(extra, "\n"))
	if err := os.WriteFile(m.conf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

// start runs it again; what it saved at its last clean stop is there.
func (m *mosquitto) start() {
	m.t.Helper()
	m.process = start(m.t, lookPeer("mosquitto"), "-c", m.conf)
	eventually(m.t, patience, "a listening mosquitto", func() bool { return listening(m.port) })
}

// recorder is a mosquitto_sub with a persistent session that counts what reaches the upstream.
type recorder struct {
	*tally
	file  string
	read  int64
	marks int // see mosquitto.dry
	t     testing.TB
}

// markTopic ends the topics of marks, which are no messages of a source.
const markTopic = "/mark"

// dry waits until this broker has nothing on its way to a recorder, while nobody else
// publishes. Marks go behind what is there: when one has come and nothing before it, what
// came before the last one is acknowledged; several of them, so that the broker would
// have read whatever its peers have sent. topic is of a mark, and count how many messages
// and marks have come.
func (m *mosquitto) dry(topic string, count func() (messages, marks int)) {
	m.t.Helper()
	last, marks := count()
	for quiet := 0; quiet < 5; quiet++ {
		if out, err := run(m.t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(m.port), "-q", "2", "-t", topic, "-m", "mark"); err != nil {
			m.t.Fatalf("publish a mark: %v\n%s", err, out)
		}
		messages, before := last, marks
		eventually(m.t, patience, "a mark", func() bool { messages, marks = count(); return marks > before })
		if messages != last {
			last, quiet = messages, 0
		}
	}
}

// record starts a mosquitto_sub at QoS 2 on filter.
func (m *mosquitto) record(t testing.TB, filter string) *recorder {
	t.Helper()
	return record(t, m.port, "recorder", filter)
}

// record is the same at any broker, in a session of its own.
func record(t testing.TB, port int, id, filter string) *recorder {
	t.Helper()
	need(t, "mosquitto_sub")
	subscribe := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-V", "311", "-c", "-i", id, "-q", "2", "-t", filter}
	if out, err := run(t, lookPeer("mosquitto_sub"), append(subscribe, "-E")...); err != nil { // what comes from now on is for it
		t.Fatalf("subscribe to %s: %v\n%s", filter, err, out)
	}
	r := &recorder{tally: newTally(), t: t, file: filepath.Join(t.TempDir(), "received")}
	out, err := os.Create(r.file)
	if err != nil {
		t.Fatal(err)
	}
	sub := &process{t: t, name: "mosquitto_sub", out: &lockedBuffer{}, done: make(chan struct{})}
	sub.cmd = exec.Command(lookPeer("mosquitto_sub"), append(subscribe, "-F", "%t %p")...)
	sub.cmd.Stdout, sub.cmd.Stderr = out, sub.out
	sub.cmd.SysProcAttr = dyingWithTest()
	if err := sub.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		sub.err = sub.cmd.Wait()
		out.Close()
		close(sub.done)
	}()
	t.Cleanup(sub.kill)
	return r
}

// catchUp tallies the lines that came since the last call.
func (r *recorder) catchUp() {
	r.t.Helper()
	data, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	data = data[r.read:]
	end := bytes.LastIndexByte(data, '\n') + 1
	r.read += int64(end)
	for line := range bytes.Lines(data[:end]) {
		topic, payload, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if bytes.HasSuffix(topic, []byte(markTopic)) {
			r.marks++
			continue
		}
		if err := r.add(string(topic), payload); err != nil {
			r.t.Errorf("not what was sent: %v", err)
		}
	}
}

// count is how many messages have arrived, repetitions included.
func (r *recorder) count() (n int) {
	r.catchUp()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.times {
		n += k
	}
	return n
}

// run is one command with its output.
func run(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// follow starts a mosquitto_sub at QoS 1 that gets whatever is published after this has
// returned: its session has subscribed by then. (A client that is just started may
// subscribe at any time.)
func follow(t testing.TB, port int, filter string, args ...string) *process {
	t.Helper()
	need(t, "mosquitto_sub")
	session := []string{"-p", strconv.Itoa(port), "-c", "-i", "follow " + filter, "-q", "1", "-t", filter}
	if out, err := run(t, lookPeer("mosquitto_sub"), append(session, "-E")...); err != nil {
		t.Fatalf("subscribe to %s: %v\n%s", filter, err, out)
	}
	return start(t, lookPeer("mosquitto_sub"), append(session, args...)...)
}

// weir runs the real binary to its end and gives its output and exit code.
func weir(t testing.TB, args ...string) (string, int) {
	t.Helper()
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, path, args...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("weir %v: %v", args, err)
	}
	if exit != nil {
		return out, exit.ExitCode()
	}
	return out, 0
}

// envNumber is the number in an environment variable.
func envNumber(t *testing.T, name string, standard int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return standard
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
