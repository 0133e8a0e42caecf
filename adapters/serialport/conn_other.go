//go:build !linux

package serialport

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// conn is our descriptor of the device, in Go's poller. The owner calls all
// methods but expire, which may be called by anybody.
type conn struct{ f *os.File }

func openConn(device string) (*conn, error) {
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &conn{f}, nil
}

// read and write wait by themselves, until the deadline.
func (c *conn) read(b []byte) (int, error)  { return c.f.Read(b) }
func (c *conn) write(b []byte) (int, error) { return c.f.Write(b) }

func (c *conn) setDeadline(t time.Time) error { return c.f.SetDeadline(t) }
func (c *conn) expire()                       { _ = c.f.SetDeadline(time.Unix(1, 0)) } // fails only once it is closed
func (c *conn) waitRead() error               { return nil }
func (c *conn) waitWrite() error              { return nil }
func (c *conn) rest(d time.Duration)          { time.Sleep(d) }
func (c *conn) close() error                  { return c.f.Close() }

// control calls do with the descriptor, which stays valid meanwhile.
func (c *conn) control(do func(fd int) error) error {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
