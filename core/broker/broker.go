package broker

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// Broker routes messages between clients, adapters and bridges. Its loop, Run,
// owns all that is in it; the exported methods reach it through the mailbox.
type Broker struct {
	// Static after New.
	cfg     Config
	log     *slog.Logger
	store   Store
	poll    poller
	mail    mailbox
	matched func(*endpoint, grant) // b.match, bound once
	events  events

	maxSockets int         // connections that leave descriptors for the rest of the process
	full       atomic.Bool // there are as many; written by the loop

	// Which goroutine is the owner of the rest: before Run whoever holds mu, then Run.
	mu      sync.Mutex
	running bool
	stopped bool

	listeners []*listener
	serving   sync.WaitGroup // goroutines of connections, listeners and subscribers

	// The present moment, taken once a turn.
	now   time.Time
	stamp core.Stamp
	// There may be more sockets with input than this turn has looked at.
	backlog bool

	clients       map[string]*client
	roster        []*client // the same in any order, for work that goes over all a slice at a time
	connected     int       // of them
	receivers     map[core.ReceiverID]receiver
	rules         map[string]*rule          // by name, attached or not
	ruleOf        map[core.ReceiverID]*rule // by receiver or owner of packet ids
	conns         map[*conn]struct{}
	addresses     map[netip.Addr]int // connections from each network
	opening       int                // connections that are no clients yet
	openings      fifo[*conn]        // those, the oldest first, and some that are not any more
	locals        map[*local]struct{}
	surveys       map[*survey]struct{} // that are under way
	subscriptions topic.Tree[*endpoint, grant]
	sysFilters    int       // subscriptions to $SYS
	sysAt         time.Time // the turn in which it was made up for who subscribes
	sweeping      bool      // $SYS is being published for single clients
	loads         loads
	retained      topic.Retained[resting]
	retainedBytes int64
	willBytes     int64
	sessionsOf    map[string]int      // of each user
	unsaved       map[string]struct{} // topics whose retained message is not recorded
	queued        int64               // bytes in the queues of clients
	pending       pending             // bytes in the connections

	timers     timers
	flushTimer timer
	sweepTimer timer
	sysTimer   timer
	roomTimer  timer
	chores     fifo[func() (more bool)] // long work, cut into slices

	shares     map[string]*share      // by $share/GROUP/FILTER
	flows      flows                  // publications that wait for their turn
	laterBytes int64                  // of those
	cramped    list.List              // of func(): what waits for room in the store, see awaitRoom
	insiders   fifo[func() error]     // what comes from inside, the first of which waits so
	refusing   bool                   // the store does, when it was last asked
	noRoom     bool                   // somebody has begun to wait since it was cleared
	waiting    map[core.Seq]waiter    // for a message to be settled
	gate       session.Gate[gated]    // for a ticket to be synced
	done       []core.Seq             // settled in this turn
	ending     map[string]core.Ticket // of sessions by client id: their ends are not on disk yet

	touched []*conn  // to be written at the end of the turn
	poked   []*Queue // to be woken at the end of the turn
	dying   []*conn  // to be closed after that
	carried []*carried

	// Scratch of the loop, used again for each packet.
	input       []byte
	mounting    []byte // a topic with the mount point before it
	publish     packet.Publish
	ack         packet.Ack
	scratch     core.Message
	publication publication
	mark        uint64
	encoder     session.Encoder
	measure     []byte
	buffers     buffers
	shelf       shelf

	counters   counters
	complaints quota
	edition    int // of the rules of the authorizer, see Authorize
}

// Long work is cut into slices of sliceSize steps, well below a millisecond, of
// which a turn does maxSlices.
const (
	sliceSize = 256
	maxSlices = 16
)

// inputSize is what is read from a socket at once.
const inputSize = 64 << 10

// New makes a broker and gives it the state that the store has.
func New(cfg Config, store Store) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure broker: %w", err)
	}
	b := &Broker{
		cfg: cfg, log: cfg.Logger, store: store,
		clients:    map[string]*client{},
		receivers:  map[core.ReceiverID]receiver{},
		rules:      map[string]*rule{},
		ruleOf:     map[core.ReceiverID]*rule{},
		conns:      map[*conn]struct{}{},
		addresses:  map[netip.Addr]int{},
		locals:     map[*local]struct{}{},
		surveys:    map[*survey]struct{}{},
		unsaved:    map[string]struct{}{},
		sessionsOf: map[string]int{},
		shares:     map[string]*share{},
		flows:      flows{},
		waiting:    map[core.Seq]waiter{},
		ending:     map[string]core.Ticket{},
		input:      make([]byte, inputSize),
	}
	b.maxSockets = maxSockets()
	if b.maxSockets < cfg.Limits.MaxConnections && len(cfg.Listeners) > 0 {
		b.log.Warn("this system allows fewer connections than max_connections: raise the limit of open files",
			"max_connections", cfg.Limits.MaxConnections, "possible", b.maxSockets)
	}
	var err error
	if b.poll, err = newPoller(cfg); err != nil {
		return nil, err
	}
	b.mail.wake = b.poll.wake
	b.matched = b.match
	b.events.b = b
	b.flushTimer.ring = func(time.Time) { b.work(b.saveRetained) }
	b.sweepTimer.ring = b.sweep
	b.sysTimer.ring = b.sysDue
	b.roomTimer.ring = func(time.Time) { b.giveRoom() }
	b.shelf.timer.ring = b.shelf.clear
	b.tick()
	b.counters.started = b.now
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("load the broker's state: %w", err), b.poll.close())
	}
	return b, nil
}

