package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// run runs an audit until the returned function is called.
func run(t *testing.T, dir string, max int64) (l *Log, stop func()) {
	t.Helper()
	l, err := Open(dir, max, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	return l, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func read(t *testing.T, dir string) []string {
	t.Helper()
	text, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestNote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		l.Note("login", "user", "anna\n\"x", "client", "c")
		stop()
	})
	lines := read(t, dir)
	if len(lines) != 1 || lines[0] != `{"time":"2000-01-01T00:00:00Z","event":"login","user":"anna\n\"x","client":"c"}` {
		t.Errorf("%q", lines)
	}
	if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestAtOnce: an event stands in the file before any time has passed, and a flood of them
// costs few writes.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		defer stop()
		there := func(want int) {
			t.Helper()
			synctest.Wait()
			if lines := read(t, dir); len(lines) != want {
				t.Errorf("%d lines, want %d", len(lines), want)
			}
		}
		for second := range 3 {
			for i := range maxWrites {
				l.Note("login", "n", i)
				there(second*100 + i + 1)
			}
			for i := range 100 - maxWrites {
				l.Note("login", "n", i)
			}
			there(second*100 + maxWrites)
			time.Sleep(flushes)
			there(second*100 + 100)
		}
	})
}

// TestLongTexts: a peer's name is as long as the peer likes, a line is not.
func TestLongTexts(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("é", 40_000)
	args := []any{"user", long, "client", "c", "port", 1}
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		l.Often("login refused", args...)
		l.Often("login refused", "user", long+"!", "client", "c", "port", 1) // which is told apart by what is kept
		l.Note("start", "text", long)
		l.mu.Lock()
		if len(l.again) != 1 {
			t.Errorf("%d kinds", len(l.again))
		}
		for key := range l.again {
			if len(key) > 1000 {
				t.Errorf("a key of %d bytes", len(key))
			}
		}
		l.mu.Unlock()
		stop()
	})
	for _, line := range read(t, dir) {
		if len(line) > 500 || !strings.Contains(line, "é…") {
			t.Errorf("%d bytes: %.600s", len(line), line)
		}
	}
	if args[1] != long {
		t.Error("the caller's arguments were changed")
	}
}

// TestStrangers: who calls himself something else each time fills neither the file nor the
// memory, and pushes out nobody from elsewhere, nor those who are known.
func TestStrangers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		for i := range 5000 {
			l.Often("login refused", "user", fmt.Sprint("eve", i), "client", "", "address", "10.0.0.1", "reason", "wrong password")
		}
		for i := range 20 {
			l.Often("login", "user", "alice", "client", fmt.Sprint("m", i), "address", "10.0.0.1")
		}
		l.Often("login refused", "user", "bob", "client", "", "address", "10.0.0.2", "reason", "wrong password")
		time.Sleep(time.Minute)
		l.mu.Lock()
		if len(l.again)+len(l.strangers) != 0 {
			t.Errorf("kept: %v %v", l.again, l.strangers)
		}
		l.mu.Unlock()
		stop()
	})
	lines := read(t, dir)
	text := strings.Join(lines, "\n")
	if len(lines) != maxStrangers+1+20+1+1 || strings.Count(text, "10.0.0.2") != 1 || strings.Count(text, `"event":"login"`) != 20 ||
		!strings.Contains(text, `"address":"10.0.0.1","who":"others","times":4991`) {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
}

func TestOften(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		for range 1000 { // ten a second
			l.Often("denied", "user", "anna", "topic", "x")
			time.Sleep(100 * time.Millisecond)
		}
		for i := range 2 * maxKinds { // all different
			l.Often("login refused", "client", i)
		}
		time.Sleep(time.Second)
		stop()
	})
	denied, times, refused, withheld := 0, 0, 0, 0
	for _, line := range read(t, dir) {
		n := 1
		_, rest, repeated := strings.Cut(line, `"times":`)
		if repeated {
			fmt.Sscan(rest, &n)
		}
		switch {
		case strings.Contains(line, "denied"):
			denied++
			times += n
		case strings.Contains(line, "login refused"):
			refused++
		case strings.Contains(line, "withheld"):
			withheld += n // in one line or two, as the moment has it
		}
	}
	if denied > 12 || times != 1000 {
		t.Errorf("%d lines about %d denials", denied, times)
	}
	if refused != maxKinds-1 || withheld != maxKinds+1 {
		t.Errorf("%d refusals, %d withheld", refused, withheld)
	}
}

func TestSizeIsBounded(t *testing.T) {
	const max = 20 << 10
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, max)
		for i := range 5000 {
			l.Note("login", "client", i)
			if i%10 == 0 {
				time.Sleep(time.Second)
			}
		}
		stop()
	})
	total := int64(0)
	for _, name := range []string{FileName, Before} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if lines := read(t, dir); total > max || !strings.Contains(lines[len(lines)-1], `"client":4999`) {
		t.Errorf("%d bytes, the last is %s", total, lines[len(lines)-1])
	}
}

// TestCannotBeWritten: the gateway goes on, and the next line says what is missing.
func TestCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, stop := run(t, dir, 1<<20)
		synctest.Wait()
		good := l.file
		if l.file, _ = os.Open(os.DevNull); l.file == nil { // reading only
			t.Fatal("no /dev/null")
		}
		l.Note("a")
		l.Note("b")
		time.Sleep(5500 * time.Millisecond) // which is tried some times
		synctest.Wait()
		l.file.Close()
		l.file = good
		l.Note("c")
		stop()
	})
	lines := read(t, dir)
	if len(lines) != 2 || !strings.Contains(lines[1], `"withheld","times":2`) {
		t.Errorf("%q", lines)
	}
}

func TestNobody(t *testing.T) {
	var l *Log
	l.Note("x")
	l.Often("x")
}
