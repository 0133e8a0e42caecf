package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// faultClass is a kind of run: faults that are drawn from a set.
type faultClass struct {
	name   string
	faults []fault
	short  int   // faults in the short run; 0: only in the long one
	disk   int64 // bytes of a disk of its own; 0: none
	damage bool  // losses are allowed, if they are counted
}

var faultClasses = []faultClass{
	{name: "kill", faults: []fault{faultKill}},
	{name: "kill-in-recovery", faults: []fault{faultRecovery}},
	{name: "pause", faults: []fault{faultPause}},
	{name: "term", faults: []fault{faultTerm}},
	{name: "reset", faults: []fault{faultReset}},
	{name: "silence", faults: []fault{faultSilence}},
	{name: "slow", faults: []fault{faultSlow}},
	{name: "upstream", faults: []fault{faultUpstream}},
	{name: "mixed", short: 44, faults: []fault{faultKill, faultKill, faultRecovery, faultPause, faultTerm, faultReset, faultSilence, faultSlow, faultUpstream}},
	{name: "damage", short: 6, damage: true, faults: []fault{faultDamage}},
	{name: "power", short: 5, disk: 256 << 20, faults: []fault{faultPower}},
	{name: "full", short: 3, disk: 96 << 20, faults: []fault{faultFull}},
	{name: "stall", disk: 256 << 20, faults: []fault{faultStall}},
	{name: "read-only", short: 1, disk: 256 << 20, faults: []fault{faultReadOnly}},
	{name: "mixed-disk", disk: 256 << 20, faults: []fault{faultPower, faultPower, faultStall, faultKill, faultRecovery, faultReset, faultSilence, faultUpstream, faultPause}},
}

// faultStep is one fault of a schedule.
type faultStep struct {
	fault fault
	after time.Duration // since the one before
	lasts time.Duration
	seed  uint64 // of the fault's own choices
	heal  bool   // let everything heal before the next
}

func (s faultStep) String() string {
	text := fmt.Sprintf("after %v %s", s.after.Round(time.Millisecond), s.fault.name)
	if s.lasts > 0 {
		text += fmt.Sprintf(" for %v", s.lasts.Round(time.Millisecond))
	}
	if s.heal {
		text += ", heal"
	}
	return text
}

// schedule draws n faults. hurry shortens those that only last. The same seed
// gives the same schedule.
func (c faultClass) schedule(seed uint64, n int, hurry bool) (protocol string, steps []faultStep) {
	rng := rand.New(rand.NewPCG(seed, 7))
	protocol = []string{"5", "5", "3.1.1"}[rng.IntN(3)]
	for range n {
		f := c.faults[rng.IntN(len(c.faults))]
		high, pause := f.high, 300*time.Millisecond
		if hurry {
			high, pause = min(high, f.low+150*time.Millisecond), pause/2
		}
		steps = append(steps, faultStep{
			fault: f,
			after: time.Duration(rng.Int64N(int64(pause))),
			lasts: f.low + time.Duration(rng.Int64N(int64(high-f.low)+1)),
			seed:  rng.Uint64(),
			heal:  rng.IntN(2) == 0,
		})
	}
	return protocol, steps
}

// faultRow is a line of the table.
type faultRow struct {
	name         string
	damage       bool
	runs, cycles int
	failed       int
	acknowledged int
	lost         int
	duplicates   int // at QoS 1
	exact        int // duplicates at QoS 2
	reversed     int
	heal         time.Duration // the longest
	rss          uint64
}

func (r *faultRow) add(qos byte, v verdict) {
	r.acknowledged += v.Acknowledged
	r.lost += v.Lost
	r.reversed += v.Reversed
	if qos == 2 {
		r.exact += v.Duplicates
	} else {
		r.duplicates += v.Duplicates
	}
}

