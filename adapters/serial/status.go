package serial

import (
	"errors"
	"io/fs"
	"maps"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// status is what the adapter shows of itself. Its methods may be called from
// any goroutine.
type status struct {
	mu sync.Mutex // guards all below
	s  core.AdapterStatus
	d  core.DeviceStatus
}

func newStatus(name string) *status {
	return &status{
		s: core.AdapterStatus{Name: name, Type: "serial", State: "starting", Since: time.Now(), Errors: make(map[string]uint64)},
		d: core.DeviceStatus{Name: name},
	}
}

// snapshot is a copy that the caller may keep.
func (t *status) snapshot() core.AdapterStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Errors = maps.Clone(s.Errors)
	s.Devices = []core.DeviceStatus{t.d}
	return s
}

// opened: the line is there.
func (t *status) opened() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.State, t.s.Error, t.s.Since = "running", "", time.Now()
}

// lost: the line isn't there, or not any more. It says whether it was until now,
// and whether the reason is another one than before.
func (t *status) lost(why string) (isNew, isOther bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	isNew, isOther = t.s.State != "waiting", t.s.Error != why
	if isNew {
		t.s.State, t.s.Since = "waiting", time.Now()
	}
	t.s.Error = why
	t.d.Up, t.d.Error = false, why
	return isNew, isOther
}

// plain says in plain words why the line can't be used.
func plain(device string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return device + " is not plugged in"
	case errors.Is(err, serialport.ErrGone):
		return device + " was unplugged"
	}
	return err.Error()
}

// heard: a good frame came at a time.
func (t *status) heard(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.d.Up, t.d.Error, t.d.LastSeen = true, "", at
}

// published: so many readings by now.
func (t *status) published(readings uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Readings = readings
}

// asked counts a request.
func (t *status) asked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.d.Requests++
}

// trouble: the device is there, but what it sent is of no use, or it sent nothing.
func (t *status) trouble(text string, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.d.Up, t.d.Error = up, text
}

// count counts an error by its kind.
func (t *status) count(kind string) { t.add(kind, 1) }

func (t *status) add(kind string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Errors[kind] += n
}
