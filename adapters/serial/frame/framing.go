package frame

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Framing says how the stream of bytes is cut into frames. It is one of
// [Delimiter], [Length], [LengthPrefix], [StartEnd], [Escaped], [SML] and
// [IdleGap].
type Framing interface {
	// Validate returns everything that is wrong, joined.
	Validate() error
	splitter
}

// splitter is the pure core of a framing: it looks at the bytes that have come
// and were not consumed yet, and keeps nothing.
type splitter interface {
	// begin is where the first whole frame may begin in a stream that was joined
	// in its middle; -1: not in b, which is of no use then. checked says that a
	// checksum will tell a wrong guess.
	begin(b []byte, checked bool) int
	// split looks for a frame of at most limit bytes at the start of b.
	split(b []byte, limit int) cut
	// quiet says what becomes of b, an unfinished frame, when nothing follows it.
	quiet(b []byte) ending
}

// cut is what a splitter found. The zero cut: nothing yet, more bytes are needed.
type cut struct {
	frame []byte // nil: none
	next  int    // where to go on after the frame
	retry int    // where to go on if the frame turns out to be wrong; < next looks inside it

	drop int    // without a frame: so many bytes belong to none
	why  string // an error kind
	lost bool   // and where the next frame begins is unknown
}

// ending is what quiet returns.
type ending int

const (
	keepPart ending = iota // the rest may still come
	dropPart               // it won't
	isFrame                // that was all of it
)

// Delimiter ends each frame with a sequence of bytes.
type Delimiter struct {
	// Bytes is the delimiter; "" is the end of a line: \n with or without \r before.
	Bytes string
	// Include leaves the delimiter in the frame.
	Include bool
}

// Validate implements [Framing].
func (d Delimiter) Validate() error {
	if len(d.Bytes) > maxMarker {
		return fmt.Errorf("delimiter (%d bytes) must be at most %d bytes", len(d.Bytes), maxMarker)
	}
	return nil
}

// maxMarker bounds delimiters and markers, in bytes.
const maxMarker = 32

func (d Delimiter) bytes() []byte {
	if d.Bytes == "" {
		return []byte{'\n'}
	}
	return []byte(d.Bytes)
}

func (d Delimiter) begin(b []byte, _ bool) int {
	delim := d.bytes()
	if i := bytes.Index(b, delim); i >= 0 {
		return i + len(delim)
	}
	return -1
}

func (d Delimiter) split(b []byte, limit int) cut {
	delim := d.bytes()
	i := bytes.Index(b, delim)
	switch {
	case i < 0 && len(b) < limit+len(delim):
		return cut{}
	case i < 0:
		// The end of the delimiter's start may be there already.
		return cut{drop: len(b) - len(delim) + 1, why: TooLong, lost: true}
	case i > limit:
		return cut{drop: i + len(delim), why: TooLong}
	}
	next := i + len(delim)
	end := i
	if d.Include {
		end = next
	} else if d.Bytes == "" {
		end = len(bytes.TrimSuffix(b[:i], []byte{'\r'}))
	}
	return cut{frame: b[:end:end], next: next, retry: next}
}

func (Delimiter) quiet([]byte) ending { return keepPart }

// Length cuts frames of a fixed length. Without a checksum, only a pause of the
// line tells where a frame begins.
type Length struct{ Bytes int }

// Validate implements [Framing].
func (l Length) Validate() error {
	if l.Bytes < 1 {
		return fmt.Errorf("length (%d) must be at least 1", l.Bytes)
	}
	return nil
}

func (Length) begin(_ []byte, checked bool) int { return beginIf(checked) }

func (l Length) split(b []byte, limit int) cut {
	if len(b) < l.Bytes {
		return cut{}
	}
	return cut{frame: b[:l.Bytes:l.Bytes], next: l.Bytes, retry: 1}
}

func (Length) quiet([]byte) ending { return dropPart }

// beginIf: where frames have no mark, one may begin anywhere if a checksum
// tells, else only after a pause.
func beginIf(checked bool) int {
	if checked {
		return 0
	}
	return -1
}

// LengthPrefix cuts frames that tell their own length.
type LengthPrefix struct {
	Offset       int // of the length field in the frame
	Width        int // of the length field, 1 to 4 bytes; default 1
	LittleEndian bool
	Adjust       int // what to add to the field's value for the length of the whole frame
}

// Validate implements [Framing].
func (l LengthPrefix) Validate() error {
	var errs []error
	if l.Offset < 0 || l.Offset > maxMarker {
		errs = append(errs, fmt.Errorf("length prefix offset (%d) must be between 0 and %d", l.Offset, maxMarker))
	}
	if l.Width < 0 || l.Width > 4 {
		errs = append(errs, fmt.Errorf("length prefix width (%d) must be between 1 and 4", l.Width))
	}
	return errors.Join(errs...)
}

func (LengthPrefix) begin(_ []byte, checked bool) int { return beginIf(checked) }

func (l LengthPrefix) split(b []byte, limit int) cut {
	header := l.Offset + max(l.Width, 1)
	if len(b) < header {
		return cut{}
	}
	total := l.value(b[l.Offset:header]) + int64(l.Adjust)
	if total < int64(header) || total > int64(limit) {
		return cut{drop: 1, why: Noise}
	}
	n := int(total)
	if len(b) < n {
		return cut{}
	}
	return cut{frame: b[:n:n], next: n, retry: 1}
}