// Wake tells the loop that the store has something to collect. It may be called
// from any goroutine.
func (b *Broker) Wake() { b.poll.wake() }

// tick takes the time for this turn.
func (b *Broker) tick() {
	b.now = time.Now()
	b.stamp = b.cfg.Clock.At(b.now)
}

// Run is the loop. It returns when ctx has ended and the clients were told, or
// with what made it impossible to go on. The store is the caller's to close.
func (b *Broker) Run(ctx context.Context) error {
	b.mu.Lock()
	b.running = true
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, b.poll.wake)
	defer stop()
	if b.cfg.SysInterval > 0 {
		b.timers.set(&b.sysTimer, time.Now().Add(b.cfg.SysInterval))
	}
	b.warnOfStrays()
	err := b.poll.run(func() (deadline time.Time, more bool) { // what was loaded may have left work
		deadline = b.turn()
		return deadline, ctx.Err() == nil // looked at last: the turn has forgotten who woke it
	})
	return errors.Join(err, b.stop())
}

// turn is one turn of the loop; the deadline is when the next is due at the latest.
//
//  1. read what has come: sockets, letters, the store, timers, a slice of long work
//  2. write to every connection that was touched, once
//  3. close the connections that have ended, which may touch others
//  4. let the uplinks take what this turn has for them
//  5. give the store what is due
func (b *Broker) turn() (deadline time.Time) {
	b.tick()
	b.backlog = b.poll.dispatch() // 1
	b.mail.open()
	b.store.Collect(&b.events)
	b.timers.run(b.now)
	b.toil()
	for len(b.touched)+len(b.dying)+len(b.done) > 0 {
		b.settleDone()
		b.flush() // 2
		b.reap()  // 3
	}
	b.wakeQueues() // 4
	b.carry()
	wait := b.store.Turn(b.now) // 5
	if b.chores.len() > 0 {
		return b.now
	}
	deadline = b.timers.next()
	if wait >= 0 && (deadline.IsZero() || b.now.Add(wait).Before(deadline)) {
		deadline = b.now.Add(wait)
	}
	return deadline
}

// work puts long work on the list: slice does a slice of it, and is called again
// in later turns for as long as it says that there is more.
func (b *Broker) work(slice func() (more bool)) { b.chores.push(slice) }

// toil does some slices, in rotation.
func (b *Broker) toil() {
	for range min(b.chores.len(), maxSlices) {
		if slice := b.chores.pop(); slice() {
			b.chores.push(slice)
		}
	}
}

// touch lets a connection be written at the end of the turn.
func (b *Broker) touch(c *conn) {
	if !c.touched {
		c.touched = true
		b.touched = append(b.touched, c)
	}
}

func (b *Broker) flush() {
	for i := 0; i < len(b.touched); i++ {
		c := b.touched[i]
		b.touched[i] = nil
		c.flush()
	}
	b.touched = b.touched[:0]
}

// reap ends what is left of connections that were closed.
func (b *Broker) reap() {
	for len(b.dying) > 0 {
		c := b.dying[len(b.dying)-1]
		b.dying = b.dying[:len(b.dying)-1]
		b.bury(c)
	}
}

// bury takes a connection out of everything. Its session goes on, or ends, and its
// will is published.
func (b *Broker) bury(c *conn) {
	if c.link == nil {
		return
	}
	if c.touched {
		c.flush()
	}
	delete(b.conns, c)
	c.listener.connections--
	b.leaveAddress(transport.Network(c.addr))
	b.full.Store(len(b.conns) >= b.maxSockets)
	c.link.close()
	c.link = nil
	b.buffers.put(c.out)
	c.forgetBytes()
	if c.client != nil {
		c.client.detach(c)
	}
}

// stop ends all connections and what the broker has started.
func (b *Broker) stop() error {
	b.mail.close()
	b.mail.open() // what came before
	for _, l := range b.listeners {
		l.close()
	}
	for c := range b.conns {
		if cl := c.client; cl != nil {
			cl.takeWill()
			cl.willSaved = false // it is published after the restart
		}
		c.end(packet.ServerShuttingDown)
		c.close()
	}
	b.flush()
	b.reap()
	b.dropCarried()
	for l := range b.locals {
		l.end()
	}
	for b.saveRetained() {
	}
	b.store.Turn(b.now)
	b.serving.Wait()
	b.mu.Lock()
	b.running, b.stopped = false, true
	b.mu.Unlock()
	return b.poll.close()
}

// buffers are output buffers that are not in use. An idle connection has none. As
// many are kept as a turn with some hundred receivers needs: to make them anew in
// each turn would keep the collector busy.
type buffers struct {
	free [][]byte
	size int // of all of them
}

const (
	bufferSize = 4 << 10
	maxBuffers = 1 << 20 // bytes that are kept; each is up to 2*softOutput
)

func (bs *buffers) get() []byte {
	if n := len(bs.free); n > 0 {
		b := bs.free[n-1]
		bs.free[n-1] = nil
		bs.free = bs.free[:n-1]
		bs.size -= cap(b)
		return b
	}
	return make([]byte, 0, bufferSize)
}

func (bs *buffers) put(b []byte) {
	if cap(b) >= bufferSize && cap(b) <= 2*softOutput && bs.size+cap(b) <= maxBuffers {
		bs.free = append(bs.free, b[:0])
		bs.size += cap(b)
	}
}
