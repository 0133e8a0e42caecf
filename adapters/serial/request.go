package serial

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serial/parse"
)

// Request is what a device is asked, for those that don't send by themselves.
type Request struct {
	Name    string // for the technician; default: what is sent
	Every   time.Duration
	Send    exchange.Template
	Timeout time.Duration // for the answer; default 1s
	Retries int           // how often it is asked again when no answer comes
	Pause   time.Duration // of the line behind the answer: the device's turn-around
	Expect  Expect        // how the answer is told from other frames; default: any frame
	Parse   *parse.Config // of the answer; nil: the line's
}

// Expect says what a frame must have in it to be the answer.
type Expect struct {
	At    int               // where
	Bytes exchange.Template // "": anything
}

// Device is one of several devices on the line, all of the same kind: each request
// goes to each of them.
type Device struct {
	Name    string
	Address int // {address} in the templates
}

// Write is a point that can be set, by the topic of the point with /set behind it.
type Write struct {
	Name     string
	Send     exchange.Template // with {value}
	Expect   Expect            // the device's acknowledgement; default: there is none
	Timeout  time.Duration     // for it; default 1s
	Retries  int
	Pause    time.Duration
	Min, Max *float64 // bounds of a number; nil: none
}

// Bounds of requests and writes.
const (
	maxRetries        = 10
	maxPause          = time.Minute
	maxDevices        = 250 // as many as M-Bus has addresses
	minEvery          = time.Millisecond
	defaultReplyLimit = time.Second
)

func (r Request) withDefaults() Request {
	r.Timeout = cmp.Or(r.Timeout, defaultReplyLimit)
	r.Name = cmp.Or(r.Name, string(r.Send))
	return r
}

func (w Write) withDefaults() Write {
	w.Timeout = cmp.Or(w.Timeout, defaultReplyLimit)
	return w
}

func (r Request) validate() error {
	errs := []error{
		validateTalk("request", r.Send, r.Expect, r.Timeout, r.Retries, r.Pause, false),
	}
	if r.Every < minEvery {
		errs = append(errs, fmt.Errorf("request every (%v) must be at least %v", r.Every, minEvery))
	}
	if r.Parse != nil {
		errs = append(errs, r.Parse.Validate())
	}
	return errors.Join(errs...)
}

func (w Write) validate() error {
	err := validateTalk("write", w.Send, w.Expect, w.Timeout, w.Retries, w.Pause, true)
	switch {
	case w.Name == "":
		return errors.Join(err, errors.New("write name must not be empty"))
	case w.Min != nil && w.Max != nil && *w.Min > *w.Max:
		return errors.Join(err, fmt.Errorf("write %s: min (%v) must be at most max (%v)", w.Name, *w.Min, *w.Max))
	}
	return err
}

func validateTalk(what string, send exchange.Template, expect Expect, timeout time.Duration, retries int, pause time.Duration, writes bool) error {
	var errs []error
	if send == "" {
		errs = append(errs, fmt.Errorf("%s send must not be empty", what))
	}
	if err := send.Validate(writes); err != nil {
		errs = append(errs, fmt.Errorf("%s send: %w", what, err))
	}
	if err := expect.Bytes.Validate(writes); err != nil {
		errs = append(errs, fmt.Errorf("%s expect: %w", what, err))
	}
	if expect.At < 0 || expect.At > maxMaxFrame {
		errs = append(errs, fmt.Errorf("%s expect at (%d) must be between 0 and %d", what, expect.At, maxMaxFrame))
	}
	if timeout < 0 {
		errs = append(errs, fmt.Errorf("%s timeout (%v) must not be negative", what, timeout))
	}
	if retries < 0 || retries > maxRetries {
		errs = append(errs, fmt.Errorf("%s retries (%d) must be between 0 and %d", what, retries, maxRetries))
	}
	if pause < 0 || pause > maxPause {
		errs = append(errs, fmt.Errorf("%s pause (%v) must be between 0 and %v", what, pause, maxPause))
	}
	return errors.Join(errs...)
}

// validateDevices checks the devices and that the requests tell them apart.
func (c Config) validateDevices() error {
	var errs []error
	names, addresses := make(map[string]bool), make(map[int]bool)
	for _, d := range c.Devices {
		if d.Name == "" {
			errs = append(errs, errors.New("device name must not be empty"))
		}
		if names[d.Name] || addresses[d.Address] {
			errs = append(errs, fmt.Errorf("device %s: its name and its address (%d) must be no other's", d.Name, d.Address))
		}
		names[d.Name], addresses[d.Address] = true, true
	}
	if len(c.Devices) > maxDevices {
		errs = append(errs, fmt.Errorf("devices (%d) must be at most %d", len(c.Devices), maxDevices))
	}
	if len(c.Devices) > 0 && len(c.Requests) == 0 {
		errs = append(errs, errors.New("devices need a request: without one nothing tells them apart"))
	}
	for _, r := range c.Requests {
		if len(c.Devices) > 1 && !r.Send.Addressed() {
			errs = append(errs, fmt.Errorf("request send (%q) must have {address} in it, because there are several devices", string(r.Send)))
		}
	}
	return errors.Join(errs...)
}
