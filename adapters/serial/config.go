package serial

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
)

// Config is one serial line with the device on it. The zero value of each field
// but Port.Device is its default.
type Config struct {
	Name     string
	Port     serialport.Config
	Framing  frame.Framing // default: lines; for obis, from / to the line with !; for sml, its transport
	MaxFrame int           // bytes of a frame; default 1024, for obis and sml 8192
	Checksum frame.Sum     // default: what Parse expects
	Parse    parse.Config

	Requests []Request // default: the device sends by itself
	Devices  []Device  // default: one, that has no address
	Writes   []Write

	// MaxRate is how many frames a second are read; those beyond are dropped and
	// counted, so that a babbling device costs no more. Default 2000.
	MaxRate int
	// StaleAfter is how long values hold when nothing comes from a device that sends by
	// itself. Default: for ever.
	StaleAfter time.Duration

	Output adapters.Output
	Rule   adapters.Rule // for the values that no field of Parse names
}

// Bounds of the configuration.
const (
	maxMaxFrame      = 64 << 10
	defaultMaxFrame  = 1 << 10
	telegramMaxFrame = 8 << 10
	maxMaxRate       = 1_000_000
	defaultMaxRate   = 2000
)

// Validate returns everything that is wrong with c, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := []error{
		c.Port.Validate(),
		c.Framing.Validate(),
		c.Checksum.Validate(),
		c.Parse.Validate(),
		c.validateDevices(),
		c.Output.Validate(),
	}
	for _, r := range c.Requests {
		errs = append(errs, r.validate())
	}
	for _, w := range c.Writes {
		errs = append(errs, w.validate())
	}
	if c.MaxFrame < 1 || c.MaxFrame > maxMaxFrame {
		errs = append(errs, fmt.Errorf("maximum frame (%d) must be between 1 and %d bytes", c.MaxFrame, maxMaxFrame))
	}
	if l, ok := c.Framing.(frame.Length); ok && l.Bytes > c.MaxFrame {
		errs = append(errs, fmt.Errorf("length (%d) must be at most the maximum frame, %d", l.Bytes, c.MaxFrame))
	}
	if c.MaxRate < 1 || c.MaxRate > maxMaxRate {
		errs = append(errs, fmt.Errorf("maximum rate (%d) must be between 1 and %d frames a second", c.MaxRate, maxMaxRate))
	}
	if c.StaleAfter < 0 {
		errs = append(errs, fmt.Errorf("stale after (%v) must not be negative", c.StaleAfter))
	}
	return errors.Join(errs...)
}

// withDefaults is c with what it leaves open.
func (c Config) withDefaults() Config {
	c.Output.Adapter = cmp.Or(c.Output.Adapter, c.Name)
	kindSum, kindFrame := frame.None, defaultMaxFrame
	framing := frame.Framing(frame.Delimiter{})
	switch c.Parse.Kind {
	case "nmea":
		kindSum = "nmea"
	case "obis":
		kindSum, kindFrame = "p1", telegramMaxFrame
		framing = frame.StartEnd{Start: "/", End: "!", Line: true, Include: true}
	case "sml":
		kindSum, kindFrame = "sml", telegramMaxFrame
		framing = frame.SML{}
	}
	if c.Framing == nil {
		c.Framing = framing
	}
	c.Checksum.Kind = cmp.Or(c.Checksum.Kind, kindSum)
	c.MaxFrame = cmp.Or(c.MaxFrame, kindFrame)
	c.MaxRate = cmp.Or(c.MaxRate, defaultMaxRate)
	c.Requests, c.Writes = append([]Request(nil), c.Requests...), append([]Write(nil), c.Writes...)
	for i, r := range c.Requests {
		c.Requests[i] = r.withDefaults()
	}
	for i, w := range c.Writes {
		c.Writes[i] = w.withDefaults()
	}
	return c
}

// quietAfter is the silence that means something: the gap that ends a frame, or
// else one long enough that no frame goes on behind it. USB adapters deliver in
// packets up to 16 ms apart.
func (c Config) quietAfter() time.Duration {
	if g, ok := c.Framing.(frame.IdleGap); ok {
		return cmp.Or(g.Gap, max(20*time.Millisecond, 4*c.Port.CharTime()))
	}
	return max(50*time.Millisecond, 20*c.Port.CharTime())
}

// restAfter is how long the line is left alone when bytes have come (see pace).
func (c Config) restAfter() time.Duration {
	if _, ok := c.Framing.(frame.IdleGap); ok {
		return min(maxRest, c.quietAfter()/8) // a pause must not be slept through
	}
	return maxRest
}

const maxRest = 4 * time.Millisecond

// reader is what makes values of a frame.
type reader struct {
	parser parse.Parser
	shaper parse.Shaper
}

func newReader(p parse.Config, rule adapters.Rule) (reader, error) {
	parser, err := p.Parser()
	if err != nil {
		return reader{}, err
	}
	return reader{parser, parse.NewShaper(p, rule)}, nil
}
