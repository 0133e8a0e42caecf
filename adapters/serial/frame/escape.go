package frame

import (
	"bytes"
	"fmt"
)

// Escaped cuts frames of the protocols that mark their frames by a byte which,
// within a frame, is sent as an escape sequence. The frame is what was meant.
type Escaped struct {
	// Protocol is one of:
	//
	//	slip  c0 between frames; c0 and db within are db dc and db dd (RFC 1055)
	//	hdlc  7e between frames; 7e and 7d within are 7d 5e and 7d 5d (RFC 1662)
	//	dle   10 02 … 10 03; 10 within is 10 10
	Protocol string
}

// Validate implements [Framing].
func (e Escaped) Validate() error {
	switch e.Protocol {
	case "slip", "hdlc", "dle":
		return nil
	}
	return fmt.Errorf("escaped (%q) must be slip, hdlc or dle", e.Protocol)
}

// dle is the protocol with two markers.
func dle() StartEnd { return StartEnd{Start: "\x10\x02", End: "\x10\x03", Escape: "\x10"} }

// flag is what is between the frames of the others.
func (e Escaped) flag() Delimiter {
	if e.Protocol == "slip" {
		return Delimiter{Bytes: "\xc0"}
	}
	return Delimiter{Bytes: "\x7e"}
}

func (e Escaped) begin(b []byte, checked bool) int {
	if e.Protocol == "dle" {
		return dle().begin(b, checked)
	}
	return e.flag().begin(b, checked)
}

func (e Escaped) split(b []byte, limit int) cut {
	if e.Protocol == "dle" {
		return dle().split(b, limit)
	}
	c := e.flag().split(b, limit)
	if len(c.frame) == 0 {
		return c
	}
	escape, meant := byte(0x7d), hdlcByte
	if e.Protocol == "slip" {
		escape, meant = 0xdb, slipByte
	}
	if c.frame = unescape(c.frame, escape, meant); c.frame == nil {
		return cut{drop: c.next, why: Noise}
	}
	return c
}

func (Escaped) quiet([]byte) ending { return keepPart }

func slipByte(c byte) (byte, bool) {
	switch c {
	case 0xdc:
		return 0xc0, true
	case 0xdd:
		return 0xdb, true
	}
	return 0, false
}

func hdlcByte(c byte) (byte, bool) { return c ^ 0x20, true }

// unescape returns what b stands for, never in b's own memory where they differ;
// nil when an escape has no meaning.
func unescape(b []byte, escape byte, meant func(byte) (byte, bool)) []byte {
	i := bytes.IndexByte(b, escape)
	if i < 0 {
		return b[:len(b):len(b)]
	}
	plain := append(make([]byte, 0, len(b)), b[:i]...)
	for ; i < len(b); i++ {
		c := b[i]
		if c == escape {
			if i++; i == len(b) {
				return nil
			}
			var ok bool
			if c, ok = meant(b[i]); !ok {
				return nil
			}
		}
		plain = append(plain, c)
	}
	return plain
}
