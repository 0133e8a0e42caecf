package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBufferUnread damages a segment in the middle of the store, in a way that is seen
// when it is opened, and not before. What the others hold is shown and exported, through
// the running gateway and without it, and the exit code says that this is not all.
func TestBufferUnread(t *testing.T) {
	need(t, "mosquitto_sub")
	data := filepath.Join(t.TempDir(), "data")
	config := strings.NewReplacer("%DATA%", data, "reserve: 0", "reserve: 0, budget: 64MiB").Replace(bufferConfig)
	g := startGateway(t, config)
	away(t, g.port, "plant/#")
	const n = 700
	acksOf(t, g.port, n, 10, func(int) []byte { return randomBytes(40_000) })
	seals, _ := filepath.Glob(filepath.Join(data, "store", "q", "*", "SEAL"))
	if len(seals) < 3 {
		t.Fatalf("%d sealed segments", len(seals))
	}
	slices.Sort(seals)
	spoil(t, filepath.Dir(seals[1]))

	for _, running := range []bool{true, false} {
		if !running {
			g.stop()
		}
		out, code := weir(t, "buffer", "peek", "away", "-n", "3", "--json", "--config", g.config)
		if code != exitOK || strings.Count(out, "\n") != 3 {
			t.Errorf("running %t: what is before it: %d %.300s", running, code, out)
		}
		out, code = weir(t, "buffer", "peek", "away", "-n", "1000000", "--json", "--config", g.config)
		if code != exitFailed || !strings.Contains(out, `"unreadable_segments":[`) {
			t.Errorf("running %t: peek: %d %.300q", running, code, out[max(0, len(out)-300):])
		}
		file := filepath.Join(t.TempDir(), "exported")
		out, code = weir(t, "buffer", "export", "away", "-o", file, "--config", g.config)
		if code != exitFailed || !strings.Contains(out, "1 segments") || !strings.Contains(out, "messages exported") {
			t.Errorf("running %t: export: %d %s", running, code, out)
		}
		b, err := os.ReadFile(file)
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		var last kept
		if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || len(lines) < n/2 || len(lines) == n || last.Seq < n {
			t.Errorf("running %t: %d of %d messages, the last is %d: %v", running, len(lines), n, last.Seq, err)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// spoil writes over the end of the tables of a segment, which keep their sizes.
func spoil(t *testing.T, dir string) {
	t.Helper()
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[len(b)-64:], bytes.Repeat([]byte{0xee}, 64))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
