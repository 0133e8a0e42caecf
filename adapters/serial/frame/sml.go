package frame

import (
	"bytes"
	"encoding/binary"
)

// SML cuts the transmissions of an electricity meter that talks SML (version 1 of
// its transport). A transmission is made of groups of four bytes:
//
//	1b 1b 1b 1b  01 01 01 01   the start
//	…                          content, in which 1b 1b 1b 1b is sent twice
//	1b 1b 1b 1b  1a nn cc cc   the end: nn bytes of padding, checksum
//
// The frame is all of it; the checksum "sml" takes the content out.
type SML struct{}

// smlEscape begins the groups that are no content.
const (
	smlEscape = "\x1b\x1b\x1b\x1b"
	smlStart  = smlEscape + "\x01\x01\x01\x01"
	smlGroup  = 4
)

// Validate implements [Framing].
func (SML) Validate() error { return nil }

func (SML) begin([]byte, bool) int { return 0 } // the marker tells

func (SML) split(b []byte, limit int) cut {
	switch i := bytes.Index(b, []byte(smlStart)); {
	case i < 0 && len(b) < len(smlStart):
		return cut{}
	case i < 0:
		return cut{drop: len(b) - len(smlStart) + 1, why: Noise}
	case i > 0:
		return cut{drop: i, why: Noise}
	}
	for i := len(smlStart); i+2*smlGroup <= min(len(b), limit); i += smlGroup {
		if string(b[i:i+smlGroup]) != smlEscape {
			continue
		}
		next := i + 2*smlGroup
		switch {
		case b[i+smlGroup] == 0x1a:
			return cut{frame: b[:next:next], next: next, retry: 1}
		case string(b[i+smlGroup:next]) != smlEscape:
			return cut{drop: 1, why: Partial} // another one begins: the end was lost
		}
		i += smlGroup
	}
	if len(b) >= limit {
		return cut{drop: 1, why: TooLong}
	}
	return cut{}
}

func (SML) quiet([]byte) ending { return keepPart }

// verifySML returns the content of a transmission.
func verifySML(frame []byte) ([]byte, bool) {
	n := len(frame) - 2*smlGroup
	if n < len(smlStart) || string(frame[:len(smlStart)]) != smlStart {
		return nil, false
	}
	sum := binary.LittleEndian.Uint16(frame[len(frame)-2:])
	if uint32(sum) != x25().function()(frame[:len(frame)-2]) {
		return nil, false
	}
	content := bytes.ReplaceAll(frame[len(smlStart):n], []byte(smlEscape+smlEscape), []byte(smlEscape))
	padding := int(frame[n+smlGroup+1])
	if padding >= smlGroup || padding >= len(content) {
		return nil, false
	}
	return content[:len(content)-padding], true
}
