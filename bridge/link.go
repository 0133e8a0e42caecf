package bridge

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// link is one connection, from CONNACK to its end. It belongs to Run.
type link struct {
	// Static.
	b         *Bridge
	g         *greeting
	wire      *wire
	id        int
	window    int
	keepalive time.Duration

	// The present turn.
	now     time.Time
	stamp   core.Stamp
	changes []core.Change // to be recorded, and waited for, as batch b.records+1
	lazy    []core.Change // to be recorded some time
	err     error         // why the connection must end

	// Sending.
	filling   []byte // what goes with the next write
	spare     []byte // the buffer that is not filling, unless the writer has it
	writing   bool
	unread    int                      // bytes of acknowledgements in filling
	publishes session.Gate[parcel]     // PUBLISHes, some of which wait for their packet id to be durable
	comps     session.Gate[completion] // PUBCOMPs that wait for their release to be durable
	full      bool                     // something had no room in the buffer in this turn
	gather    gather
	moved     int    // messages that left in this turn
	late      bool   // some of those that left last are of a backlog
	turns     int    // whose turn it is among rules of the same priority
	alone     bool   // the head is tried alone, see poison.go
	user      []byte // scratch
	measure   []byte // scratch
	aliases   aliases
	sampled   uint16 // the packet id whose round trip is timed, 0: none
	sampledAt time.Time

	// Receiving.
	publish packet.Publish // scratch
	ack     packet.Ack     // scratch
	acks    session.Acks
	accepts core.Seq
	subs    map[uint16][]*inlet // SUBSCRIBEs without SUBACK, by packet id
	unsubs  map[uint16][]string // the same for UNSUBSCRIBE
	redial  time.Time           // when to ask anew for messages that were refused; zero: not

	failBack time.Time // when to try the first server; zero: never
	renew    time.Time // when the password ends; zero: never

	// Signs of life.
	sent     time.Time // the last write
	received time.Time // the last chunk
	progress time.Time // the last acknowledgement, or when nothing was under way
	acked    int       // messages of QoS 1 and 2 that the upstream has acknowledged
	pinged   time.Time // when PINGREQ was sent that has no answer; zero: none

	// Ending well: nothing new is sent, what is under way is waited for.
	stopping bool
	stopBy   time.Time
	cause    error // nil: the bridge is stopped
}

// completion is the answer to a PUBREL.
type completion struct {
	pid    uint16
	reason packet.Reason
}

// Limits of ours.
const (
	receiveMaximum = 200  // messages of QoS 1 and 2 from the upstream that wait for the local broker
	window5        = 1000 // in flight, where the upstream allows more
	window311      = 100  // where it cannot say
	window311Exact = 20   // the same, for QoS 2
	narrowest      = 10   // of what is learned
	stopGrace      = 2 * time.Second
	refusalGrace   = 10 * time.Second
	redialAfter    = time.Minute
)

// serve uses a connection until it ends.
func (b *Bridge) serve(ctx context.Context, g *greeting) error {
	l := b.newLink(g)
	l.open()
	err := l.run(ctx)
	l.wire.close()
	l.commit()
	b.judge(err, b.out.Active())
	b.narrow(err, l)
	b.await()
	b.flying.end()
	for _, o := range b.outlets {
		o.pay()
		o.forgetWaiting()
		o.queue.Offline()
	}
	return err
}

func (b *Bridge) newLink(g *greeting) *link {
	b.linkID++
	now := time.Now()
	l := &link{
		b: b, g: g, id: b.linkID,
		wire:      newWire(g.conn, b.cfg.MaxPacket, g.rest),
		window:    b.window(g),
		keepalive: g.keepalive,
		alone:     b.suspect.alone(),
		subs:      make(map[uint16][]*inlet),
		unsubs:    make(map[uint16][]string),
		now:       now, stamp: b.cfg.Clock.At(now),
		sent: now, received: now, progress: now,
		gather:   gather{most: b.cfg.Gather},
		aliases:  newAliases(g.aliases),
		failBack: b.failBackAt(g.server, now),
	}
	if b.preset.azure { // what a message carries is in its topic there
		l.aliases.most = 0
	}
	if l.alone { // nothing is held back while one message is tried
		l.gather.most = 0
	}
	if b.cfg.SASKey != "" {
		l.renew = now.Add(sasLifetime * 4 / 5)
	}
	return l
}