// TestFaults lets a schedule of faults happen to the real binary between an
// upstream and two audited sources, lets everything heal, and holds what arrived
// against what was acknowledged:
//
//   - nothing is lost, neither at the upstream nor for a session that was away;
//   - order per topic;
//   - no duplicates at QoS 2, at most one window a cut at QoS 1;
//   - memory, descriptors and goroutines are bounded;
//   - it heals by itself (within 10 s in the long run).
//
// A failure prints its seed and schedule; WEIR_SEED=… runs it again, with
// -run TestFaults/class. WEIR_FAULTS=long goes round all classes for
// WEIR_FAULTS_MINUTES (10), each time with another seed, and prints a table; see
// longFaults for a number of cycles.
func TestFaults(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	if os.Getenv("WEIR_FAULTS") == "long" {
		longFaults(t)
		return
	}
	if testing.Short() {
		t.Skip("faults take a minute")
	}
	var rows []*faultRow
	for _, c := range faultClasses {
		if c.short > 0 {
			rows = append(rows, c.row())
			c.test(t, c.short, true, rows[len(rows)-1])
		}
	}
	t.Log(faultTable(rows))
}

// longFaults goes round the classes until the time is over, or until each class
// has had WEIR_FAULTS_CYCLES faults. WEIR_FAULTS_CLASSES=kill,power leaves out the
// others.
func longFaults(t *testing.T) {
	end := time.Now().Add(time.Duration(envNumber(t, "WEIR_FAULTS_MINUTES", 10)) * time.Minute)
	cycles := envNumber(t, "WEIR_FAULTS_CYCLES", math.MaxInt)
	chosen := os.Getenv("WEIR_FAULTS_CLASSES")
	var classes []faultClass
	var rows []*faultRow
	for _, c := range faultClasses {
		if chosen == "" || slices.Contains(strings.Split(chosen, ","), c.name) {
			classes, rows = append(classes, c), append(rows, c.row())
		}
	}
	for more := len(classes) > 0; more && time.Now().Before(end); {
		more = false
		for i, c := range classes {
			if rows[i].cycles < cycles && time.Now().Before(end) {
				c.test(t, 20, false, rows[i])
				more = true
			}
		}
		t.Log(faultTable(rows))
	}
}

func (c faultClass) row() *faultRow { return &faultRow{name: c.name, damage: c.damage} }

// test is one run of n faults.
func (c faultClass) test(t *testing.T, n int, hurry bool, row *faultRow) {
	t.Run(c.name, func(t *testing.T) {
		seed := rand.Uint64() >> 1
		if v := os.Getenv("WEIR_SEED"); v != "" {
			var err error
			if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		protocol, steps := c.schedule(seed, n, hurry)
		done := 0
		defer func() {
			if t.Failed() {
				row.failed++
				t.Logf("WEIR_SEED=%d, MQTT %s to the upstream; the schedule, %d of it done:\n%s", seed, protocol, done, scheduleText(steps))
			}
		}()
		var d *disk
		if c.disk > 0 {
			d = newDisk(t, c.disk)
		}
		s := newFaultStage(t, protocol, d, row)
		row.runs++
		for _, step := range steps {
			time.Sleep(step.after)
			step.fault.do(s, step.lasts, rand.New(rand.NewPCG(step.seed, 1)))
			row.cycles++
			done++
			if step.heal {
				s.heal()
			}
		}
		s.settle()
	})
}

func scheduleText(steps []faultStep) string {
	var b strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, s)
	}
	return b.String()
}

func faultTable(rows []*faultRow) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nclass\truns\tfailed\tcycles\tacknowledged\tlost\tduplicates QoS 1\tQoS 2\treversed\tlongest healing\tRSS\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%v\t%s\t\n", r.name, r.runs, r.failed, r.cycles, count(r.acknowledged),
			r.lost, r.duplicates, r.exact, r.reversed, r.heal.Round(time.Millisecond), size(r.rss))
	}
	w.Flush() // into memory: cannot fail
	return b.String()
}

// TestFaultSchedule: a seed is enough to run a schedule again.
func TestFaultSchedule(t *testing.T) {
	for _, c := range faultClasses {
		p1, s1 := c.schedule(42, 20, false)
		p2, s2 := c.schedule(42, 20, false)
		if p1 != p2 || scheduleText(s1) != scheduleText(s2) {
			t.Errorf("%s: two schedules of one seed:\n%s\n%s", c.name, scheduleText(s1), scheduleText(s2))
		}
	}
}
