package storagetest

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// Config says how a Memory behaves. The zero value of a field is its default.
type Config struct {
	// Notify is called when there is something to collect. It must not block.
	Notify func()
	// Limit bounds the bytes of messages. Default 64 MiB.
	Limit int64
	// Delay makes it settle like a store on disk: what is due is settled by the
	// Collect after a Turn. Otherwise Append settles at once.
	Delay bool
	// Clock stamps the present for expiry. Default: a new one.
	Clock *core.Clock
}

// Memory is a store that writes nothing. Like every store it belongs to the
// goroutine of its owner.
type Memory struct {
	cfg       Config
	seq       core.Seq
	ticket    core.Ticket
	receivers map[core.ReceiverID]*queue
	state     state
	entries   []*entry // that are not settled, in order; only with Delay
	bytes     int64
	recorded  bool // Load is over
	dropped   map[core.Reason]uint64

	// To be told at the next Collect.
	settled []core.Seq
	losses  []loss
	answers []*queue
	synced  core.Ticket
	told    core.Ticket
}

type loss struct {
	r   core.ReceiverID
	why core.Reason
	n   int
}

// entry is a message with its open debts.
type entry struct {
	seq     core.Seq
	m       *core.Message
	due     time.Time
	open    int
	absent  bool // owed to somebody who was not there
	settled bool
}

// NewMemory makes an empty store.
func NewMemory(cfg Config) *Memory {
	if cfg.Notify == nil {
		cfg.Notify = func() {}
	}
	if cfg.Limit == 0 {
		cfg.Limit = 64 << 20
	}
	if cfg.Clock == nil {
		cfg.Clock = core.NewClock()
	}
	return &Memory{
		cfg: cfg, ticket: 1,
		receivers: make(map[core.ReceiverID]*queue),
		dropped:   make(map[core.Reason]uint64),
	}
}

// Reopen is a restart: a store with what this one owes and its state, with every
// receiver rewound. Receivers that no session and no rule names are forgotten.
// This one must not be used any more.
func (m *Memory) Reopen(notify func()) *Memory {
	cfg := m.cfg
	cfg.Notify = notify
	n := NewMemory(cfg)
	n.seq, n.state = m.seq, m.state
	known := m.state.receivers()
	open := make(map[*entry]bool)
	for id, q := range m.receivers {
		if !known[id] {
			continue
		}
		q.rewind()
		q.want = nil
		n.receivers[id] = q
		for _, i := range q.items {
			if !i.paid && !open[i.e] {
				open[i.e] = true
				i.e.open, i.e.settled = 0, true
				n.bytes += int64(i.e.m.Size())
			}
			if !i.paid {
				i.e.open++
			}
		}
	}
	return n
}

func (m *Memory) queue(id core.ReceiverID) *queue {
	q := m.receivers[id]
	if q == nil {
		q = &queue{id: id}
		m.receivers[id] = q
	}
	return q
}

// Append takes a message.
func (m *Memory) Append(msg *core.Message, debts []core.Debt, hold time.Duration) (core.Seq, bool, error) {
	taken, err := m.admit(msg, debts)
	if err != nil {
		return 0, false, err
	}
	m.seq++
	if len(taken) == 0 {
		return m.seq, true, nil
	}
	e := &entry{seq: m.seq, m: msg, open: len(taken), settled: !m.cfg.Delay, due: time.Now().Add(max(0, hold))}
	for _, d := range taken {
		live := m.queue(d.Receiver).push(e, d.Live)
		e.absent = e.absent || !live
		i := slices.IndexFunc(debts, func(o core.Debt) bool { return o.Receiver == d.Receiver })
		debts[i].Live = live
	}
	m.bytes += int64(msg.Size())
	if m.cfg.Delay {
		m.entries = append(m.entries, e)
	}
	return e.seq, e.settled, nil
}