func (l LengthPrefix) value(field []byte) int64 {
	v := int64(0)
	for i := range field {
		if l.LittleEndian {
			v = v<<8 | int64(field[len(field)-1-i])
		} else {
			v = v<<8 | int64(field[i])
		}
	}
	return v
}

func (LengthPrefix) quiet([]byte) ending { return dropPart }

// StartEnd cuts frames between two markers.
type StartEnd struct {
	Start, End string
	Trailer    int  // so many bytes after End belong to the frame, such as a checksum
	Line       bool // or: the rest of the line after End does (P1 telegrams)
	Include    bool // leaves the markers in the frame
	// Escape is a byte that makes the one behind it content, whatever that is; it is
	// taken out of the frame. "": there is none.
	Escape string
}

// Validate implements [Framing].
func (s StartEnd) Validate() error {
	var errs []error
	if s.Start == "" || len(s.Start) > maxMarker {
		errs = append(errs, fmt.Errorf("start marker (%q) must be 1 to %d bytes", s.Start, maxMarker))
	}
	if s.End == "" || len(s.End) > maxMarker {
		errs = append(errs, fmt.Errorf("end marker (%q) must be 1 to %d bytes", s.End, maxMarker))
	}
	if len(s.Escape) > 1 {
		errs = append(errs, fmt.Errorf("escape (%q) must be one byte", s.Escape))
	}
	if s.Include && s.Escape != "" {
		errs = append(errs, errors.New("include must be false where there is an escape"))
	}
	if s.Trailer < 0 || s.Trailer > maxMarker {
		errs = append(errs, fmt.Errorf("trailer (%d) must be between 0 and %d", s.Trailer, maxMarker))
	}
	return errors.Join(errs...)
}

func (StartEnd) begin([]byte, bool) int { return 0 } // the marker tells

func (s StartEnd) split(b []byte, limit int) cut {
	switch i := bytes.Index(b, []byte(s.Start)); {
	case i < 0 && len(b) < len(s.Start):
		return cut{}
	case i < 0:
		return cut{drop: len(b) - len(s.Start) + 1, why: Noise}
	case i > 0:
		return cut{drop: i, why: Noise}
	}
	end, next := s.end(b)
	switch {
	case next > limit || next < 0 && len(b) >= limit:
		return cut{drop: 1, why: TooLong} // the end was lost: look for a start behind this one
	case next < 0:
		return cut{}
	case s.Include:
		return cut{frame: b[:next:next], next: next, retry: 1}
	}
	return cut{frame: s.strip(b, end, next), next: next, retry: 1}
}

// end finds the end marker and the end of the frame in b, which begins with the
// start marker; next is -1 when they haven't come yet.
func (s StartEnd) end(b []byte) (end, next int) {
	if end = s.endMarker(b); end < 0 {
		return 0, -1
	}
	next = end + len(s.End)
	if s.Line {
		eol := bytes.IndexByte(b[next:], '\n')
		if eol < 0 {
			return 0, -1
		}
		return end, next + eol + 1
	}
	if next += s.Trailer; next > len(b) {
		return 0, -1
	}
	return end, next
}

// endMarker is where the end marker is that no escape makes content, or -1.
func (s StartEnd) endMarker(b []byte) int {
	from := len(s.Start)
	if s.Escape == "" {
		if i := bytes.Index(b[from:], []byte(s.End)); i >= 0 {
			return from + i
		}
		return -1
	}
	for i := from; i < len(b); i++ {
		switch {
		case bytes.HasPrefix(b[i:], []byte(s.End)):
			return i
		case b[i] == s.Escape[0]:
			i++
		}
	}
	return -1
}

// strip is the content without the markers, followed by the trailer.
func (s StartEnd) strip(b []byte, end, next int) []byte {
	content, trailer := b[len(s.Start):end], b[end+len(s.End):next]
	if s.Escape != "" {
		content = unescape(content, s.Escape[0], func(c byte) (byte, bool) { return c, true })
	}
	if len(trailer) == 0 {
		return content[:len(content):len(content)]
	}
	return append(bytes.Clone(content), trailer...)
}

func (StartEnd) quiet([]byte) ending { return keepPart }

// IdleGap ends a frame where the line falls silent. It cannot be exact in user
// space: USB adapters deliver in packets, up to 16 ms apart, so that a shorter
// gap cuts frames in pieces. Prefer any other framing that the device allows.
type IdleGap struct {
	Gap time.Duration // default: 20 ms, or 4 characters if that is longer
}

// Validate implements [Framing].
func (g IdleGap) Validate() error {
	if g.Gap < 0 || g.Gap > time.Minute {
		return fmt.Errorf("idle gap (%v) must be between 1ms and 1m", g.Gap)
	}
	return nil
}

func (IdleGap) begin([]byte, bool) int { return -1 } // only after a pause

func (IdleGap) split(b []byte, limit int) cut {
	if len(b) > limit {
		return cut{drop: len(b), why: TooLong, lost: true}
	}
	return cut{}
}

func (IdleGap) quiet([]byte) ending { return isFrame }