// window is how many messages may be under way. An upstream of MQTT 3.1.1 has a
// limit too, but cannot say it, and closes the connection where it is exceeded:
// Mosquitto at 20 messages of QoS 2, by default. So we begin carefully, and learn.
func (b *Bridge) window(g *greeting) int {
	most := b.cfg.MaxInflight
	switch {
	case most > 0:
	case g.version == packet.V5:
		most = window5
	case b.exactlyOnce():
		most = window311Exact
	default:
		most = window311
	}
	if g.version < packet.V5 && b.narrowed > 0 {
		most = min(most, b.narrowed)
	}
	return min(most, g.receiveMaximum)
}

// exactlyOnce says whether there is a rule of QoS 2.
func (b *Bridge) exactlyOnce() bool {
	return slices.ContainsFunc(b.outlets, func(o *outlet) bool { return o.rule.QoS == core.ExactlyOnce })
}

// narrow halves the window for the connections to come, when the upstream has
// closed this one before it acknowledged as much as two windows.
func (b *Bridge) narrow(err error, l *link) {
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	if l.g.version == packet.V5 || l.alone || !closed || l.acked > 2*l.window || b.out.Active() < l.window/2 {
		return
	}
	b.narrowed = max(narrowest, l.window/2)
}

// open resumes the session. PUBRELs go first, in order; then everything unpaid
// comes from the queues.
func (l *link) open() {
	b := l.b
	l.settle(b.events.take())
	l.quit()
	l.announce(stateOnline)
	window := l.window
	if l.alone {
		window = 1
	}
	b.flying.begin(l.window)
	for _, pid := range b.out.Connect(window, l.g.sessionPresent) {
		l.lazy = append(l.lazy, core.OutgoingDone{Owner: b.owner, PacketID: pid})
	}
	for _, pid := range b.in.Connect(l.receiveMaximum(), l.g.sessionPresent) {
		l.lazy = append(l.lazy, core.IncomingReleased{Owner: b.owner, PacketID: pid})
	}
	l.publishes.Synced(b.synced)
	l.comps.Synced(b.synced)
	l.acks.Synced(b.synced)
	l.recordAgain()
	for pid := range b.out.Releases() {
		l.appendAck(packet.PUBREL, pid, packet.Success)
	}
	l.subscribe()
	if l.alone {
		l.ping()
	}
	for _, o := range b.outlets {
		o.queue.Online(window)
	}
	b.status.connected(l.g, l.window, l.id > 1)
	if text := b.rivals.warning(l.now); text != "" {
		b.status.complain(text)
		b.log.Warn("the session upstream is fought over", "why", text)
	}
	b.log.Info("uplink is up", "url", l.g.server.url, "mqtt", l.g.protocol(),
		"session_present", l.g.sessionPresent, "window", l.window)
}

// receiveMaximum is what we told the upstream, if it could be told.
func (l *link) receiveMaximum() int {
	if l.g.version < packet.V5 {
		return 0
	}
	return receiveMaximum
}

// run goes on until the connection ends, in turns: something happens, everything
// that follows from it is done, and leaves with one write.
func (l *link) run(ctx context.Context) error {
	if !l.ride(ctx) {
		l.wire.start()
		l.loop(ctx)
	}
	l.farewell(l.cause)
	return l.cause
}

// loop takes the turns on Run's goroutine.
func (l *link) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for !l.over() {
		timer.Reset(max(atOnce, l.nextTurn().Sub(l.now)))
		chunks := l.wire.chunks
		if l.swamped() {
			chunks = nil
		}
		select {
		case c := <-chunks:
			l.tick()
			l.receive(c)
			if c.err == nil {
				l.wire.recycle(c)
			}
		case w := <-l.wire.written:
			l.tick()
			l.wrote(w)
		case <-l.b.kick:
			l.tick()
		case <-l.b.events.wake:
			l.tick()
		case <-timer.C:
			l.tick()
			l.expire()
		case <-stop:
			l.tick()
			stop = nil
			l.wind(nil, stopGrace)
		}
	}
}

// atOnce is not 0, so that the runtime fires the timer and not the select that looks
// at it: the race detector does not bear that in bubbles (golang/go#78156).
const atOnce = time.Nanosecond

// over takes a turn, and says whether it was the last; cause is why.
func (l *link) over() bool {
	l.turn()
	if l.err != nil {
		l.cause = l.err
	}
	return l.err != nil || l.stopping && l.settled()
}

// nextTurn is when the next is due, if nothing happens before: at once, when all
// was written and there is more.
func (l *link) nextTurn() time.Time {
	if l.full && !l.writing {
		return l.now
	}
	return l.deadline()
}

