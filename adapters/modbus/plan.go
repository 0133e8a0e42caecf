package modbus

import (
	"cmp"
	"slices"
	"time"
)

// span is a range of addresses in one table, without its end. (Ends may be 65536.)
type span struct {
	table      table
	start, end int
}

func (s span) overlaps(other span) bool {
	return s.table == other.table && s.start < other.end && other.start < s.end
}

// block is one read request: a range of addresses and the points in it.
type block struct {
	span
	points []*point

	split   *split // the block is half of one that the device refused
	retried bool   // it failed in this round, and is tried once more
	silent  int    // how often it alone was not answered, in a row
	answers int    // what the device had answered when the block last failed
}

func (b *block) count() uint16 { return uint16(b.end - b.start) }

// lineCost says what a request costs in time on the line.
type lineCost struct {
	request time.Duration // every request: its own bytes, silences, the device's thinking
	perByte time.Duration // each byte of data in the answer
}

// What is assumed of a device before it was measured, and of a network.
const (
	assumedTurnaround  = 5 * time.Millisecond
	assumedRoundTrip   = time.Millisecond
	assumedNetworkByte = time.Microsecond
)

// cost of a read on a line with this wire, of a device that needs turnaround to
// answer. With R registers a transaction takes (8 + 5 + 2R) characters, two
// silences and the turnaround.
func (l Line) cost(turnaround time.Duration) lineCost {
	w := l.wire()
	switch {
	case !l.Serial():
		return lineCost{request: assumedRoundTrip, perByte: assumedNetworkByte}
	case !l.Local(): // the speed behind the server is not known: that of the standard
		local := map[string]string{schemeRTUoTCP: schemeRTU, schemeASCIIoTCP: schemeASCII}
		w = Line{Scheme: local[l.Scheme], Port: defaultPort}.wire()
	}
	return lineCost{request: 13*w.char + 2*w.quiet + turnaround, perByte: w.char}
}

// of is the cost of reading count registers or bits of t.
func (c lineCost) of(t table, count int) time.Duration {
	bytes := 2 * count
	if t.bits() {
		bytes = (count + 7) / 8
	}
	return c.request + time.Duration(bytes)*c.perByte
}

// ofAll is the cost of reading blocks, one after the other.
func (c lineCost) ofAll(blocks []block) (sum time.Duration) {
	for _, b := range blocks {
		sum += c.of(b.table, b.end-b.start)
	}
	return sum
}

// limits bound a block.
type limits struct {
	registers, bits int
	gap             int // addresses that may be read along between two points
}

func (l limits) of(t table) int {
	switch {
	case t == fifos:
		return 1 // a request reads one queue
	case t.bits():
		return l.bits
	}
	return l.registers
}

// plan arranges points in read requests so that all of them together take the
// least time on the line. No request includes an address of barriers, except
// those of its points.
//
// Points are sorted by address; a request is a run of them. Which runs is found
// by dynamic programming from the end: the cheapest way to read the points from j
// on begins with some run j..i, after which the rest is read in its cheapest way.
// Whether to read a gap along or to start a new request follows from the cost.
func plan(points []*point, cost lineCost, limit limits, barriers []span) []block {
	points = slices.SortedStableFunc(slices.Values(points), func(a, b *point) int {
		return cmp.Or(cmp.Compare(a.span.table, b.span.table), cmp.Compare(a.span.start, b.span.start), cmp.Compare(a.span.end, b.span.end))
	})
	n := len(points)
	best := make([]time.Duration, n+1) // of the points from j on
	next := make([]int, n+1)           // the first point behind the run that begins with j
	for j := n - 1; j >= 0; j-- {
		run := points[j].span
		best[j], next[j] = cost.of(run.table, run.end-run.start)+best[j+1], j+1
		for i := j + 1; i < n && joinable(&run, points[i].span, limit, barriers); i++ {
			if c := cost.of(run.table, run.end-run.start) + best[i+1]; c <= best[j] {
				best[j], next[j] = c, i+1
			}
		}
	}
	var blocks []block
	for j := 0; j < n; j = next[j] {
		blocks = append(blocks, newBlock(points[j:next[j]]))
	}
	return blocks
}

// joinable puts s, which begins in run or behind it, into run, if one request may
// read both. If it may not, then nothing that is behind s can be joined either.
func joinable(run *span, s span, limit limits, barriers []span) bool {
	end := max(run.end, s.end)
	if s.table != run.table || end-run.start > limit.of(s.table) {
		return false
	}
	gap := span{s.table, run.end, s.start}
	if gap.end > gap.start && (gap.end-gap.start > limit.gap || slices.ContainsFunc(barriers, gap.overlaps)) {
		return false
	}
	run.end = end
	return true
}

// newBlock reads points, which are sorted by address.
func newBlock(points []*point) block {
	b := block{span: points[0].span, points: points}
	for _, p := range points {
		b.end = max(b.end, p.span.end)
	}
	return b
}
