package adapters

import (
	"math"
	"time"

	"github.com/weir-edge/weir/core"
)

// Quality says what a reading is worth.
type Quality string

// The qualities.
const (
	Good        Quality = "good"
	Stale       Quality = "stale"
	CommError   Quality = "comm-error"   // no or no valid answer
	DeviceError Quality = "device-error" // the device answered with an error
	OutOfRange  Quality = "out-of-range"
)

// Reading is one value of one point at one moment.
type Reading struct {
	Device string // "" where the adapter has one device only
	Point  string // point or field

	// Value is a float64, float32, int64, uint64, bool or string; nil when there is
	// none. A float32 is written with the digits that a float32 has.
	Value any

	Unit    string     // "" when unknown
	Quality Quality    // "" is Good
	Error   string     // in plain words, when Quality is not Good
	Time    core.Stamp // the middle of the transaction; zero is now
}

// checked gives r a quality, and takes away a value that is no number: JSON
// can't carry it, and nobody can compute with it.
func (r Reading) checked() Reading {
	if r.Quality == "" {
		r.Quality = Good
	}
	x, isFloat := float(r.Value)
	if !isFloat || !math.IsNaN(x) && !math.IsInf(x, 0) {
		return r
	}
	r.Value = nil
	if r.Quality == Good {
		r.Quality, r.Error = DeviceError, "the device sent a value that is not a number"
		if math.IsInf(x, 0) {
			r.Quality, r.Error = OutOfRange, "the device sent an infinite value"
		}
	}
	return r
}

// float is v where it is of a floating-point type.
func float(v any) (x float64, ok bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	}
	return 0, false
}

// List is several numbers, as the text of a JSON array.
type List string

// number is v where it is a number of any type.
func number(v any) (x float64, ok bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return float(v)
}

// Rule says when a point is reported. The zero rule reports every reading.
type Rule struct {
	OnChange    bool          // only when the value differs from the last one reported
	Deadband    float64       // a number must differ by more than this; implies OnChange
	Percent     float64       // the same in hundredths of the value last reported
	Heartbeat   time.Duration // report an unchanged value after this, 0 never; implies OnChange
	MinInterval time.Duration // not more often than this, not even a change
}

// reported is what was last published for a point.
type reported struct {
	value   any
	quality Quality
	at      core.Stamp
}

// wants says whether r is to be published, where last was the one before
// (nil: there was none).
func (rule Rule) wants(r *Reading, last *reported) bool {
	if last.at.IsZero() {
		return true
	}
	since := r.Time.Since(last.at)
	switch {
	case since < rule.MinInterval:
		return false
	case !rule.OnChange && rule.Deadband == 0 && rule.Percent == 0 && rule.Heartbeat == 0:
		return true
	case rule.Heartbeat > 0 && since >= rule.Heartbeat:
		return true
	}
	return r.Quality != last.quality || rule.differ(r.Value, last.value)
}

// differ says whether a differs from b by more than the deadband.
func (rule Rule) differ(a, b any) bool {
	if rule.Deadband > 0 || rule.Percent > 0 {
		x, okA := number(a)
		y, okB := number(b)
		if okA && okB {
			return math.Abs(x-y) > max(rule.Deadband, rule.Percent/100*math.Abs(y))
		}
	}
	return a != b
}
