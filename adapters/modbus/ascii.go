package modbus

import (
	"bytes"
	"encoding/hex"
	"time"
)

// asciiLink carries RTU frames as Modbus ASCII: what is written is translated
// into ASCII frames, and what comes back into RTU frames. So finding answers,
// late ones and echoes included, is the same for both ([scanner]).
//
//	: unit function data LRC CR LF      two hexadecimal digits a byte
//
// A line that is no valid frame becomes a frame with a wrong checksum.
type asciiLink struct {
	link
	text    []byte // of lines that are not complete
	frames  []byte // translated and not yet read
	scratch [asciiMaxText]byte
}

// asciiMaxText is beyond the longest line: 513 characters.
const asciiMaxText = 520

// Write sends an RTU frame.
func (l *asciiLink) Write(frame []byte) error {
	body := frame[:len(frame)-2]
	text := append(l.scratch[:0], ':')
	text = appendHex(text, body)
	text = appendHex(text, []byte{lrc(body)})
	return l.link.Write(append(text, '\r', '\n'))
}

const hexDigits = "0123456789ABCDEF"

// appendHex appends b in capital letters, as the standard has it.
func appendHex(text, b []byte) []byte {
	for _, x := range b {
		text = append(text, hexDigits[x>>4], hexDigits[x&15])
	}
	return text
}

// Read gives RTU frames, or parts of them.
func (l *asciiLink) Read(b []byte, deadline time.Time) (int, error) {
	for len(l.frames) == 0 {
		n, err := l.link.Read(l.scratch[:], deadline)
		l.text = append(l.text, l.scratch[:n]...)
		l.translate()
		if err != nil && len(l.frames) == 0 {
			l.giveUp()
			if len(l.frames) > 0 {
				break
			}
			return 0, err
		}
	}
	n := copy(b, l.frames)
	l.frames = l.frames[:copy(l.frames, l.frames[n:])]
	return n, nil
}

// translate turns the lines that are complete into frames. A colon begins a new
// frame wherever it comes.
func (l *asciiLink) translate() {
	for {
		end := bytes.IndexByte(l.text, '\n')
		if end < 0 {
			break
		}
		line := bytes.TrimSuffix(l.text[:end], []byte{'\r'})
		l.frames = appendFrame(l.frames, line[bytes.LastIndexByte(line, ':')+1:])
		l.text = l.text[:copy(l.text, l.text[end+1:])]
	}
	if len(l.text) > asciiMaxText {
		l.giveUp()
	}
}

// giveUp tells the reader that there was something that is no frame.
func (l *asciiLink) giveUp() {
	if len(l.text) > 0 {
		l.frames = append(l.frames, 0)
		l.text = l.text[:0]
	}
}

// appendFrame appends the RTU frame of a line without colon and line end, or a
// byte of garbage when it is not valid.
func appendFrame(frames, line []byte) []byte {
	if len(line) == 0 {
		return frames
	}
	start := len(frames)
	frames = append(frames, make([]byte, len(line)/2)...)
	n, err := hex.Decode(frames[start:], line)
	body := frames[start : start+n]
	if err != nil || n < 3 || lrc(body) != 0 {
		return append(frames[:start], 0)
	}
	body = body[:n-1]
	crc := crc16(body)
	return append(frames[:start+n-1], byte(crc), byte(crc>>8))
}

// Flush discards what was received.
func (l *asciiLink) Flush() error {
	l.text, l.frames = l.text[:0], l.frames[:0]
	return l.link.Flush()
}

// lrc is the checksum of an ASCII frame: that of a body with its checksum is 0.
func lrc(b []byte) (sum byte) {
	for _, x := range b {
		sum += x
	}
	return -sum
}