// admit makes room by the receivers' policies.
func (m *Memory) admit(msg *core.Message, debts []core.Debt) ([]core.Debt, error) {
	size := int64(msg.Size())
	var over []*queue
	for _, d := range debts {
		q := m.queue(d.Receiver)
		if m.bytes+size <= m.cfg.Limit && (q.policy.MaxBytes <= 0 || q.bytes+size <= q.policy.MaxBytes) {
			continue
		}
		if q.policy.OnFull == core.Refuse {
			return nil, core.ErrFull
		}
		over = append(over, q)
	}
	for _, q := range over {
		why := core.DroppedQueueFull
		if m.bytes+size > m.cfg.Limit {
			why = core.DroppedStoreFull
		}
		if q.policy.OnFull == core.DropNewest {
			debts = slices.DeleteFunc(slices.Clone(debts), func(d core.Debt) bool { return d.Receiver == q.id })
			m.lose(q.id, why, 1)
			continue
		}
		m.dropOldest(q, size, why)
	}
	if len(debts) > 0 && m.bytes+size > m.cfg.Limit {
		m.makeRoom(size)
	}
	if len(debts) > 0 && m.bytes > 0 && m.bytes+size > m.cfg.Limit {
		return nil, core.ErrFull
	}
	return debts, nil
}

// dropOldest drops from one queue until size fits in its bound, or in the limit.
func (m *Memory) dropOldest(q *queue, size int64, why core.Reason) {
	for q.bytes > 0 && (m.bytes+size > m.cfg.Limit || q.policy.MaxBytes > 0 && q.bytes+size > q.policy.MaxBytes) {
		m.release(q, q.dropFirst())
		m.lose(q.id, why, 1)
	}
}

// makeRoom drops from the queues of lowest priority.
func (m *Memory) makeRoom(size int64) {
	var all []*queue
	for _, q := range m.receivers {
		if q.policy.OnFull == core.DropOldest || q.policy.OnFull == "" {
			all = append(all, q)
		}
	}
	slices.SortFunc(all, func(a, b *queue) int {
		return cmp.Or(cmp.Compare(a.policy.Priority, b.policy.Priority), cmp.Compare(a.id, b.id))
	})
	for _, q := range all {
		for q.bytes > 0 && m.bytes+size > m.cfg.Limit {
			m.release(q, q.dropFirst())
			m.lose(q.id, core.DroppedStoreFull, 1)
		}
	}
}

// release ends a debt that is not going to be paid.
func (m *Memory) release(_ *queue, e *entry) {
	if m.pay(e) && !e.settled {
		m.settle(e)
	}
}

// pay ends a debt; true when it was the last.
func (m *Memory) pay(e *entry) (last bool) {
	e.open--
	if e.open == 0 {
		m.bytes -= int64(e.m.Size())
	}
	return e.open == 0
}

func (m *Memory) settle(e *entry) {
	e.settled = true
	m.settled = append(m.settled, e.seq)
	m.cfg.Notify()
}

func (m *Memory) lose(r core.ReceiverID, why core.Reason, n int) {
	if n == 0 {
		return
	}
	m.dropped[why] += uint64(n)
	m.losses = append(m.losses, loss{r, why, n})
	m.cfg.Notify()
}

// Paid pays a debt.
func (m *Memory) Paid(r core.ReceiverID, seq core.Seq) (settled bool) {
	q := m.receivers[r]
	if q == nil {
		return false
	}
	e := q.pay(seq)
	if e == nil || !m.pay(e) || e.settled {
		return false
	}
	e.settled = true
	return true
}

// Fetch asks for what is owed next.
func (m *Memory) Fetch(r core.ReceiverID, maxMessages, maxBytes int) {
	q := m.queue(r)
	if q.want != nil {
		return
	}
	q.want = &want{messages: max(1, maxMessages), bytes: max(1, maxBytes)}
	m.answers = append(m.answers, q)
	m.cfg.Notify()
}

// Rewind begins anew with what is owed to r.
func (m *Memory) Rewind(r core.ReceiverID) {
	q := m.receivers[r]
	if q == nil {
		return
	}
	q.rewind()
	q.want = nil
	for _, i := range q.items {
		i.e.absent = true
	}
}

// Owed counts what is owed to r.
func (m *Memory) Owed(r core.ReceiverID) uint64 {
	if q := m.receivers[r]; q != nil {
		return q.owed
	}
	return 0
}

// SetInflight is broker.Log's; here nothing that was paid comes again.
func (m *Memory) SetInflight(core.ReceiverID, int) {}

// SetPolicy bounds what may be owed to r.
func (m *Memory) SetPolicy(r core.ReceiverID, p core.Policy) { m.queue(r).policy = p }