func (l *link) tick() {
	l.now = time.Now()
	l.stamp = l.b.cfg.Clock.At(l.now)
	if l.swamped() {
		l.received, l.progress = l.now, l.now
	}
}

// turn does what can be done. The order of effects:
//
//  1. what is in quarantine by now, and what the local broker has made durable or
//     accepted
//  2. acknowledgements whose promise holds now
//  3. new messages, as far as the window goes
//  4. records, then payments (a message is never paid before its release is
//     recorded)
//  5. one write
func (l *link) turn() {
	l.b.gather()
	l.settle(l.b.events.take())
	if l.err != nil {
		return
	}
	if l.b.out.Active() == 0 && len(l.subs) == 0 {
		l.progress = l.now
	}
	wait := l.gather.holds(l.now)
	l.moved = 0
	for range 2 { // what does not fit into one buffer goes into the other
		l.full = false
		l.release()
		l.acknowledge()
		if !wait {
			l.pump()
		}
		l.commit()
		l.flush()
	}
	if !wait {
		l.gather.left(l.now, l.moved, l.late, l.held())
	}
	l.b.status.inflight.Store(int64(l.b.out.Active()))
	l.b.status.gathering.Store(l.gather.on())
}

// held is for how long each message that is under way keeps one back: 0 while the
// window has room.
func (l *link) held() time.Duration {
	if l.b.out.Room() > 0 {
		return 0
	}
	return time.Duration(l.b.status.rtt.Load())
}

// settle takes in the answers of the local broker.
func (l *link) settle(events []event) {
	for _, e := range events {
		switch {
		case e.message != nil:
			l.accepted(e.message, e.err)
		case e.primary:
			if e.link == l.id {
				l.b.vain++
				l.wind(errFailBack, refusalGrace)
			}
		case e.stop:
			if e.link == l.id {
				l.wind(nil, stopGrace)
			}
		case e.err != nil:
			l.b.recordFailed()
			l.fail(errors.Join(errStore, e.err))
		default:
			l.synced(e.batch)
		}
	}
}

// synced: all batches up to n are durable.
func (l *link) synced(n core.Ticket) {
	b := l.b
	b.synced = max(b.synced, n)
	b.releases.Synced(n)
	l.publishes.Synced(n)
	l.comps.Synced(n)
	l.acks.Synced(n)
}

// commit hands over what the turn has changed.
func (l *link) commit() {
	b := l.b
	if len(l.changes) > 0 {
		b.records++
		n := b.records
		b.gateway.Record(l.changes, false, func(err error) { b.events.post(event{batch: n, err: err}) })
		l.changes = nil
	}
	for _, o := range b.outlets {
		o.pay()
	}
	if len(l.lazy) > 0 {
		b.gateway.Record(l.lazy, true, nil)
		l.lazy = nil
	}
}

// ticket is that of the batch that changes are gathered for.
func (l *link) ticket() core.Ticket { return l.b.records + 1 }

// fail ends the connection after this turn; the first cause counts.
func (l *link) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// wind ends the connection when what is under way is settled, or after grace.
func (l *link) wind(cause error, grace time.Duration) {
	if !l.stopping || cause == nil {
		l.stopping, l.stopBy, l.cause = true, l.now.Add(grace), cause
	}
}

// settled says whether nothing is under way any more.
func (l *link) settled() bool {
	idle := l.b.out.Active() == 0 && l.acks.Len() == 0 && l.comps.Len() == 0 && l.publishes.Len() == 0 &&
		!l.writing && len(l.filling) == 0
	return idle || !l.now.Before(l.stopBy)
}

// farewell sends DISCONNECT, if the connection still takes it. Our session stays.
func (l *link) farewell(cause error) {
	p := packet.Disconnect{Reason: packet.NormalDisconnection}
	var broken *packet.Error
	switch {
	case cause == nil, errors.Is(cause, errStore), errors.Is(cause, errRetryLater), errors.Is(cause, errAskAgain),
		errors.Is(cause, errFailBack), errors.Is(cause, errRenew):
	case errors.As(cause, &broken):
		p.Reason = broken.Reason
	default:
		return
	}
	if l.g.version < packet.V5 && p.Reason != packet.Success {
		return
	}
	l.announce(stateOffline)
	l.filling = p.AppendTo(l.filling, l.g.version)
	if !l.wire.started {
		l.wire.finish(l.filling)
		return
	}
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	for {
		l.flush()
		if !l.writing {
			return
		}
		select {
		case w := <-l.wire.written:
			if w.err != nil {
				return
			}
			l.wrote(w)
		case <-timeout.C:
			return
		}
	}
}
