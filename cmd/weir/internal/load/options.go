package load

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// Options say what to run against which broker. Zero means the scenario's default
// wherever a zero makes no sense.
type Options struct {
	Scenario string
	Address  string // host:port
	Username string
	Password string
	Version  packet.Version
	PID      int // of the broker, for its CPU time and memory

	QoS         byte
	Size        int // of a payload in bytes
	Publishers  int
	Subscribers int
	Rate        int // messages a second in all; 0 is a closed loop
	Window      int // closed loop: deliveries on their way
	Inflight    int // messages of one publisher without their last acknowledgement

	Messages int // ends the run, if it is not 0
	Duration time.Duration
	Warmup   time.Duration
	Count    int // of connections, filters or retained messages

	Settle   time.Duration // how long the broker has to come to rest before its memory is read
	Patience time.Duration // after how long without a delivery what is on its way counts as lost
}

// scenario is a kind of load with its defaults.
type scenario struct {
	name, about string
	defaults    Options
	shape       shape
}

// shape is who publishes what for whom.
type shape struct {
	filter func(prefix string, subscriber int) string
	topic  func(prefix string, publisher int) string
	all    bool // each subscriber receives every message
}

func oneTopic(prefix string, _ int) string { return prefix }

func ownTopic(prefix string, i int) string { return fmt.Sprintf("%s/%d", prefix, i) }

func everything(string, int) string { return "#" }

func below(prefix string, _ int) string { return prefix + "/+" }

var scenarios = []scenario{
	{
		"fan-in", "50 publishers, each on its topic, to one subscriber",
		Options{Publishers: 50, Subscribers: 1},
		shape{below, ownTopic, true},
	},
	{
		"fan-out", "one publisher to 50 subscribers of its topic",
		Options{Publishers: 1, Subscribers: 50},
		shape{oneTopic, oneTopic, true},
	},
	{
		"pairs", "50 publishers, each to a subscriber of its own",
		Options{Publishers: 50, Subscribers: 50},
		shape{ownTopic, ownTopic, false},
	},
	{
		"telemetry", "200 publishers, each on its topic, to one subscriber of #",
		Options{Publishers: 200, Subscribers: 1},
		shape{everything, ownTopic, true},
	},
	{
		"large", "1 MiB payloads from one publisher to one subscriber",
		Options{Publishers: 1, Subscribers: 1, Size: 1 << 20, Window: 4},
		shape{oneTopic, oneTopic, true},
	},
	{name: "subscriptions", about: "what 100,000 filters cost, themselves and on the way of other messages", defaults: Options{Count: 100_000}},
	{name: "retained", about: "store 100,000 retained messages and read them with one wildcard", defaults: Options{Count: 100_000}},
	{name: "idle", about: "10,000 connections with one subscription each", defaults: Options{Count: 10_000}},
	{name: "connect", about: "connect and disconnect 10,000 times", defaults: Options{Count: 10_000}},
}

// Scenarios are the names of all scenarios with a line about each.
func Scenarios() (names, about []string) {
	for _, s := range scenarios {
		names, about = append(names, s.name), append(about, s.about)
	}
	return names, about
}

// complete fills in the scenario's defaults.
func (o *Options) complete() (scenario, error) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == o.Scenario })
	if i < 0 {
		names, _ := Scenarios()
		return scenario{}, fmt.Errorf("unknown scenario %q: use one of %v", o.Scenario, names)
	}
	s := scenarios[i]
	d := s.defaults
	setDefault(&o.Publishers, d.Publishers, 10)
	setDefault(&o.Subscribers, d.Subscribers, 1)
	setDefault(&o.Size, d.Size, 100)
	setDefault(&o.Window, d.Window, 4000)
	setDefault(&o.Count, d.Count)
	setDefault(&o.Version, packet.V311)
	setDefault(&o.Duration, 3*time.Second)
	setDefault(&o.Warmup, o.Duration/10)
	setDefault(&o.Settle, 4*time.Second)
	setDefault(&o.Patience, 3*time.Second)
	// Mosquitto 2.0 resets a 3.1.1 publisher with more unfinished QoS 2 messages
	// than its max_inflight_messages, which is 20 and which nobody tells that client.
	if o.QoS == 2 {
		setDefault(&o.Inflight, 20)
	}
	setDefault(&o.Inflight, 100)
	if s.shape.topic != nil && !s.shape.all {
		o.Subscribers = o.Publishers
	}
	return s, o.check()
}

func setDefault[T comparable](v *T, defaults ...T) {
	var zero T
	for _, d := range defaults {
		if *v == zero {
			*v = d
		}
	}
}

func (o *Options) check() error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(o.QoS > 2, "QoS (%d) must be 0, 1 or 2", o.QoS)
	refuse(o.Size < stampSize, "size (%d) must be at least %d, for the stamp", o.Size, stampSize)
	refuse(o.Size > 128<<20, "size (%d) must be at most 128 MiB", o.Size)
	refuse(o.Inflight > 60_000, "inflight (%d) must be at most 60000", o.Inflight)
	for _, n := range []int{o.Publishers, o.Subscribers, o.Rate, o.Window, o.Inflight, o.Messages, o.Count} {
		refuse(n < 0, "a number (%d) must not be negative", n)
	}
	refuse(o.Duration < 0 || o.Warmup < 0, "durations must not be negative")
	return errors.Join(errs...)
}

// Result is what a run has found. What does not apply to a scenario is 0.
type Result struct {
	Scenario string `json:"scenario"`
	QoS      byte   `json:"qos"`

	Sent       uint64 `json:"sent"`
	Delivered  uint64 `json:"delivered"`
	Lost       uint64 `json:"lost"`
	Duplicate  uint64 `json:"duplicate"`
	OutOfOrder uint64 `json:"out_of_order"`
	Refused    uint64 `json:"refused"`

	Seconds float64 `json:"seconds"` // of the measured part
	Rate    float64 `json:"rate"`    // deliveries a second
	CPU     float64 `json:"cpu_us"`  // of the broker, per delivery
	OwnCPU  float64 `json:"own_cpu_us"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	RSS     float64 `json:"rss_mib"` // of the broker, at the end

	Figures []Figure `json:"figures,omitempty"`
}

// Figure is something that only one scenario measures.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Figure finds a figure by its name.
func (r *Result) Figure(name string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

func (r *Result) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{name, value, unit})
}
