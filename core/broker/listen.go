package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

// listener is an open listener. connections belongs to the loop, the rest is
// static once it is open.
type listener struct {
	Listener
	broker      *Broker
	ln          net.Listener // nil where connections only come through Serve
	connections int
}

// Start opens the listeners, all or none.
func (b *Broker) Start() error {
	var errs []error
	for _, cfg := range b.cfg.Listeners {
		l := &listener{Listener: cfg, broker: b}
		if err := l.open(); err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", cfg.Name, err))
			continue
		}
		b.listeners = append(b.listeners, l)
	}
	if len(errs) > 0 {
		for _, l := range b.listeners {
			l.close()
		}
		b.listeners = nil
	}
	return errors.Join(errs...)
}

func (l *listener) open() error {
	network, address := "tcp", l.Address
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
		if err := removeStaleSocket(path); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	l.ln = ln
	if err := l.watch(); err != nil {
		return errors.Join(err, ln.Close())
	}
	return nil
}

// removeStaleSocket removes a socket that nobody listens on any more.
func removeStaleSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an old socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("%s is in use", path)
	}
	return os.Remove(path)
}

func (l *listener) close() {
	if l.ln != nil {
		l.ln.Close()
	}
}

// Addr is where a listener is to be reached, nil if there is none of that name.
func (b *Broker) Addr(name string) net.Addr {
	for _, l := range b.listeners {
		if l.Name == name {
			return l.ln.Addr()
		}
	}
	return nil
}

// welcome begins a connection, unless there are too many.
func (l *listener) welcome(k link, remote string) *conn {
	b := l.broker
	if len(b.conns) >= b.cfg.Limits.MaxConnections {
		b.count("too many connections")
		k.close()
		return nil
	}
	return b.accept(k, l, remote)
}

// acceptPause is how long a listener rests when the system has no descriptor
// left: those that are there are for the store and the uplink.
const acceptPause = 100 * time.Millisecond
