//go:build linux

package load

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core/packet"
)

// engine is the loop that owns all connections of a run.
type engine struct {
	// Static.
	address  unix.Sockaddr
	family   int
	version  packet.Version
	name     string // prefix of client ids
	username string
	password string
	started  time.Time

	ended   func() error // says why the run is to end early, if it is
	poll    *poller
	in      []byte // what was read last
	publish packet.Publish
	ack     packet.Ack
	now     int64 // ns since started, at the last tick

	conns          []*conn
	connections    int // made so far, for the client ids
	pending        int // answers awaited: CONNACK and SUBACK
	opening        int // connections that wait for their CONNACK
	refused        int // messages and filters that the broker refused
	receiveMaximum int // QoS > 0 messages that the broker takes at a time
	err            error
}

// maxOpening bounds the connections on their way, below any broker's backlog.
const maxOpening = 50

func newEngine(o Options) (*engine, error) {
	addr, err := net.ResolveTCPAddr("tcp", o.Address)
	if err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	e := &engine{
		version: o.Version, name: "bench-" + strconv.FormatInt(time.Now().UnixMicro()%1e9, 36) + "-",
		username: o.Username, password: o.Password, started: time.Now(),
		poll: p, in: make([]byte, 256<<10), receiveMaximum: 65535,
	}
	e.address, e.family = sockaddr(addr)
	return e, nil
}

func sockaddr(a *net.TCPAddr) (unix.Sockaddr, int) {
	if ip := a.IP.To4(); ip != nil || len(a.IP) == 0 {
		sa := &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
		if ip != nil {
			sa.Addr = [4]byte(ip)
		}
		return sa, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}, unix.AF_INET6
}

// tick looks at the clock.
func (e *engine) tick() int64 {
	e.now = int64(time.Since(e.started))
	return e.now
}

// dial begins a connection. Its role hears of it when the broker has accepted it.
func (e *engine) dial(r role) (*conn, error) {
	fd, err := unix.Socket(e.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if err := unix.Connect(fd, e.address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &conn{fd: fd, engine: e, role: r, dialed: e.tick()}
	if err := e.poll.add(fd, c, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		unix.Close(fd)
		return nil, err
	}
	e.opening++
	e.pending++
	return c, nil
}

// open makes n connections and waits until the broker has accepted them.
func (e *engine) open(n int, r func(i int) role) error {
	for i := range n {
		if err := e.run(openLimit, func() bool { return e.opening < maxOpening }); err != nil {
			return fmt.Errorf("open connection %d of %d: %w", i+1, n, err)
		}
		c, err := e.dial(r(i))
		if err != nil {
			return fmt.Errorf("open connection %d of %d: %w", i+1, n, err)
		}
		e.conns = append(e.conns, c)
	}
	return e.await()
}

// How long the broker may take for one answer, and for all of them.
const (
	openLimit   = 20 * time.Second
	answerLimit = 60 * time.Second
)

// await waits for all answers.
func (e *engine) await() error {
	if err := e.run(answerLimit, func() bool { return e.pending == 0 }); err != nil {
		return fmt.Errorf("wait for %d answers of the broker: %w", e.pending, err)
	}
	return nil
}

// run turns the loop until done says so.
func (e *engine) run(limit time.Duration, done func() bool) error {
	until := e.tick() + int64(limit)
	for !done() {
		if e.err != nil {
			return e.err
		}
		if err := e.ended(); err != nil {
			return err
		}
		if e.now > until {
			return fmt.Errorf("not within %v", limit)
		}
		if err := e.poll.turn(); err != nil {
			return err
		}
		e.tick()
	}
	return e.err
}

// rest lets the broker come to rest.
func (e *engine) rest(d time.Duration) error {
	end := e.tick() + int64(d)
	return e.run(d+time.Minute, func() bool { return e.now >= end })
}

// hello appends the CONNECT of the next connection.
func (e *engine) hello(b []byte) []byte {
	e.connections++
	p := packet.Connect{
		Version: e.version, CleanStart: true, Keepalive: keepAlive,
		ClientID:    []byte(e.name + strconv.Itoa(e.connections)),
		HasUsername: e.username != "", Username: []byte(e.username),
		HasPassword: e.password != "", Password: []byte(e.password),
	}
	return p.AppendTo(b, e.version)
}

// keepAlive in seconds is longer than a connection is silent here.
const keepAlive = 3600

func (e *engine) accepted() {
	e.opening--
	e.pending--
}

func (e *engine) answered(reasons []packet.Reason) {
	e.pending--
	for _, r := range reasons {
		if r.IsError() {
			e.refused++
		}
	}
}

// lost ends the run: a broker that drops connections is not measured.
func (e *engine) lost(c *conn, err error) {
	c.close()
	if e.err == nil {
		e.err = fmt.Errorf("connection lost: %w", err)
	}
}

// leave closes all connections, with a DISCONNECT.
func (e *engine) leave() {
	for _, c := range e.conns {
		c.leave()
	}
	e.conns = e.conns[:0]
}

func (e *engine) close() {
	e.leave()
	_ = e.poll.close() // nothing is lost with it
}
