package adapters

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"

	"github.com/weir-edge/weir/core"
)

func TestPayloads(t *testing.T) {
	unsynced := at(0)
	unsynced.Synced = false
	voltage := Reading{Device: "m1", Point: "voltage", Value: 230.1, Unit: "V", Time: at(0)}
	for name, c := range map[string]struct {
		format Format
		r      Reading
		want   string // "" for nothing
	}{
		"json":             {JSON, voltage, `plant/meters/m1/voltage {"ts":"2026-11-22T10:00:00.123Z","value":230.1,"quality":"good","unit":"V"}`},
		"default is json":  {"", Reading{Point: "p", Value: true, Time: at(0)}, `plant/meters/_/p {"ts":"2026-11-22T10:00:00.123Z","value":true,"quality":"good"}`},
		"clock not known":  {JSON, Reading{Device: "d", Point: "p", Value: int64(-3), Time: unsynced}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":-3,"quality":"good","ts_synced":false}`},
		"comm error":       {JSON, Reading{Device: "d", Point: "p", Quality: CommError, Error: `no "answer"`, Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":null,"quality":"comm-error","error":"no \"answer\""}`},
		"out of range":     {JSON, Reading{Device: "d", Point: "p", Value: uint64(900), Quality: OutOfRange, Error: "too much", Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":900,"quality":"out-of-range","error":"too much"}`},
		"not a number":     {JSON, Reading{Device: "d", Point: "p", Value: math.NaN(), Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":null,"quality":"device-error","error":"the device sent a value that is not a number"}`},
		"infinite":         {JSON, Reading{Device: "d", Point: "p", Value: float32(math.Inf(-1)), Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":null,"quality":"out-of-range","error":"the device sent an infinite value"}`},
		"float32 digits":   {JSON, Reading{Device: "d", Point: "p", Value: float32(230.1), Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":230.1,"quality":"good"}`},
		"text":             {JSON, Reading{Device: "d", Point: "p", Value: "a\n\x01\xffé\\", Time: at(0)}, `plant/meters/d/p {"ts":"2026-11-22T10:00:00.123Z","value":"a\n\u0001` + "\uFFFD" + `é\\","quality":"good"}`},
		"raw":              {Raw, voltage, "plant/meters/m1/voltage 230.1"},
		"raw text":         {Raw, Reading{Device: "d", Point: "p", Value: "on", Time: at(0)}, "plant/meters/d/p on"},
		"raw large":        {Raw, Reading{Device: "d", Point: "p", Value: 1e21, Time: at(0)}, "plant/meters/d/p 1e+21"},
		"raw small":        {Raw, Reading{Device: "d", Point: "p", Value: 0.000001, Time: at(0)}, "plant/meters/d/p 0.000001"},
		"raw has no error": {Raw, Reading{Device: "d", Point: "p", Quality: CommError, Time: at(0)}, ""},
		"batch of one":     {JSONBatch, voltage, `plant/meters/m1 {"ts":"2026-11-22T10:00:00.123Z","device":"m1","quality":"good","values":{"voltage":230.1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			bus := new(recorder)
			p := NewReporter(output(c.format), core.NewClock(), bus)
			if err := p.Report(c.r, Rule{}); err != nil {
				t.Fatal(err)
			}
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if diff := cmp.Diff(want, bus.take()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMessageIsAddressed(t *testing.T) {
	bus := new(recorder)
	out := output(JSON)
	out.Retain = true
	if err := NewReporter(out, core.NewClock(), bus).Report(Reading{Device: "d", Point: "p", Value: 1.0, Time: at(0)}, Rule{}); err != nil {
		t.Fatal(err)
	}
	m := bus.messages[0]
	if m.QoS != core.AtLeastOnce || !m.Retain || m.Publisher != "adapter:meters" || m.Received != at(0) {
		t.Errorf("message is %+v", m)
	}
}

func TestReadingWithoutTimeIsOfNow(t *testing.T) {
	bus := new(recorder)
	before := time.Now()
	_ = NewReporter(output(JSON), core.NewClock(), bus).Report(Reading{Device: "d", Point: "p", Value: 1.0}, Rule{})
	if got := bus.messages[0].Received.Time(); got.Before(before.Truncate(0)) || got.After(time.Now()) {
		t.Errorf("received is %v", got)
	}
}

func TestBatch(t *testing.T) {
	bus := new(recorder)
	p := NewReporter(output(JSONBatch), core.NewClock(), bus)
	readings := []Reading{
		{Device: "m 1", Point: "voltage", Value: 230.1, Unit: "V", Time: at(0)},
		{Device: "m 1", Point: "power", Quality: DeviceError, Error: "no such register", Time: at(time.Second)},
		{Device: "m 1", Point: "temperature", Value: 120.0, Quality: OutOfRange, Error: "above 100", Time: at(time.Second)},
		{Device: "m 1", Point: "same", Value: int64(1), Time: at(time.Second)},
	}
	rules := []Rule{{}, {}, {}, {OnChange: true}}
	for range 2 {
		if err := p.ReportBatch("m 1", readings, rules); err != nil {
			t.Fatal(err)
		}
	}
	const head = `plant/meters/m 1 {"ts":"2026-11-22T10:00:01.123Z","device":"m 1","quality":"device-error","values":{"voltage":230.1,"power":null,"temperature":120`
	const tail = `},"problems":{"power":{"quality":"device-error","error":"no such register"},"temperature":{"quality":"out-of-range","error":"above 100"}}}`
	if diff := cmp.Diff([]string{head + `,"same":1` + tail, head + tail}, bus.take()); diff != "" {
		t.Error(diff)
	}
	if p.Readings() != 7 {
		t.Errorf("%d readings counted, want 7", p.Readings())
	}
}

func TestBatchOfOtherFormatIsOneMessageEach(t *testing.T) {
	bus := new(recorder)
	p := NewReporter(output(Raw), core.NewClock(), bus)
	err := p.ReportBatch("d", []Reading{{Device: "d", Point: "a", Value: 1.0}, {Device: "d", Point: "b", Value: false}}, nil)
	if diff := cmp.Diff([]string{"plant/meters/d/a 1", "plant/meters/d/b false"}, bus.take()); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestMsgpackHasTheFieldsOfJSON(t *testing.T) {
	for name, r := range map[string]Reading{
		"good":       {Device: "d", Point: "p", Value: 1.5, Unit: "A", Time: at(0)},
		"comm error": {Device: "d", Point: "p", Quality: CommError, Error: "no answer", Time: core.Stamp{Wall: at(0).Wall}},
		"text":       {Device: "d", Point: "p", Value: "x", Time: at(0)},
		"integer":    {Device: "d", Point: "p", Value: int64(-7), Time: at(0)},
		"bool":       {Device: "d", Point: "p", Value: true, Time: at(0)},
	} {
		t.Run(name, func(t *testing.T) {
			bus := new(recorder)
			clock := core.NewClock()
			for _, f := range []Format{JSON, Msgpack} {
				_ = NewReporter(output(f), clock, bus).Report(r, Rule{})
			}
			var want map[string]any
			if err := json.Unmarshal(bus.messages[0].Payload, &want); err != nil {
				t.Fatal(err)
			}
			v, rest, err := msgp.ReadIntfBytes(bus.messages[1].Payload)
			if err != nil || len(rest) > 0 {
				t.Fatal(err, rest)
			}
			got := v.(map[string]any)
			got["ts"] = got["ts"].(time.Time).UTC().Format(timeFormat)
			if i, ok := got["value"].(int64); ok {
				got["value"] = float64(i)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRules(t *testing.T) {
	type step struct {
		after   time.Duration // since the start
		value   any
		quality Quality
		want    bool
	}
	for name, c := range map[string]struct {
		rule  Rule
		steps []step
	}{
		"zero rule": {Rule{}, []step{{0, 1.0, "", true}, {1, 1.0, "", true}}},
		"on change": {Rule{OnChange: true}, []step{
			{0, int64(1), "", true}, {1, int64(1), "", false}, {2, int64(2), "", true}, {3, int64(1), "", true}, {4, true, "", true}, {5, "x", "", true}, {6, "x", "", false},
		}},
		"a change of quality": {Rule{OnChange: true}, []step{
			{0, 1.0, "", true}, {1, nil, CommError, true}, {2, nil, CommError, false}, {3, 1.0, "", true}, {4, 1.0, OutOfRange, true},
		}},
		"deadband": {Rule{Deadband: 0.2}, []step{
			{0, 230.0, "", true}, {1, 230.2, "", false}, {2, 230.15, "", false}, {3, 230.21, "", true}, {4, 230.02, "", false}, {5, 230.0, "", true},
		}},
		"deadband in percent":  {Rule{Percent: 10}, []step{{0, 100.0, "", true}, {1, 109.9, "", false}, {2, 89.0, "", true}, {3, 97.0, "", false}, {4, 98.0, "", true}}},
		"deadband of integers": {Rule{Deadband: 2}, []step{{0, int64(5), "", true}, {1, int64(7), "", false}, {2, int64(8), "", true}, {3, uint64(5), "", true}}},
		"heartbeat": {Rule{Heartbeat: time.Minute}, []step{
			{0, 1.0, "", true}, {59 * time.Second, 1.0, "", false}, {60 * time.Second, 1.0, "", true}, {119 * time.Second, 1.0, "", false}, {119 * time.Second, 2.0, "", true},
		}},
		"minimum interval": {Rule{MinInterval: 10 * time.Second}, []step{
			{0, 1.0, "", true}, {9 * time.Second, 2.0, CommError, false}, {10 * time.Second, 2.0, "", true}, {11 * time.Second, 3.0, "", false},
		}},
		"minimum interval keeps a change": {Rule{OnChange: true, MinInterval: 10 * time.Second}, []step{
			{0, 1.0, "", true}, {5 * time.Second, 2.0, "", false}, {11 * time.Second, 2.0, "", true}, {30 * time.Second, 2.0, "", false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bus := new(recorder)
			p := NewReporter(output(JSON), core.NewClock(), bus)
			for i, s := range c.steps {
				r := Reading{Device: "d", Point: "p", Value: s.value, Quality: s.quality, Error: "why", Time: at(s.after)}
				if err := p.Report(r, c.rule); err != nil {
					t.Fatal(err)
				}
				if got := len(bus.take()) == 1; got != s.want {
					t.Errorf("step %d: published is %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

// A reading for which there was no room must not count as reported.
func TestLostReadingIsReportedAgain(t *testing.T) {
	for _, format := range []Format{JSON, JSONBatch} {
		bus := &recorder{refuse: core.ErrFull}
		p := NewReporter(output(format), core.NewClock(), bus)
		r := Reading{Device: "d", Point: "p", Value: 1.0, Time: at(0)}
		if err := p.Report(r, Rule{OnChange: true}); !errors.Is(err, core.ErrFull) {
			t.Errorf("%s: error is %v", format, err)
		}
		bus.refuse = nil
		if err := p.Report(r, Rule{OnChange: true}); err != nil || len(bus.take()) != 1 {
			t.Errorf("%s: the value was not reported again (%v)", format, err)
		}
		if p.Readings() != 1 || p.Lost() != 1 {
			t.Errorf("%s: %d readings, %d lost", format, p.Readings(), p.Lost())
		}
	}
}

func TestReportAllocates(t *testing.T) {
	bus := discard{}
	p := NewReporter(output(JSON), core.NewClock(), bus)
	r := Reading{Device: "m1", Point: "voltage", Value: 230.1, Unit: "V", Time: at(0)}
	if n := testing.AllocsPerRun(100, func() { _ = p.Report(r, Rule{}) }); n > 1 {
		t.Errorf("a reading costs %v allocations, want 1", n)
	}
	batch := []Reading{r, r, r}
	p = NewReporter(output(JSONBatch), core.NewClock(), bus)
	if n := testing.AllocsPerRun(100, func() { _ = p.ReportBatch("m1", batch, nil) }); n > 2 {
		t.Errorf("a document costs %v allocations, want 2", n)
	}
}

type discard struct{}

func (discard) Publish(*core.Message) error { return nil }

func (discard) Subscribe(string, func(*core.Message)) (func(), error) { return func() {}, nil }

func BenchmarkReport(b *testing.B) {
	p := NewReporter(output(JSON), core.NewClock(), discard{})
	r := Reading{Device: "m1", Point: "voltage", Value: 230.1, Unit: "V", Time: at(0)}
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Report(r, Rule{})
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\x00", "é\xff\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var want string
		b, _ := json.Marshal(s)
		if _ = json.Unmarshal(b, &want); got != want {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}