// Record folds a change into the state.
func (m *Memory) Record(c core.Change, _ bool) core.Ticket {
	m.state.apply(c)
	switch c := c.(type) {
	case core.SessionDropped:
		m.forget(c.Receiver)
	case core.RuleDropped:
		m.forget(c.Receiver)
	}
	m.recorded = true
	m.synced = m.ticket
	m.cfg.Notify()
	return m.ticket
}

func (m *Memory) forget(id core.ReceiverID) {
	q := m.receivers[id]
	if q == nil {
		return
	}
	delete(m.receivers, id)
	m.lose(id, core.DroppedSessionGone, int(q.owed))
	for _, i := range q.items {
		if !i.paid {
			m.release(q, i.e)
		}
	}
	q.want = nil
}

// Load gives the state.
func (m *Memory) Load(visit func(core.Change)) error {
	if m.recorded {
		return errors.New("load state: it has changed already")
	}
	m.state.visit(visit)
	return nil
}

// Turn settles what is due.
func (m *Memory) Turn(now time.Time) (wait time.Duration) {
	wait = -1
	keep := m.entries[:0]
	for _, e := range m.entries {
		switch {
		case e.settled:
		case e.absent || !now.Before(e.due):
			m.settle(e)
		default:
			keep = append(keep, e)
			if left := e.due.Sub(now); wait < 0 || left < wait {
				wait = left
			}
		}
	}
	clear(m.entries[len(keep):])
	m.entries = keep
	return wait
}

// Collect tells h what happened since.
func (m *Memory) Collect(h core.LogHandler) {
	for len(m.settled)+len(m.losses)+len(m.answers) > 0 || m.synced > m.told {
		settled, losses, answers := m.settled, m.losses, m.answers
		m.settled, m.losses, m.answers = nil, nil, nil
		if m.synced > m.told {
			m.told = m.ticket
			m.ticket++
			h.Synced(m.told)
		}
		for _, seq := range settled {
			h.Settled(seq)
		}
		for _, l := range losses {
			h.Dropped(l.r, l.why, l.n)
		}
		for _, q := range answers {
			if q.want != nil && m.receivers[q.id] == q {
				m.answer(q, h)
			}
		}
	}
}

// answer answers a Fetch.
func (m *Memory) answer(q *queue, h core.LogHandler) {
	now := m.cfg.Clock.Now()
	var next []core.Delivery
	bytes := 0
	for q.cursor < len(q.items) {
		i := &q.items[q.cursor]
		size := i.e.m.Size()
		switch {
		case i.paid:
		case i.e.m.Expired(now) || q.policy.MaxAge > 0 && now.Since(i.e.m.Received) >= q.policy.MaxAge:
			m.release(q, q.drop(q.cursor))
			m.lose(q.id, core.DroppedExpired, 1)
		case len(next) > 0 && (len(next) >= q.want.messages || bytes+size > q.want.bytes):
			q.want = nil
			h.Fetched(q.id, next, false)
			return
		default:
			next = append(next, core.Delivery{
				Seq: i.e.seq, Message: i.e.m, Again: i.sent, QoS: i.e.m.QoS, Retain: i.e.m.Retain,
			})
			i.sent = true
			bytes += size
		}
		q.cursor++
	}
	q.trim()
	q.want = nil
	h.Fetched(q.id, next, true)
}

// Refuses is never: there is no disk.
func (m *Memory) Refuses() bool { return false }

// Status is a snapshot.
func (m *Memory) Status() core.BufferStatus {
	st := core.BufferStatus{
		Budget: uint64(m.cfg.Limit), Held: len(m.entries), Dropped: m.dropped, State: "ok",
	}
	if m.bytes >= m.cfg.Limit {
		st.State, st.Error = "full", "the store has reached its budget"
	}
	names := m.state.names()
	for id, q := range m.receivers {
		st.Messages = max(st.Messages, q.owed)
		st.Receivers = append(st.Receivers, core.ReceiverStatus{Receiver: id, Name: names[id], Owed: q.owed})
	}
	slices.SortFunc(st.Receivers, func(a, b core.ReceiverStatus) int { return cmp.Compare(a.Receiver, b.Receiver) })
	return st
}

// Close ends it. There is nothing to write.
func (m *Memory) Close() error { return nil }
