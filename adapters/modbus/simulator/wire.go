package simulator

import (
	"io"
	"time"
)

// Wire gives a line without one the time that bytes take. The zero Wire takes none.
type Wire struct {
	Char   time.Duration // one character
	Quiet  time.Duration // t3.5
	Chunk  int           // bytes that arrive together: 1 as from a UART, 16 from a FIFO, 62 from USB
	Strict bool          // requests that come too early are not heard
	Echo   bool          // requests come back to the master, as on a two-wire line
}

// NewWire is the wire of a serial line with 11 bits a character.
func NewWire(baud int) Wire {
	char := 11 * time.Second / time.Duration(baud)
	quiet := char * 7 / 2
	if baud > 19200 {
		quiet = 1750 * time.Microsecond
	}
	return Wire{Char: char, Quiet: quiet, Chunk: 1}
}

// slack is how much earlier than t3.5 a request may seem to begin, because both
// sides look at the clock a little late.
func (w Wire) slack() time.Duration { return w.Char / 2 }

// write gives b to out as it comes from the wire when it begins at from.
func (w Wire) write(out io.Writer, b []byte, from time.Time) {
	if w.Char == 0 {
		_, _ = out.Write(b)
		return
	}
	chunk := max(w.Chunk, 1)
	for sent := 0; sent < len(b); {
		n := min(chunk, len(b)-sent)
		w.wait(from.Add(time.Duration(sent+n) * w.Char))
		_, _ = out.Write(b[sent : sent+n])
		sent += n
	}
}

// near is the last part of a wait, in which a long sleep would come too late.
const near = 100 * time.Microsecond

// wait until at, as exactly as it goes without holding a processor.
func (w Wire) wait(at time.Time) {
	time.Sleep(time.Until(at) - near)
	for time.Now().Before(at) {
		time.Sleep(time.Microsecond)
	}
}
