package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weir-edge/weir/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example is a state with something in every part.
func example() core.Status {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return core.Status{
		Gateway: "gw", Version: "1.2.3", Started: start, Uptime: 90, Ready: true, ClockSynced: true,
		Broker: core.BrokerStatus{
			Listeners:   []core.ListenerStatus{{Name: "default", Address: "127.0.0.1:1883", Protocol: "mqtt", Connections: 2}},
			Connections: 2, Sessions: 3, Subscriptions: 4, Retained: 5,
			MessagesReceived: 6, MessagesSent: 7, BytesReceived: 8, BytesSent: 9, Connects: 10,
			Refused: map[string]uint64{"not-authorized": 1},
			Dropped: map[core.Reason]uint64{core.DroppedOffline: 11},
		},
		Auth:    &core.AuthStatus{Users: 21, TokenKeys: 2, Logins: map[string]uint64{"accepted": 22, "wrong password": 23}, Waiting: 24, HeldOff: 25},
		Clients: []core.ClientStatus{{ClientID: "pump-7", Queued: 3}},
		Buffer: core.BufferStatus{
			Messages: 12, Bytes: 13, Budget: 14, OldestSeconds: 15.5, Segments: 2, Held: 1, Written: 16, WrittenBytes: 17,
			Commits: 18, Dropped: map[core.Reason]uint64{core.DroppedStoreFull: 19}, Quarantined: 1, State: "full", FreeBytes: 20,
		},
		Adapters: []core.AdapterStatus{{
			Name: "meters", Type: "modbus", State: "running", Readings: 21, Errors: map[string]uint64{"timeout": 1},
			Devices: []core.DeviceStatus{
				{Name: "m1", Up: true, LastSeen: start, Requests: 22, Errors: map[string]uint64{"crc": 2}, P50: 0.01, P99: 0.02},
				{Name: "m2"},
			},
			BusLoad: 0.5,
			Asked:   1.4, Possible: 0.14,
		}},
		Bridges: []core.BridgeStatus{{
			Name: "cloud", State: "connected", Published: 23, Received: 24, Reconnects: 25, Inflight: 26, Window: 27, RTT: 0.028, FullSeconds: 37, Writes: 38, Gathering: true,
			Rules: []core.RuleStatus{
				{Direction: "out", Filter: "plant/#", Owed: 29, Bytes: 35, Oldest: 36.5, Dropped: map[core.Reason]uint64{core.DroppedExpired: 1}},
				{Direction: "out", Filter: "alarm/#", Owed: 1, Dropped: map[core.Reason]uint64{core.DroppedExpired: 2}},
			},
		}},
		Process: core.ProcessStatus{PID: 1, RSS: 30, CPU: 31.5, Goroutines: 32, FDs: 33, Written: 34},
	}
}

// showing makes a console that shows one state, or fails.
func showing(st core.Status, err error) *Console {
	return New(Config{Snapshot: func(context.Context) (core.Status, error) { return st, err }})
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestHealthAndReadiness(t *testing.T) {
	unready, failed := example(), example()
	unready.Ready = false
	failed.Ready, failed.Buffer.Error = false, "the disk does not take writes"
	tests := []struct {
		name, path string
		st         core.Status
		err        error
		code       int
		body       string
	}{
		{"health", "/healthz", example(), nil, 200, "ok\n"},
		{"health without an answer", "/healthz", core.Status{}, errors.New("busy"), 200, "ok\n"},
		{"ready", "/readyz", example(), nil, 200, "ready\n"},
		{"starting", "/readyz", unready, nil, 503, "not ready: starting or stopping\n"},
		{"store failed", "/readyz", failed, nil, 503, "not ready: the disk does not take writes\n"},
		{"no answer", "/readyz", core.Status{}, errors.New("busy"), 503, "not ready: busy\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := get(t, showing(test.st, test.err).Handler(), test.path)
			if w.Code != test.code || w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.code, test.body)
			}
		})
	}
}

func TestBridgeDownIsReady(t *testing.T) {
	st := example()
	st.Bridges[0].State = "waiting"
	if w := get(t, showing(st, nil).Handler(), "/readyz"); w.Code != 200 {
		t.Errorf("got %d: being offline is normal", w.Code)
	}
}

func TestStatusIsJSON(t *testing.T) {
	w := get(t, showing(example(), nil).Handler(), "/api/v1/status")
	var got core.Status
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Error(diff)
	}
	if kind := w.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q", kind)
	}
}

func TestStatusFailure(t *testing.T) {
	w := get(t, showing(core.Status{}, errors.New(`no "answer"`)).Handler(), "/api/v1/status")
	var got struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 503 || got.Error != `no "answer"` {
		t.Errorf("got %d %s, %v", w.Code, w.Body, err)
	}
}

