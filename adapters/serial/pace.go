package serial

import "time"

// pace decides how long the line is left alone when bytes have come. It takes the
// time from its caller.
//
// To be woken for every few bytes of a line at full speed costs several percent of
// a core, so bytes are let come together: for a time too short for anybody to wait,
// or, while the line is seen to run at its full rate, until the next frame can be
// whole. That it can't be sooner is then a matter of physics, as long as it isn't
// shorter than all those before; then it is late by what it is shorter.
type pace struct {
	// Static.
	charTime time.Duration
	short    time.Duration // the rest of a line that isn't at its full rate

	sizes [16]int // of the last frames, a ring
	n     int     // of frames ever
	last  time.Time
}

// longestRest bounds the rest even of a slow line.
const longestRest = 20 * time.Millisecond

// framed notes that a frame of so many bytes came.
func (p *pace) framed(size int) {
	p.sizes[p.n%len(p.sizes)] = size
	p.n++
}

// rest is how long to leave the line alone, when so many bytes came until now, of
// which so many belong to an unfinished frame.
func (p *pace) rest(came, unfinished int, now time.Time) time.Duration {
	since := now.Sub(p.last)
	p.last = now
	if p.n < len(p.sizes) || p.short < maxRest || !p.full(came, since) {
		return p.short
	}
	missing := time.Duration(max(0, p.shortest()-unfinished)) * p.charTime
	held := handover * p.charTime
	if held > 2*time.Millisecond {
		// As much may have come already, unseen: rest only as long as that is no matter.
		return min(longestRest, max(p.short, missing-held))
	}
	return min(longestRest, missing+held)
}

// handover is how many bytes a UART hands over at a time.
const handover = 16

// full says whether so many bytes in a time are what the line can carry, give or
// take two pieces.
func (p *pace) full(came int, since time.Duration) bool {
	could := int(since / p.charTime)
	return since < 2*longestRest && came <= could+32 && came >= could*3/4-32 && could >= 16
}

func (p *pace) shortest() int {
	shortest := p.sizes[0]
	for _, s := range p.sizes[1:] {
		shortest = min(shortest, s)
	}
	return shortest
}
