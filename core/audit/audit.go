package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// FileName is the file in the folder of the data, and Before the one that was full.
const (
	FileName = "audit.log"
	Before   = FileName + ".1"
)

const (
	window       = 10 * time.Second // in which the same is gathered
	maxKinds     = 1024             // of events that are told apart in it
	maxStrangers = 8                // of one address, that are told apart
	maxText      = 256              // bytes of a text in an event
	maxQueued    = 1 << 20          // bytes that wait for the disk
	flushes      = time.Second
	maxWrites    = 10 // in that time, beside the one at its end
)

// Log is an open audit. A nil one notes nothing.
type Log struct {
	// Static.
	path string
	max  int64
	log  *slog.Logger
	wake chan struct{} // has an element when something is queued

	mu        sync.Mutex
	line      bytes.Buffer // what encode writes to
	encode    *slog.Logger
	queue     bytes.Buffer
	again     map[string]*repeat
	strangers map[string]int // of those, by address
	withheld  int            // events that there was no room for

	// Owned by Run.
	file   *os.File
	size   int64
	failed bool
}

// repeat is an event that has been written, and may come again.
type repeat struct {
	event string
	args  []any
	from  string // the stranger's address, if it is one
	since time.Time
	times int // since then
}

// Open makes an audit in a folder, of max bytes at most.
func Open(dir string, max int64, log *slog.Logger) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit: %w", err)
	}
	l := &Log{path: filepath.Join(dir, FileName), max: max, log: log, wake: make(chan struct{}, 1), again: make(map[string]*repeat), strangers: make(map[string]int)}
	l.encode = slog.New(slog.NewJSONHandler(&l.line, &slog.HandlerOptions{ReplaceAttr: name}))
	return l, l.open()
}

// name gives a line its keys.
func name(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.LevelKey:
		return slog.Attr{}
	case a.Key == slog.MessageKey:
		a.Key = "event"
	}
	return a
}

func (l *Log) open() (err error) {
	if l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open audit: %w", err)
	}
	info, err := l.file.Stat()
	if err != nil {
		return errors.Join(err, l.file.Close())
	}
	l.size = info.Size()
	return l.file.Chmod(0o600)
}

// Note keeps an event. The args are those of [slog.Logger.Info].
func (l *Log) Note(event string, args ...any) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(event, args)
	l.alert()
}

func (l *Log) noteLocked(event string, args []any) {
	l.line.Reset()
	l.encode.Info(event, clip(args)...)
	if l.queue.Len()+l.line.Len() > maxQueued {
		l.withheld++
		return
	}
	l.queue.Write(l.line.Bytes())
}

// alert has what is queued written.
func (l *Log) alert() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Often keeps an event that peers can cause at will. Strangers, who are refused, can
// call themselves something else each time: of one address some are told apart and the
// others are one event, so that they cannot push out what else there is.
func (l *Log) Often(event string, args ...any) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	args = clip(args)
	key, from := fmt.Sprint(event, args), stranger(event, args)
	if l.again[key] == nil && from != "" && l.strangers[from] >= maxStrangers {
		args = []any{"address", from, "who", "others"}
		key, from = fmt.Sprint(event, args), ""
	}
	switch r := l.again[key]; {
	case r != nil:
		r.times++
	case len(l.again) >= maxKinds:
		l.withheld++
	default:
		l.again[key] = &repeat{event: event, args: args, from: from, since: time.Now()}
		l.noteLocked(event, args)
		l.alert()
		if from != "" {
			l.strangers[from]++
		}
	}
}

// stranger is the address that an event comes from if it is one of somebody refused.
func stranger(event string, args []any) string {
	at := slices.Index(args, any("address"))
	if !strings.HasSuffix(event, " refused") || at < 0 || at+1 == len(args) {
		return ""
	}
	return fmt.Sprint(args[at+1])
}

// clip bounds what a peer can make an event say: a name of 64 KiB is a way to fill the
// memory and the file.
func clip(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) > maxText {
			args = slices.Clone(args)
			args[i] = strings.ToValidUTF8(s[:maxText], "") + "…"
		}
	}
	return args
}

// gatherLocked writes what has come again, and forgets what is over.
func (l *Log) gatherLocked(now time.Time, all bool) {
	for key, r := range l.again {
		if !all && now.Sub(r.since) < window {
			continue
		}
		if r.times == 0 {
			l.forgetLocked(key, r)
			continue
		}
		l.noteLocked(r.event, append(r.args[:len(r.args):len(r.args)], "times", r.times))
		r.times, r.since = 0, now
	}
}

func (l *Log) forgetLocked(key string, r *repeat) {
	delete(l.again, key)
	if r.from == "" {
		return
	}
	if l.strangers[r.from]--; l.strangers[r.from] <= 0 {
		delete(l.strangers, r.from)
	}
}

// Run writes until ctx ends, and then what is left: an event at once; of a second with
// many the first few so, and the others together, for the sake of the flash.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(flushes)
	defer tick.Stop()
	left := maxWrites
	for {
		wake := l.wake
		if left == 0 {
			wake = nil
		}
		select {
		case <-wake:
			if l.flush(time.Now(), false) {
				left--
			}
		case now := <-tick.C:
			l.flush(now, false)
			left = maxWrites
		case <-ctx.Done():
			l.flush(time.Now(), true)
			return l.file.Close()
		}
	}
}

// flush writes what is queued, if there is something. What cannot be written is counted,
// and the count is told in the next line that can be.
func (l *Log) flush(now time.Time, all bool) (wrote bool) {
	l.mu.Lock()
	l.gatherLocked(now, all)
	events, told := bytes.Count(l.queue.Bytes(), []byte{'\n'}), 0
	if l.withheld > 0 && l.queue.Len() < maxQueued/2 {
		told = l.withheld
		l.noteLocked("withheld", []any{"times", told})
	}
	lines := bytes.Clone(l.queue.Bytes())
	l.queue.Reset()
	l.mu.Unlock()
	if len(lines) == 0 {
		return false
	}
	err := l.write(lines)
	l.mu.Lock()
	if err == nil {
		l.withheld -= told
	} else {
		l.withheld += events
	}
	l.mu.Unlock()
	switch {
	case err == nil && l.failed:
		l.log.Info("the audit is written again")
	case err != nil && !l.failed:
		l.log.Error("the audit cannot be written: what happens now is counted only", "file", l.path, "error", err)
	}
	l.failed = err != nil
	return true
}

func (l *Log) write(lines []byte) error {
	if l.size > 0 && l.size+int64(len(lines)) > l.max/2 {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(lines)
	l.size += int64(n)
	return err
}

func (l *Log) rotate() error {
	_ = l.file.Close() // nothing of it is buffered here
	err := os.Rename(l.path, filepath.Join(filepath.Dir(l.path), Before))
	return errors.Join(err, l.open())
}

// Read is what an audit in a folder has, the oldest first.
func Read(dir string) ([]byte, error) {
	before, err := os.ReadFile(filepath.Join(dir, Before))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	now, err := os.ReadFile(filepath.Join(dir, FileName))
	return append(before, now...), err
}
