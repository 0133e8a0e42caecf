package frame

import "iter"

// The kinds of errors, as Status shows them.
const (
	Noise   = "noise"    // bytes between frames
	Partial = "partial"  // joined in the middle of a frame, or its end never came
	TooLong = "too-long" // more than the maximum frame without an end
	BadSum  = "checksum" // it was wrong or missing
)

// Deframer turns the stream of bytes into verified frames and finds its way
// back into step after whatever isn't one. It does no I/O and knows no clock.
//
// Invariants:
//   - what it yields has passed the checksum, if there is one;
//   - without a checksum, a frame whose beginning was not seen is never yielded:
//     half a line "30.1" of "230.1" would be a wrong value;
//   - it holds at most the maximum frame and what came with the last feed; while it
//     is in doubt, as many frames as the proof takes.
type Deframer struct {
	// Static.
	split   splitter
	verify  verifier
	checked bool // verify is not noChecksum
	limit   int  // bytes of a frame
	count   func(kind string)

	buf    []byte
	size   int  // of the last frame, as it was on the line
	synced bool // buf begins where a frame may begin
	doubt  doubt

	// So that one trouble is counted once, however many steps it takes.
	skip  int  // bytes left of a frame that failed
	noisy bool // nothing good came since the last count
}

// New makes the deframer for frames of at most limit bytes. count is told of each
// trouble by its kind. It begins as after [Deframer.Join].
func New(f Framing, sum Sum, limit int, count func(kind string)) (*Deframer, error) {
	verify, err := sum.verifier()
	if err != nil {
		return nil, err
	}
	checked := sum.Kind != "" && sum.Kind != None
	d := &Deframer{split: f, verify: verify, checked: checked, limit: limit, count: count, doubt: newDoubt(f, sum)}
	d.Join()
	return d, nil
}

// Unfinished is how many bytes wait for the end of their frame.
func (d *Deframer) Unfinished() int { return len(d.buf) }

// Size is how long the last frame of [Deframer.Feed] was on the line, with all
// that was taken out of it.
func (d *Deframer) Size() int { return d.size }

// Feed takes the bytes that have come and yields the frames that they complete,
// each valid until the next one. The sequence is for one use, before the next feed.
func (d *Deframer) Feed(b []byte) iter.Seq[[]byte] {
	d.buf = append(d.buf, b...)
	return func(yield func([]byte) bool) {
		rest := d.buf
		defer func() { d.buf = append(d.buf[:0], rest...) }()
		for {
			frame, after, found := d.next(rest)
			rest = after
			if !found {
				return
			}
			if len(frame) > 0 && !yield(frame) {
				return
			}
		}
	}
}

// next is the first verified frame of b, if there is one yet, and the rest.
func (d *Deframer) next(b []byte) (frame, rest []byte, found bool) {
	for {
		if !d.synced {
			n := d.split.begin(b, d.checked)
			if n != 0 && len(b) > 0 {
				d.lostBytes(Partial)
			}
			if n < 0 {
				return nil, unsyncedTail(b), false
			}
			b, d.synced = b[n:], true
		}
		c := d.split.split(b, d.limit)
		switch {
		case c.frame != nil && len(c.frame) == 0:
			b = d.advance(b, c.next) // two delimiters in a row: nothing is between them
		case c.frame != nil:
			payload, is := d.verified(b, c)
			switch is {
			case pending:
				return nil, b, false
			case proven:
				d.skip, d.noisy, d.size = 0, false, c.next
				d.doubt.settled()
				return payload, b[c.next:], true
			}
			d.doubt.wrong()
			d.lostFrame(BadSum, c.next)
			b = d.advance(b, c.retry)
		case c.drop > 0:
			d.dropped(c)
			b = d.advance(b, c.drop)
		default:
			return nil, b, false
		}
	}
}

// verified is what the frame in c, found at the start of b, carries, and whether
// it is to be believed.
func (d *Deframer) verified(b []byte, c cut) (payload []byte, is proof) {
	payload, ok := d.verify(c.frame)
	switch {
	case !ok:
		return nil, refuted
	case d.doubt.holds():
		return payload, d.prove(b, c)
	}
	return payload, proven
}

// unsyncedTail is what must be kept of b, in which no frame begins: the bytes
// that may be the first half of a delimiter.
func unsyncedTail(b []byte) []byte { return b[max(0, len(b)-maxMarker+1):] }

func (d *Deframer) advance(b []byte, n int) []byte {
	d.skip = max(0, d.skip-n)
	return b[n:]
}

func (d *Deframer) dropped(c cut) {
	if c.why == Noise {
		d.doubt.noise()
		d.lostBytes(Noise)
	} else {
		d.lostFrame(c.why, d.limit)
	}
	if c.lost {
		d.synced, d.skip = false, 0
	}
}

// lostFrame counts a frame that failed; what is found inside its span is the
// same trouble.
func (d *Deframer) lostFrame(kind string, span int) {
	if d.skip == 0 {
		d.count(kind)
		d.skip = span
	}
	d.noisy = true
}

// lostBytes counts bytes outside of any frame, once between two good frames.
func (d *Deframer) lostBytes(kind string) {
	if d.skip == 0 && !d.noisy {
		d.count(kind)
	}
	d.noisy = true
}

// Quiet tells that the line fell silent, upon which a frame may begin, and
// returns the frame that ended that way, or nil.
func (d *Deframer) Quiet() (frame []byte) {
	part := d.buf
	switch d.split.quiet(part) {
	case keepPart:
		if !d.synced && d.noisy {
			return nil // the pause may be one within the frame that we came upon
		}
		d.dropUnproven()
	case dropPart:
		if d.synced && len(part) > 0 {
			d.lostFrame(Partial, len(part))
		}
		d.buf = part[:0]
	case isFrame:
		if d.synced && len(part) > 0 {
			frame = d.whole(part)
		}
		d.buf = part[:0]
	}
	d.synced, d.skip, d.noisy = true, 0, false
	d.doubt.settled()
	return frame
}

// dropUnproven drops the frames for which no proof has come. What is behind them
// stays: the rest of it may come.
func (d *Deframer) dropUnproven() {
	for d.doubt.holds() {
		c := d.split.split(d.buf, d.limit)
		if c.frame == nil {
			return
		}
		d.lostFrame(BadSum, c.next)
		d.buf = d.advance(d.buf, c.next)
	}
}

// whole is the frame that a pause ended, or nil if its checksum is wrong.
func (d *Deframer) whole(frame []byte) []byte {
	payload, ok := d.verify(frame)
	if !ok {
		d.lostFrame(BadSum, len(frame))
		return nil
	}
	return payload
}

// WantsQuiet says whether a pause of the line would mean anything now.
func (d *Deframer) WantsQuiet() bool {
	if d.split.quiet(d.buf) == keepPart {
		return !d.synced && !d.noisy || d.synced && d.doubt.holds()
	}
	return !d.synced || len(d.buf) > 0
}

// Restart forgets what has come: the line was flushed, the next byte begins a frame.
func (d *Deframer) Restart() {
	d.Join()
	d.synced = true
	d.doubt.settled()
}

// Join forgets what has come: the line was opened, perhaps in the middle of a frame.
func (d *Deframer) Join() {
	d.buf, d.synced, d.skip, d.noisy = d.buf[:0], false, 0, false
	d.doubt.joined()
}
