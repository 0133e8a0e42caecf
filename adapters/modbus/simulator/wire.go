package simulator

import (
	"io"
	"runtime"
	"time"
)

// Wire gives a line without one the time that bytes take. The zero Wire takes none.
type Wire struct {
	Char   time.Duration // one character
	Quiet  time.Duration // t3.5
	Chunk  int           // bytes that arrive together: 1 as from a UART, 16 from a FIFO, 62 from USB
	Strict bool          // requests that come too early are not heard
	Echo   bool          // requests come back to the master, as on a two-wire line
	Exact  bool          // wait with the system's clock: Go's timers may be a millisecond late
}

// NewWire is the wire of a serial line with 11 bits a character.
func NewWire(baud int) Wire {
	char := 11 * time.Second / time.Duration(baud)
	quiet := char * 7 / 2
	if baud > 19200 {
		quiet = 1750 * time.Microsecond
	}
	return Wire{Char: char, Quiet: quiet, Chunk: 1, Exact: true}
}

// NewASCIIWire is the wire of a serial line for ASCII: 10 bits a character, and no
// silence between frames.
func NewASCIIWire(baud int) Wire {
	return Wire{Char: 10 * time.Second / time.Duration(baud), Chunk: 1, Exact: true}
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

// wait until at. Where it is to be exact, the end is waited for awake, because
// waking up takes about as long.
func (w Wire) wait(at time.Time) {
	if !w.Exact {
		time.Sleep(time.Until(at))
		return
	}
	nanosleep(time.Until(at) - wakeUp)
	for time.Now().Before(at) {
		runtime.Gosched()
	}
}

// wakeUp is about how much later than asked for the system wakes a thread.
const wakeUp = 60 * time.Microsecond
