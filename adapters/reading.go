package adapters

import (
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
	Device  string     // "" where the adapter has one device only
	Point   string     // point or field
	Value   any        // float64, int64, uint64, bool, string; nil when there is none
	Unit    string     // "" when unknown
	Quality Quality    // "" is Good
	Error   string     // in plain words, when Quality is not Good
	Time    core.Stamp // the middle of the transaction
}

// Format is the form of the payload.
type Format string

// The payload formats.
const (
	JSON      Format = "json"       // {"ts":…,"value":…,"quality":…,"unit":…}
	Raw       Format = "raw"        // the value as text
	JSONBatch Format = "json-batch" // one document a device and transaction
	Msgpack   Format = "msgpack"    // the same fields as JSON, in MessagePack
)

// Output says how an adapter's readings become messages. It is part of every
// adapter's configuration.
type Output struct {
	Adapter string   // the adapter's name
	Topic   string   // template: {adapter} {device} {point} {field}
	Format  Format   // default JSON
	QoS     core.QoS // default 1
	Retain  bool
}

// Rule says when a point is reported. The zero rule reports every reading.
type Rule struct {
	OnChange    bool          // only when the value differs from the last one reported
	Deadband    float64       // a number must differ by more than this; implies OnChange
	Heartbeat   time.Duration // report an unchanged value after this; 0 never
	MinInterval time.Duration // not more often than this
}