func TestSnapshotIsNotAwaitedForEver(t *testing.T) {
	c := New(Config{Snapshot: func(ctx context.Context) (core.Status, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("snapshot without a deadline")
		}
		return core.Status{}, nil
	}})
	for _, path := range []string{"/readyz", "/metrics", "/api/v1/status"} {
		get(t, c.Handler(), path)
	}
}

func TestOnlyReading(t *testing.T) {
	h := showing(example(), nil).Handler()
	for _, path := range []string{"/", "/healthz", "/metrics", "/api/v1/status", "/api/v1/events"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("x")))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

func TestHostHeader(t *testing.T) {
	tests := []struct {
		host string
		ok   bool
	}{
		{"localhost", true},
		{"LocalHost:8080", true},
		{"127.0.0.1:8080", true},
		{"127.8.9.1", true},
		{"[::1]:8080", true},
		{"[::1]", true},
		{"[::ffff:127.0.0.1]:8080", true},
		{"evil.example", false},
		{"127.0.0.1.evil.example:8080", false},
		{"localhost.evil.example", false},
		{"192.168.1.1:8080", false},
		{"", false},
	}
	c := showing(example(), nil)
	c.loopback = true
	h := c.Handler()
	for _, test := range tests {
		t.Run(test.host, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
			r.Host = test.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if ok := w.Code == 200; ok != test.ok {
				t.Errorf("got %d, want answered: %v", w.Code, test.ok)
			}
		})
	}
}

func TestPage(t *testing.T) {
	h := showing(example(), nil).Handler()
	for _, path := range append(slices.Sorted(maps.Keys(loadAssets())), "") {
		t.Run("/"+path, func(t *testing.T) {
			w := get(t, h, "/"+path)
			if w.Code != 200 || w.Body.Len() == 0 {
				t.Fatalf("got %d with %d bytes", w.Code, w.Body.Len())
			}
			for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Content-Type", "Etag"} {
				if w.Header().Get(name) == "" {
					t.Errorf("header %s is missing", name)
				}
			}
			if body := w.Body.String(); strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "://") {
				t.Error("the page names something elsewhere")
			}
			again := httptest.NewRequest(http.MethodGet, "/"+path, nil)
			again.Header.Set("If-None-Match", w.Header().Get("Etag"))
			cached := httptest.NewRecorder()
			h.ServeHTTP(cached, again)
			if cached.Code != http.StatusNotModified {
				t.Errorf("second time: got %d", cached.Code)
			}
		})
	}
	for _, path := range []string{"/nothing", "/page/index.html", "/../console.go", "/api/v1/nothing"} {
		if w := get(t, h, path); w.Code != 404 && w.Code != 301 && w.Code != 307 {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}

// TestPageNeedsNoInlineCode: the policy forbids it.
func TestPageNeedsNoInlineCode(t *testing.T) {
	html := loadAssets()["index.html"].body
	for _, word := range []string{"style=", "onclick=", "onload=", "<style", "javascript:"} {
		if strings.Contains(html, word) {
			t.Errorf("index.html has %s", word)
		}
	}
	if strings.Contains(loadAssets()["app.js"].body, "innerHTML") {
		t.Error("app.js makes HTML from text")
	}
}

// run starts a console and returns how to stop it and the error of Run.
func run(t *testing.T, c *Console) (stop func() error) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestRunOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	for range 2 { // the second time over an abandoned socket
		c := New(Config{Address: "unix://" + path, Snapshot: showing(example(), nil).cfg.Snapshot})
		stop := run(t, c)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != socketMode {
			t.Errorf("socket: %v, %v", info, err)
		}
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", path)
			},
		}}
		r, err := client.Get("http://weir/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(r.Body); string(body) != "ok\n" {
			t.Errorf("got %q", body)
		}
		r.Body.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
		abandon(t, path)
	}
}

// abandon leaves a socket behind to which nobody listens.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestSocketInUseIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	stop := run(t, New(Config{Address: "unix://" + path, Snapshot: showing(example(), nil).cfg.Snapshot}))
	if err := New(Config{Address: "unix://" + path}).Start(); err == nil {
		t.Error("a second console took the socket of the first")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestStartError(t *testing.T) {
	c := New(Config{Address: "127.0.0.1:99999"})
	if err := c.Start(); err == nil || !strings.HasPrefix(err.Error(), "open console: ") {
		t.Errorf("got %v", err)
	}
}

// The scripts of a page share one scope: a name that two of them declare ends the
// second before it begins.
func TestScriptsShareNoName(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^(?:const|let|function|class) +(\w+)`)
	files, err := filepath.Glob("page/*.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	first := make(map[string]string)
	for _, file := range files {
		if filepath.Base(file) == "login.js" { // on a page of its own
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			if other := first[m[1]]; other != "" {
				t.Errorf("%s is declared in %s and in %s", m[1], other, file)
			}
			first[m[1]] = file
		}
	}
}
