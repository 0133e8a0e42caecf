package serial

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
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
	d  []*device // in the order of the configuration; a line without devices is one
}

// device is one device with the round trips of its last answers.
type device struct {
	core.DeviceStatus
	took    [256]time.Duration // a ring
	answers int                // ever
}

func newStatus(cfg Config) *status {
	t := &status{
		s: core.AdapterStatus{Name: cfg.Name, Type: "serial", State: "starting", Since: time.Now(), Errors: make(map[string]uint64)},
	}
	for _, d := range cfg.Devices {
		t.d = append(t.d, &device{DeviceStatus: core.DeviceStatus{Name: d.Name}})
	}
	if len(t.d) == 0 {
		t.d = append(t.d, &device{DeviceStatus: core.DeviceStatus{Name: cfg.Name}})
	}
	return t
}

// snapshot is a copy that the caller may keep.
func (t *status) snapshot() core.AdapterStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Errors = maps.Clone(s.Errors)
	for _, d := range t.d {
		s.Devices = append(s.Devices, d.snapshot())
	}
	return s
}

func (d *device) snapshot() core.DeviceStatus {
	s := d.DeviceStatus
	s.Errors = maps.Clone(s.Errors)
	took := slices.Sorted(slices.Values(d.took[:min(d.answers, len(d.took))]))
	if n := len(took); n > 0 {
		s.P50, s.P99 = took[n/2].Seconds(), took[n*99/100].Seconds()
	}
	return s
}

// deviceLocked is the device of a name; "" is the only one.
func (t *status) deviceLocked(name string) *device {
	for _, d := range t.d {
		if d.Name == name {
			return d
		}
	}
	return t.d[0]
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
	for _, d := range t.d {
		d.Up, d.Error = false, why
	}
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

// heard: a good frame of a device came at a time.
func (t *status) heard(name string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.deviceLocked(name)
	d.Up, d.Error, d.LastSeen = true, "", at
}

// answered: a device needed so long for its answer.
func (t *status) answered(name string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.deviceLocked(name)
	d.took[d.answers%len(d.took)] = took
	d.answers++
}

// failed counts a request to a device that had no answer.
func (t *status) failed(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.deviceLocked(name)
	if d.Errors == nil {
		d.Errors = make(map[string]uint64)
	}
	d.Errors[noAnswer]++
}

// published: so many readings by now.
func (t *status) published(readings uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Readings = readings
}

// asked counts a request to a device.
func (t *status) asked(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deviceLocked(name).Requests++
}

// trouble: the line is there, but what the device sent is of no use, or it sent
// nothing.
func (t *status) trouble(name, text string, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.deviceLocked(name)
	d.Up, d.Error = up, text
}

// count counts an error by its kind.
func (t *status) count(kind string) { t.add(kind, 1) }

func (t *status) add(kind string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Errors[kind] += n
}
