package frame

// doubt decides when a good checksum is proof enough.
//
// A checksum of 16 bits is right by chance once in 65,536 times, and where every byte
// of garbage may begin a frame that many are tried in a few seconds. So, while in
// doubt, a frame is only taken together with the ones right behind it: as many as it
// takes until chance is out of the question. In doubt is who found so much wrong with
// nothing good among it that it is no glitch, and who joins in the middle of frames
// that have no mark. A proof ends the doubt, and so does a pause of the line, since a
// frame may begin behind it.
//
// Sentences and telegrams prove themselves by their form: for them there is no doubt.
type doubt struct {
	// Static.
	needed   int  // frames in a row; 1: each proves itself
	patience int  // what may be wrong before there is doubt
	sought   bool // the framing has no mark: frames are sought byte by byte

	bad int // frames, or places for one, found wrong since the last good one
}

// Bounds of the doubt.
const (
	proofBits     = 32 // of checksum: chance is one in 4,000,000,000
	wrongFrames   = 3
	wrongPlaces   = 8 // a byte of checksum: a glitch or an echo before an answer is no doubt
	selfEvident   = 1
	bitsOfOneByte = 8
)

func newDoubt(f Framing, sum Sum) doubt {
	a, known := sum.algorithm()
	if !known {
		return doubt{needed: selfEvident}
	}
	width := sum.width(a)
	d := doubt{needed: max(1, (proofBits-1)/(bitsOfOneByte*width)+1), patience: wrongFrames}
	switch f.(type) {
	case Length, LengthPrefix:
		d.sought, d.patience = true, wrongPlaces*width
	}
	return d
}

// holds says whether a frame by itself is no proof now.
func (d *doubt) holds() bool { return d.needed > selfEvident && d.bad >= d.patience }

// joined: the stream was joined, perhaps in the middle of a frame.
func (d *doubt) joined() {
	d.bad = 0
	if d.sought {
		d.bad = d.patience
	}
}

// wrong: what looked like a frame was none.
func (d *doubt) wrong() { d.bad = min(d.bad+1, d.patience) }

// noise: bytes were passed over in the search for a frame.
func (d *doubt) noise() {
	if d.sought {
		d.wrong()
	}
}

func (d *doubt) settled() { d.bad = 0 }

// The outcomes of a search for proof.
type proof int

const (
	refuted proof = iota
	pending       // more bytes are needed
	proven
)

// prove looks for the good frames that must follow the one in c, found at the start of b.
func (d *Deframer) prove(b []byte, c cut) proof {
	for good := 1; good < d.doubt.needed; {
		b = b[c.next:]
		switch c = d.split.split(b, d.limit); {
		case c.frame == nil && c.drop == 0:
			return pending
		case c.frame == nil:
			return refuted
		case len(c.frame) == 0:
			continue // two delimiters in a row
		}
		if _, ok := d.verify(c.frame); !ok {
			return refuted
		}
		good++
	}
	return proven
}
