package bridge

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
)

// Queue is what waits for one out rule: a durable receiver of the local broker.
// Its methods may be called from any goroutine. Only Owed and Dropped, which Status
// asks for, may take a moment.
type Queue interface {
	// Take appends to buf what is next, in order, at most max deliveries.
	Take(buf []core.Delivery, max int) []core.Delivery
	// Wake has an element when Take may have more.
	Wake() <-chan struct{}
	// Paid: the upstream has these. The queue does not keep the slice.
	Paid(seqs ...core.Seq)
	// Online says that there is a connection, with so many messages under way at most.
	Online(inflight int)
	// Offline says that there is none, or that it was lost. Messages of QoS 0 are dropped
	// from then on, and counted. On the next connection everything unpaid comes again, in
	// order, and nothing that was on its way before.
	Offline()
	Receiver() core.ReceiverID
	Owed() uint64
	// Dropped counts what was dropped before the bridge could take it, by reason.
	Dropped() map[core.Reason]uint64
}

// Gateway is what a bridge sees of the local broker. Its methods may be called
// from any goroutine and do not wait; done is called once, from any goroutine,
// and does not wait either.
type Gateway interface {
	// Accept publishes m, together with changes of state. done(nil): the promise for
	// m holds and the changes are durable. An error, such as core.ErrFull: nothing
	// has happened.
	Accept(m *core.Message, with []core.Change, done func(error))
	// Record makes changes durable, behind everything accepted or recorded before. A
	// lazy record may take its time. done may be nil.
	Record(changes []core.Change, lazy bool, done func(error))
}

// LinkState is what the store knows of the bridge's packet ids.
type LinkState struct {
	Owner    core.ReceiverID
	Incoming []uint16
	Outgoing []core.Outgoing
}

// Bridge is one uplink.
type Bridge struct {
	// Static.
	cfg       Config
	log       *slog.Logger
	gateway   Gateway
	owner     core.ReceiverID
	preset    preset
	publisher string
	servers   []*server
	outlets   []*outlet   // as configured; of a rule in two parts the other one behind it
	ranks     [][]*outlet // by priority, the highest first
	inlets    []*inlet
	kick      <-chan struct{} // some queue may have more
	returns   bool            // what is sent may come back
	schedule  *schedule       // nil: the uplink always stands

	// Owned by Run; all of it outlives connections.
	out        *session.Outbound
	in         *session.Inbound
	home       *server                // to which the packet ids belong; nil before the first connection
	subscribed bool                   // in this process, to the session at home
	former     []string               // state topics of configurations before, to be cleared
	stale      []string               // filters of rules that are gone, to which home may be subscribed for us
	records    core.Ticket            // batches given to Record
	synced     core.Ticket            // up to which they are durable
	holding    map[uint16]*acceptance // of QoS 2, by packet id
	releases   session.Gate[uint16]   // PUBRELs whose release is on its way to the disk
	unreleased []uint16               // those for which that failed
	suspect    suspect
	flying     inFlight
	text       []byte           // scratch
	condemned  map[place]string // messages to be set aside when they come again, and why
	asides     asides           // messages on their way into quarantine
	rivals     rivals
	vain       int             // times in a row that the first server took a connection and did not take us
	running    context.Context // of Run
	probes     sync.WaitGroup
	narrowed   int // see narrow
	pace       pacer
	drain      bucket
	linkID     int
	unlogged   uint64 // messages that got an id without a place in the log
	halted     bool   // it was said why messages are not passed on
	encoder    session.Encoder

	// Shared.
	events *mailbox
	inward atomic.Int64 // bytes of messages that the local broker has not answered for; see swamped
	status status
	power  switchable
}

// outlet is an out rule at work.
type outlet struct {
	rule  OutRule
	topic template // nil: prefixes
	queue Queue
	tally *tally

	// Static, of a rule in two parts.
	beside *outlet     // of the first part: the other one
	fresh  func() bool // whether this is the part for what is new, and not beside
	second bool        // this is the other one

	// Shared.
	paused atomic.Bool

	// Owned by Run.
	receiver core.ReceiverID
	taken    []core.Delivery // scratch
	paid     []core.Seq      // of the present turn
	usual    int             // bytes of a message, smoothed
	thin     *thinner        // nil: all goes
	credit   float64         // of a rule in two parts: what is new may have so much more
}

// inlet is an in rule at work.
type inlet struct {
	rule   InRule
	filter string
	topic  template // nil: prefixes
	tally  *tally
}

// New makes a bridge. queues[i] is that of cfg.Out[i].
func New(cfg Config, queues []Queue, link LinkState, gateway Gateway, log *slog.Logger) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", cfg.Name, err)
	}
	if len(queues) != len(cfg.Out) {
		return nil, fmt.Errorf("bridge %s: %d queues for %d out rules", cfg.Name, len(queues), len(cfg.Out))
	}
	cfg = cfg.withDefaults()
	if err := cfg.setDial(); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", cfg.Name, err)
	}
	b := &Bridge{
		cfg:       cfg,
		log:       log.With("bridge", cfg.Name),
		gateway:   gateway,
		owner:     link.Owner,
		preset:    presets[cfg.Preset],
		publisher: fromBridge + cfg.Name,
		returns:   cfg.mayReturn(),
		schedule:  newSchedule(cfg.Connect),
		unlogged:  rand.Uint64() >> 16, // no id comes again after a restart
		out:       session.NewOutbound(link.Owner),
		in:        session.NewInbound(),
		pace:      pacer{min: cfg.Backoff.Min, max: cfg.Backoff.Max},
		drain:     newBucket(cfg.Drain),
		holding:   make(map[uint16]*acceptance),
		condemned: make(map[place]string),
		asides:    asides{done: make(chan aside, maxAsides)},
	}
	b.power.change = make(chan struct{}, 1)
	b.events = &mailbox{wake: make(chan struct{}, 1)}
	b.addRules(queues)
	b.restore(link)
	for _, u := range cfg.URLs {
		s, err := parseServer(u)
		if err != nil {
			return nil, err
		}
		b.servers = append(b.servers, s)
	}
	b.home = b.homeNamed(cfg.Home)
	b.status.start(cfg.Name, b.servers[0].url)
	return b, nil
}

