package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// listener is an open listener. connections belongs to the loop, the rest is
// static once it is open.
type listener struct {
	Listener
	broker      *Broker
	ln          net.Listener   // nil where connections only come through Serve
	tls         *transport.TLS // nil: none
	closed      atomic.Bool
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

func (l *listener) open() (err error) {
	if l.TLS != nil {
		if l.tls, err = transport.LoadTLS(*l.TLS); err != nil {
			return err
		}
	}
	network, address := "tcp", l.Address
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
		if err := removeStaleSocket(path); err != nil {
			return err
		}
	}
	if l.ln, err = new(net.ListenConfig).Listen(context.Background(), network, address); err != nil {
		return err
	}
	if l.layered() {
		l.broker.serving.Go(l.acceptLoop)
		return nil
	}
	if err := l.watch(); err != nil {
		return errors.Join(err, l.ln.Close())
	}
	return nil
}

// layered says whether there is something between the sockets and MQTT. Then each
// connection has goroutines that turn one into the other.
func (l *listener) layered() bool {
	return l.TLS != nil || l.WebSocket != nil || len(l.ProxyFrom) > 0
}

// Reload reads the certificates of all listeners again. What cannot be used leaves
// what was there in force.
func (b *Broker) Reload() error {
	var errs []error
	for _, l := range b.listeners {
		if l.tls == nil {
			continue
		}
		if err := l.tls.Reload(); err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
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
		l.closed.Store(true)
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

// protocol is what clients speak to the listener, as in a URL.
func (l *listener) protocol() string {
	name := "mqtt"
	if l.WebSocket != nil {
		name = "ws"
	}
	if l.TLS != nil {
		name += "s"
	}
	return name
}

func (l *listener) speaks(v packet.Version) bool {
	return len(l.Versions) == 0 || slices.Contains(l.Versions, v)
}

// maxPacket bounds what a client of this listener may send.
func (l *listener) maxPacket() int {
	if l.MaxPacket > 0 {
		return min(l.MaxPacket, l.broker.cfg.Limits.MaxPacket)
	}
	return l.broker.cfg.Limits.MaxPacket
}

func (l *listener) status() core.ListenerStatus {
	s := core.ListenerStatus{Name: l.Name, Address: l.ln.Addr().String(), Protocol: l.protocol(), Connections: l.connections}
	if l.tls != nil {
		expires, err := l.tls.Expires()
		s.CertificateExpires = &expires
		if err != nil {
			s.Error = err.Error()
		}
	}
	return s
}

// peer is who is at the other end of a connection, as far as the layers below MQTT
// know.
type peer struct {
	remote      string     // its address as text
	addr        netip.Addr // not valid for a Unix socket
	certificate *transport.Client
}

// welcome begins a connection, unless there are too many. Who has not said who it
// is after a while gives way to who comes: silence must not keep others out.
func (l *listener) welcome(k link, from peer) *conn {
	b := l.broker
	if why := l.overfull(from.addr); why != "" {
		b.count(why)
		k.close()
		return nil
	}
	c := b.accept(k, l, from)
	if b.opening > b.cfg.Limits.MaxOpening {
		b.closeOldestOpening()
	}
	return c
}

// overfull says which limit one connection more would break; "" is none.
func (l *listener) overfull(from netip.Addr) string {
	b := l.broker
	switch {
	case len(b.conns) >= b.cfg.Limits.MaxConnections:
		return "too many connections"
	case l.MaxConnections > 0 && l.connections >= l.MaxConnections:
		return "too many connections of the listener"
	case from.IsValid() && b.addresses[transport.Network(from)] >= b.cfg.Limits.MaxPerAddress:
		return "too many connections from the address"
	}
	return ""
}

// closeOldestOpening closes the connection that has been there for longest without
// having become a client.
func (b *Broker) closeOldestOpening() {
	for b.openings.len() > 0 {
		if c := b.openings.pop(); c.phase < open {
			b.count("silent connection gave way")
			c.close()
			return
		}
	}
}

// introduce tells a connection what was learned about its peer after it began. A
// proxy's connections count for their own addresses.
func (c *conn) introduce(p peer) {
	b := c.broker
	if c.phase == closed {
		return
	}
	if was, is := transport.Network(c.addr), transport.Network(p.addr); is != was {
		if is.IsValid() && b.addresses[is] >= b.cfg.Limits.MaxPerAddress {
			b.count("too many connections from the address")
			c.close()
			return
		}
		b.leaveAddress(was)
		b.addresses[is]++
	}
	c.peer = p
}

func (b *Broker) leaveAddress(a netip.Addr) {
	if b.addresses[a]--; b.addresses[a] <= 0 {
		delete(b.addresses, a)
	}
}

// acceptPause is how long a listener rests when the system has no descriptor
// left: those that are there are for the store and the uplink.
const acceptPause = 100 * time.Millisecond
