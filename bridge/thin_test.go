package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

func (w *world) dropped() map[core.Reason]uint64 {
	got := w.bridge.Status().Rules[0].Dropped
	for why, n := range got {
		if n == 0 {
			delete(got, why)
		}
	}
	return got
}

// Each message is put so many seconds after the start.
func TestThin(t *testing.T) {
	for _, tc := range thinCases() {
		t.Run(tc.name, func(t *testing.T) { synctest.Test(t, tc.run) })
	}
}

type thinCase struct {
	name    string
	thin    bridge.Thin
	retain  string
	puts    []thinPut
	want    []string
	dropped map[core.Reason]uint64
}

type thinPut struct {
	at      int
	payload string
	qos     core.QoS
	retain  bool
}

func (tc thinCase) run(t *testing.T) {
	w := newWorld(t, func(c *bridge.Config) {
		c.Out = []bridge.OutRule{{Filter: "#", QoS: 2, Thin: tc.thin, Retain: tc.retain}}
	})
	w.start()
	after(100 * time.Millisecond)
	now := 0
	for _, p := range tc.puts {
		after(time.Duration(p.at-now) * time.Second)
		now = p.at
		w.putMessage(&core.Message{Topic: "t", Payload: []byte(p.payload), QoS: p.qos, Retain: p.retain})
	}
	after(time.Minute)
	w.wantPayloads(tc.want...)
	w.wantOwed(0)
	if diff := cmp.Diff(tc.dropped, w.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	w.end()
}

func thinCases() []thinCase {
	const superseded, deadband = core.DroppedSuperseded, core.DroppedDeadband
	interval := bridge.Thin{Interval: 10 * time.Second}
	band := bridge.Thin{Deadband: 1}
	return []thinCase{
		{"nothing", bridge.Thin{}, "", []thinPut{{0, "1", 1, false}, {0, "1", 1, false}}, []string{"1", "1"}, map[core.Reason]uint64{}},
		{
			"the newest of an interval", interval, "",
			[]thinPut{{0, "a", 1, false}, {1, "b", 1, false}, {2, "c", 1, false}, {12, "d", 1, false}, {14, "D", 1, false}, {40, "e", 0, false}, {41, "f", 0, false}},
			[]string{"a", "c", "D", "e", "f"}, // at 0, 10, 20, 40 and 50
			map[core.Reason]uint64{superseded: 2},
		},
		{
			"exactly once, and what deletes", interval, "",
			[]thinPut{{0, "a", 1, false}, {1, "b", 1, false}, {2, "c", 2, false}, {3, "d", 1, true}, {4, "", 1, true}},
			[]string{"a", "c", ""},
			map[core.Reason]uint64{superseded: 2},
		},
		{
			"numbers in a deadband", band, "",
			[]thinPut{{0, "10", 1, false}, {1, " 11 ", 1, false}, {2, "11.5", 1, false}, {3, "10.4", 1, false}, {4, "x", 1, false}, {5, "x", 1, false}},
			[]string{"10", "11.5", "10.4", "x", "x"},
			map[core.Reason]uint64{deadband: 1},
		},
		{
			"readings", band, "",
			[]thinPut{
				{0, `{"value":10,"quality":"good"}`, 1, false},
				{1, `{"value":10.5,"quality":"good"}`, 1, false},
				{2, `{"value":10.5,"quality":"stale"}`, 1, false},
				{3, `{"value":null,"quality":"stale"}`, 1, false},
				{4, `{"value":"10"`, 1, false},
			},
			[]string{
				`{"value":10,"quality":"good"}`, `{"value":10.5,"quality":"stale"}`, `{"value":null,"quality":"stale"}`, `{"value":"10"`,
			},
			map[core.Reason]uint64{deadband: 1},
		},
		{
			"percent",
			bridge.Thin{Percent: 10},
			"",
			[]thinPut{{0, "-100", 1, false}, {1, "-91", 1, false}, {2, "-89", 1, false}},
			[]string{"-100", "-89"},
			map[core.Reason]uint64{deadband: 1},
		},
		{
			"retained state is exact", band, "",
			[]thinPut{{0, "10", 1, true}, {1, "10.1", 1, true}},
			[]string{"10", "10.1"},
			map[core.Reason]uint64{},
		},
		{
			"retained by nobody", band, bridge.Strip,
			[]thinPut{{0, "10", 1, true}, {1, "10.1", 1, true}},
			[]string{"10"},
			map[core.Reason]uint64{deadband: 1},
		},
		{
			"back within the deadband while one waits",
			bridge.Thin{Interval: 10 * time.Second, Deadband: 1},
			"",
			[]thinPut{{0, "10", 1, false}, {1, "15", 1, false}, {2, "10.1", 1, false}, {3, "20", 1, false}},
			[]string{"10", "20"},
			map[core.Reason]uint64{superseded: 1, deadband: 1},
		},
	}
}

// A backlog is thinned by when its messages were taken, and the newest waits for its
// own time only.
func TestThinBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Out = []bridge.OutRule{{Filter: "#", QoS: 1, Thin: bridge.Thin{Interval: 10 * time.Second}}}
		})
		for i := range 36 {
			w.put(1, "t", fmt.Sprint(i))
			after(time.Second)
		}
		w.start()
		after(time.Second)
		w.wantPayloads("0", "10", "20", "30")
		w.wantOwed(1)
		after(4 * time.Second)
		w.wantPayloads("0", "10", "20", "30", "35")
		w.wantOwed(0)
		w.end()
	})
}

// Whatever becomes of the connection, the newest value arrives, and each message
// is either there or counted.
func TestThinOverLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Out = []bridge.OutRule{{Filter: "#", QoS: 2, Thin: bridge.Thin{Interval: 3 * time.Second, Deadband: 0.5}}}
		})
		w.start()
		const n = 400
		for i := range n {
			w.put(core.QoS(i/100%2+1), fmt.Sprint("t", i%3), fmt.Sprint(i))
			if i%37 == 0 {
				w.net.Cut()
			}
			if i == 250 {
				w.stop()
				w.start()
			}
			after(300 * time.Millisecond)
		}
		after(3 * time.Minute)
		w.wantOwed(0)
		last := make(map[string]string)
		exact := 0
		for _, r := range w.up.Got() {
			last[r.Topic] = r.Payload
			if r.QoS == 2 {
				exact++
			}
		}
		want := map[string]string{"t0": "399", "t1": "397", "t2": "398"}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("the last that arrived (-want +got):\n%s", diff)
		}
		if exact != n/2 {
			t.Errorf("%d of %d messages of QoS 2 arrived", exact, n/2)
		}
		w.end()
	})
}