func (b *Bridge) addRules(queues []Queue) {
	for i, r := range b.cfg.Out {
		o := b.newOutlet(r, queues[i])
		b.outlets = append(b.outlets, o)
		if p, ok := queues[i].(Parts); ok {
			b.addParts(o, p)
		}
	}
	byRank := slices.DeleteFunc(slices.Clone(b.outlets), func(o *outlet) bool { return o.second })
	slices.SortStableFunc(byRank, func(x, y *outlet) int { return cmp.Compare(y.rule.Priority, x.rule.Priority) })
	for rank := range chunkBy(byRank, func(o *outlet) int { return o.rule.Priority }) {
		b.ranks = append(b.ranks, rank)
	}
	for _, r := range b.cfg.In {
		b.inlets = append(b.inlets, &inlet{rule: r, filter: r.RemoteFilter(), topic: templateOf(r.LocalTopic), tally: new(tally)})
	}
}

func (b *Bridge) newOutlet(r OutRule, q Queue) *outlet {
	return &outlet{
		rule: r, topic: templateOf(r.RemoteTopic), queue: q, receiver: q.Receiver(), usual: 256, tally: new(tally),
		thin: newThinner(r.Thin),
	}
}

// templateOf is nil for none. Validate has looked at it.
func templateOf(s string) template {
	t, err := parseTemplate(s)
	if err != nil {
		panic("bridge: " + err.Error())
	}
	return t
}

// chunkBy yields the runs of neighbours that have the same key.
func chunkBy[T any, K comparable](s []T, key func(T) K) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(s) > 0 {
			n := 1
			for n < len(s) && key(s[n]) == key(s[0]) {
				n++
			}
			if !yield(s[:n:n]) {
				return
			}
			s = s[n:]
		}
	}
}

func (b *Bridge) restore(link LinkState) {
	for _, o := range link.Outgoing {
		b.out.Restore(o)
	}
	for _, pid := range link.Incoming {
		b.in.Restore(pid)
	}
}

// Run keeps the uplink up until ctx ends. It returns nil after what was under
// way has been acknowledged, or after a moment.
func (b *Bridge) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer b.probes.Wait()
	defer stop()
	b.running = ctx
	b.kick = b.merge(ctx, &wg)
	for _, o := range b.outlets {
		o.queue.Offline()
	}
	shown := ""
	for {
		on, off := b.on(ctx)
		if on == nil {
			return nil
		}
		if b.rest(on) {
			shown = b.attempt(on, off, shown)
		}
		off()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// attempt is one connection, or the try, and the pause behind it. shown is what was
// reported last.
func (b *Bridge) attempt(ctx context.Context, end func(), shown string) string {
	stop := b.watch(ctx, end)
	defer stop()
	lived, err := b.session(ctx)
	if ctx.Err() != nil {
		return "" // wished for
	}
	if lived > 0 {
		shown = ""
	}
	b.rivals.ended(err, lived, b.out.Active() == 0, time.Now())
	pause := b.pace.next(lived, slow(err))
	text := explain(err, b.cfg.Clock.Now())
	if guess := b.rivals.suspicion(); guess != "" && lived > 0 {
		text = guess
	}
	b.report(text, shown, pause)
	b.status.waiting(text, slow(err))
	sleep(ctx, pause)
	return text
}

// report says once what is wrong, not at every attempt.
func (b *Bridge) report(text, before string, pause time.Duration) {
	level := slog.LevelWarn
	if text == before {
		level = slog.LevelDebug
	}
	b.log.Log(context.Background(), level, "uplink is down", "why", text, "retry_in", pause.Round(time.Millisecond))
}

// session is one connection, from dialling to its end.
func (b *Bridge) session(ctx context.Context) (lived time.Duration, err error) {
	g, err := b.connect(ctx)
	if err != nil {
		return 0, err
	}
	b.settleAt(g.server)
	start := time.Now()
	err = b.serve(ctx, g)
	return time.Since(start), err
}

// merge makes one channel of the wakes of all queues.
func (b *Bridge) merge(ctx context.Context, wg *sync.WaitGroup) <-chan struct{} {
	if len(b.outlets) > 0 { // queues that share a channel need no goroutine in between
		wake := b.outlets[0].queue.Wake()
		if !slices.ContainsFunc(b.outlets, func(o *outlet) bool { return o.queue.Wake() != wake }) {
			return wake
		}
	}
	kick := make(chan struct{}, 1)
	for _, o := range b.outlets {
		wg.Go(func() {
			for {
				select {
				case <-o.queue.Wake():
				case <-ctx.Done():
					return
				}
				select {
				case kick <- struct{}{}:
				default:
				}
				b.events.alert()
			}
		})
	}
	return kick
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
