package bridge

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/weir-edge/weir/core/packet"
)

var errTooLarge = errors.New("the upstream sent a packet larger than max_packet")

// wire moves the bytes of one connection. Once started it has a reader and a
// writer: the owner takes chunks and gives each back; it gives batches and gets each
// back. A wire that a loop carries has none; see ride.go.
type wire struct {
	conn  net.Conn        // closed when carried
	raw   syscall.RawConn // of plain TCP, else nil
	limit int             // bytes of a packet
	input []byte          // what was read, and is no whole packet yet

	// Carried.
	fd     int    // the socket; 0 while it is not carried
	unsent []byte // the rest of batch
	batch  []byte // what the kernel did not take at once

	// Started.
	started bool
	chunks  chan chunk  // from the reader
	free    chan []byte // back to the reader
	batches chan []byte // to the writer, which has one at a time
	written chan batch  // back from the writer
	done    chan struct{}
	wg      sync.WaitGroup
}

// chunk is what the reader hands over: whole packets, and why there are no more.
// The bytes are the owner's until it recycles them.
type chunk struct {
	buf     []byte // all of the buffer
	packets []byte
	err     error
}

// batch is a buffer that was written.
type batch struct {
	buf []byte
	err error
}

const readBuffer = 4 << 10

// newWire makes one. rest is what was read already.
func newWire(conn net.Conn, limit int, rest []byte) *wire {
	w := &wire{
		conn:    conn,
		limit:   limit,
		input:   rest,
		chunks:  make(chan chunk),
		free:    make(chan []byte, 2),
		batches: make(chan []byte, 1),
		written: make(chan batch, 1),
		done:    make(chan struct{}),
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	return w
}

// start starts the reader and the writer.
func (w *wire) start() {
	w.started = true
	w.free <- make([]byte, 0, readBuffer)
	w.free <- make([]byte, 0, readBuffer)
	w.wg.Go(w.readLoop)
	w.wg.Go(w.writeLoop)
}

// close ends the connection and waits for both.
func (w *wire) close() {
	close(w.done)
	if w.fd != 0 {
		rawClose(w.fd)
	}
	w.conn.Close()
	w.wg.Wait()
}

// recycle gives a chunk back. A buffer that grew for a large packet is let go.
func (w *wire) recycle(c chunk) {
	if cap(c.buf) > 16*readBuffer {
		c.buf = make([]byte, 0, readBuffer)
	}
	w.free <- c.buf[:0] // there are two buffers, and room for two
}

func (w *wire) readLoop() {
	rest := w.input
	for {
		var buf []byte
		select {
		case buf = <-w.free:
		case <-w.done:
			return
		}
		c := w.fill(append(buf, rest...))
		rest = c.buf[len(c.packets):]
		select {
		case w.chunks <- c:
		case <-w.done:
			return
		}
		if c.err != nil {
			return
		}
	}
}

// fill reads until there is at least one whole packet.
func (w *wire) fill(buf []byte) chunk {
	for {
		n, need, err := w.whole(buf)
		if n > 0 || err != nil {
			return chunk{buf: buf, packets: buf[:n], err: err}
		}
		if len(buf)+need > cap(buf) {
			buf = append(make([]byte, 0, max(2*cap(buf), len(buf)+need)), buf...)
		}
		got, err := w.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+got]
		if err != nil && got == 0 {
			return chunk{buf: buf, err: err}
		}
	}
}

// whole is the size of the whole packets at the start of b, and how much is
// missing at least for the first that is not whole.
func (w *wire) whole(b []byte) (n, need int, err error) {
	for {
		h, head, err := packet.ReadHeader(b[n:])
		switch {
		case err != nil:
			return n, 0, fmt.Errorf("from the upstream: %w", err)
		case head > 0 && h.Length > w.limit: // before anything is allocated for it
			return n, 0, errTooLarge
		case head == 0:
			return n, 1, nil
		case len(b)-n < head+h.Length:
			return n, head + h.Length - (len(b) - n), nil
		}
		n += head + h.Length
	}
}

// tryWrite writes what goes at once, without waiting, while the writer has nothing.
// Most of the time that is everything, and two hand-overs between goroutines, which
// cost more than the write itself, are saved.
func (w *wire) tryWrite(b []byte) (n int, err error) {
	switch {
	case w.fd != 0:
		return rawWrite(uintptr(w.fd), b)
	case w.raw == nil:
		return 0, nil
	}
	failed := w.raw.Write(func(fd uintptr) bool {
		n, err = rawWrite(fd, b)
		return true // whatever came of it
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

func (w *wire) writeLoop() {
	for {
		select {
		case buf := <-w.batches:
			_, err := w.conn.Write(buf)
			w.written <- batch{buf, err} // the owner gives no other before it has this one
		case <-w.done:
			return
		}
	}
}
