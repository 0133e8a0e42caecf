package modbus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pointsOf makes points from text: "i0+2" is two input registers from 0 on, c is
// coils, d discretes, h holdings.
func pointsOf(t testing.TB, text string) (points []*point) {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		var address, width int
		if _, err := fmt.Sscanf(word[1:], "%d+%d", &address, &width); err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		table := table(strings.IndexByte("cdhi", word[0]))
		points = append(points, &point{name: word, span: span{table, address, address + width}})
	}
	return points
}

// planText is a plan as text: "input 0-4, coil 7-8".
func planText(blocks []block) string {
	var text []string
	for _, b := range blocks {
		text = append(text, fmt.Sprintf("%s %d-%d", b.table, b.start, b.end))
	}
	return strings.Join(text, ", ")
}

func lineOf(t testing.TB, url string) Line {
	t.Helper()
	line, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

var standardLimits = limits{registers: maxRegisters, bits: maxBits, gap: maxBits}

func TestPlan(t *testing.T) {
	slow, fast, tcp := "rtu:///dev/x?baud=9600", "rtu:///dev/x?baud=115200", "tcp://x"
	for name, c := range map[string]struct {
		url      string
		points   string
		limits   limits
		barriers []span
		want     string
	}{
		"nothing":              {slow, "", standardLimits, nil, ""},
		"one":                  {slow, "i7+2", standardLimits, nil, "input 7-9"},
		"adjacent":             {slow, "i0+2 i2+2 i4+1", standardLimits, nil, "input 0-5"},
		"unsorted":             {slow, "i4+1 i0+2 i2+2", standardLimits, nil, "input 0-5"},
		"overlapping":          {slow, "h0+4 h1+1 h2+4", standardLimits, nil, "holding 0-6"},
		"bits of one register": {slow, "h5+1 h5+1 h5+1", standardLimits, nil, "holding 5-6"},
		"tables":               {slow, "h0+1 i0+1 c0+1 d0+1", standardLimits, nil, "coil 0-1, discrete 0-1, holding 0-1, input 0-1"},
		// break-even at 5 ms is 12 registers at 9600 and 51 at 115200
		"gap that pays when slow":   {slow, "i0+1 i13+1", standardLimits, nil, "input 0-14"},
		"gap that doesn't":          {slow, "i0+1 i14+1", standardLimits, nil, "input 0-1, input 14-15"},
		"gap that pays when fast":   {fast, "i0+1 i50+1", standardLimits, nil, "input 0-51"},
		"gap that doesn't any more": {fast, "i0+1 i60+1", standardLimits, nil, "input 0-1, input 60-61"},
		"gap over TCP":              {tcp, "i0+1 i124+1", standardLimits, nil, "input 0-125"},
		"coils over a wide gap":     {slow, "c0+1 c150+1", standardLimits, nil, "coil 0-151"},
		"no gap allowed":            {tcp, "i0+1 i2+1 i3+1", limits{registers: 125, bits: 2000}, nil, "input 0-1, input 2-4"},
		"limit":                     {tcp, "i0+60 i60+60 i120+10", standardLimits, nil, "input 0-120, input 120-130"},
		"limit of the device":       {tcp, "i0+4 i4+4 i8+4", limits{registers: 8, bits: 8, gap: 9}, nil, "input 0-8, input 8-12"},
		"limit of bits":             {tcp, "c0+1 c7+1 c8+1", limits{registers: 8, bits: 8, gap: 9}, nil, "coil 0-8, coil 8-9"},
		"barrier":                   {tcp, "i0+1 i5+1 i9+1", standardLimits, []span{{inputs, 2, 3}}, "input 0-1, input 5-10"},
		"barrier of another table":  {tcp, "i0+1 i5+1", standardLimits, []span{{holdings, 2, 3}}, "input 0-6"},
		"barrier beside the gap":    {tcp, "i0+2 i5+1", standardLimits, []span{{inputs, 1, 2}, {inputs, 5, 6}}, "input 0-6"},
		"end of the table":          {tcp, "i65534+2 i65530+1", standardLimits, nil, "input 65530-65536"},
	} {
		t.Run(name, func(t *testing.T) {
			cost := lineOf(t, c.url).cost(assumedTurnaround)
			if got := planText(plan(pointsOf(t, c.points), cost, c.limits, c.barriers)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// sdm is the map of a real kind of meter: 83 numbers of two registers, in 16 runs
// between 0 and 381.
func sdm() (words string) {
	for _, run := range [][2]int{
		{0, 18}, {21, 1}, {23, 1}, {24, 4}, {28, 1}, {30, 1}, {31, 1}, {33, 1}, {35, 6}, {42, 2}, {50, 1}, {52, 1}, {100, 4}, {112, 2}, {117, 13}, {167, 26},
	} {
		for i := range run[1] {
			words += fmt.Sprintf("i%d+2 ", 2*(run[0]+i))
		}
	}
	return words
}

// The plan of that map takes as long as the best that is known (cycle of ten such
// meters that need 5 ms each).
func TestPlanOfAMeter(t *testing.T) {
	points := pointsOf(t, sdm())
	if len(points) != 83 {
		t.Fatalf("%d points", len(points))
	}
	for baud, c := range map[int]struct {
		requests int
		most     time.Duration
	}{9600: {4, 6100 * time.Millisecond}, 19200: {4, 3150 * time.Millisecond}, 38400: {3, 1700 * time.Millisecond}, 115200: {3, 740 * time.Millisecond}} {
		cost := lineOf(t, fmt.Sprintf("rtu:///dev/x?baud=%d", baud)).cost(assumedTurnaround)
		blocks := plan(points, cost, standardLimits, nil)
		cycle := 10 * cost.ofAll(blocks)
		t.Logf("%d baud: %s: %v", baud, planText(blocks), cycle)
		if len(blocks) > c.requests+1 || cycle > c.most {
			t.Errorf("%d baud: %d requests, %v; want %d, %v", baud, len(blocks), cycle, c.requests, c.most)
		}
	}
}

// Every point is in exactly one block, no block breaks a limit, and no other way
// to cut the sorted points into runs is cheaper.
func TestPlanProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var points []*point
		for range rapid.IntRange(0, 8).Draw(r, "points") {
			start, width := rapid.IntRange(0, 60).Draw(r, "start"), rapid.IntRange(1, 4).Draw(r, "width")
			points = append(points, &point{span: span{inputs, start, start + width}})
		}
		limit := limits{registers: rapid.IntRange(4, 40).Draw(r, "registers"), bits: 1, gap: rapid.IntRange(0, 30).Draw(r, "gap")}
		var barriers []span
		if at := rapid.IntRange(-20, 60).Draw(r, "barrier"); at >= 0 {
			barriers = []span{{inputs, at, at + 2}}
		}
		cost := lineCost{request: time.Duration(rapid.IntRange(1, 30).Draw(r, "request")), perByte: 1}
		blocks := plan(points, cost, limit, barriers)
		var planned []*point
		for _, b := range blocks {
			planned = append(planned, b.points...)
			if b.end-b.start > limit.registers {
				r.Fatalf("%s is too long", planText(blocks))
			}
		}
		if len(planned) != len(points) {
			r.Fatalf("%d of %d points are planned", len(planned), len(points))
		}
		if best := cheapest(planned, cost, limit, barriers); cost.ofAll(blocks) > best {
			r.Fatalf("%s costs %v, possible is %v", planText(blocks), cost.ofAll(blocks), best)
		}
	})
}

// cheapest tries all ways to cut sorted points into runs.
func cheapest(points []*point, cost lineCost, limit limits, barriers []span) time.Duration {
	best := time.Duration(0)
	for n := 1; n <= len(points); n++ {
		first := newBlock(points[:n])
		if n > 1 && !mayBeOne(first, limit, barriers) {
			break
		}
		sum := cost.of(first.table, first.end-first.start) + cheapest(points[n:], cost, limit, barriers)
		if n == 1 || sum < best {
			best = sum
		}
	}
	return best
}

func mayBeOne(b block, limit limits, barriers []span) bool {
	covered := make(map[int]bool)
	for _, p := range b.points {
		for a := p.span.start; a < p.span.end; a++ {
			covered[a] = true
		}
	}
	gap := 0
	for a := b.start; a < b.end; a++ {
		if gap++; covered[a] {
			gap = 0
			continue
		}
		if gap > limit.gap || slices.ContainsFunc(barriers, span{b.table, a, a + 1}.overlaps) {
			return false
		}
	}
	return b.end-b.start <= limit.registers
}
