package serial

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serialport"
)

// Config is one serial line with the device on it. The zero value of each field
// but Port.Device is its default.
type Config struct {
	Name     string
	Port     serialport.Config
	Framing  Framing  // default: lines; for obis, from / to the line with !
	MaxFrame int      // bytes of a frame; default 1024, for obis 8192
	Checksum Checksum // default: what Parse expects
	Parse    Parse
	Request  Request // default: the device sends by itself
	Output   adapters.Output
	Rule     adapters.Rule // for the values that no field of Parse names
}

// Request is what a device is asked, for those that don't send by themselves.
type Request struct {
	Every   time.Duration // 0: never
	Send    string        // the bytes of the request
	Timeout time.Duration // for the answer; default 1s
}

// Bounds of the configuration.
const (
	maxMaxFrame       = 64 << 10
	defaultMaxFrame   = 1 << 10
	telegramMaxFrame  = 8 << 10
	minEvery          = time.Millisecond
	defaultReplyLimit = time.Second
)

// Validate returns everything that is wrong with c, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	_, sumErr := c.Checksum.verifier()
	errs := []error{
		c.Port.Validate(),
		c.Framing.Validate(),
		sumErr,
		c.Parse.Validate(),
		c.Request.validate(),
		c.Output.Validate(),
	}
	if c.MaxFrame < 1 || c.MaxFrame > maxMaxFrame {
		errs = append(errs, fmt.Errorf("maximum frame (%d) must be between 1 and %d bytes", c.MaxFrame, maxMaxFrame))
	}
	if l, ok := c.Framing.(Length); ok && l.Bytes > c.MaxFrame {
		errs = append(errs, fmt.Errorf("length (%d) must be at most the maximum frame, %d", l.Bytes, c.MaxFrame))
	}
	return errors.Join(errs...)
}

func (r Request) validate() error {
	switch {
	case r.Every == 0 && r.Send == "" && r.Timeout == 0:
		return nil
	case r.Every < minEvery:
		return fmt.Errorf("request every (%v) must be at least %v", r.Every, minEvery)
	case r.Send == "":
		return errors.New("request send must not be empty")
	case r.Timeout < 0:
		return fmt.Errorf("request timeout (%v) must not be negative", r.Timeout)
	}
	return nil
}

// withDefaults is c with what it leaves open.
func (c Config) withDefaults() Config {
	c.Output.Adapter = cmp.Or(c.Output.Adapter, c.Name)
	c.Request.Timeout = c.Request.replyLimit()
	kindSum, kindFrame := noSum, defaultMaxFrame
	framing := Framing(Delimiter{})
	switch c.Parse.Kind {
	case "nmea":
		kindSum = "nmea"
	case "obis":
		kindSum, kindFrame = "p1", telegramMaxFrame
		framing = StartEnd{Start: "/", End: "!", Line: true, Include: true}
	}
	if c.Framing == nil {
		c.Framing = framing
	}
	c.Checksum.Kind = cmp.Or(c.Checksum.Kind, kindSum)
	c.MaxFrame = cmp.Or(c.MaxFrame, kindFrame)
	return c
}

func (r Request) replyLimit() time.Duration {
	if r.Every == 0 {
		return r.Timeout
	}
	return cmp.Or(r.Timeout, defaultReplyLimit)
}

// quietAfter is the silence that means something: the gap that ends a frame, or
// else one long enough that no frame goes on behind it. USB adapters deliver in
// packets up to 16 ms apart.
func (c Config) quietAfter() time.Duration {
	if g, ok := c.Framing.(IdleGap); ok {
		return cmp.Or(g.Gap, max(20*time.Millisecond, 4*c.Port.CharTime()))
	}
	return max(50*time.Millisecond, 20*c.Port.CharTime())
}

// decoder is what c makes of bytes, without the line.
type decoder struct {
	frames *deframer
	parser parser
	shaper shaper
}

// decoder makes the decoder of c, which has its defaults.
func (c Config) decoder(count func(kind string)) (*decoder, error) {
	verify, err := c.Checksum.verifier()
	if err != nil {
		return nil, err
	}
	p, err := c.Parse.parser()
	if err != nil {
		return nil, err
	}
	return &decoder{
		frames: &deframer{
			split:   c.Framing,
			verify:  verify,
			checked: c.Checksum.Kind != noSum,
			limit:   c.MaxFrame,
			count:   count,
		},
		parser: p,
		shaper: newShaper(c.Parse, c.Rule),
	}, nil
}
