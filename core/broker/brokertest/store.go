package brokertest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// Store is a store in memory for tests. It commits by itself at the end of each
// turn, as a disk without latency would, unless it is told to Hold: then the test
// calls Commit. Crash gives the store as it would be found after a power cut.
type Store struct {
	mu     sync.Mutex
	notify func()

	seq       core.Seq
	ticket    core.Ticket
	entries   []*entry // in order
	unwritten []change
	payments  []payment // that are not written
	disk      fold
	onDisk    map[core.Seq]*record

	full    bool
	tail    int // 0: any
	held    bool
	settled []core.Seq
	synced  core.Ticket
	fetches []fetch
	dropped []drop
	commits int
	written int
}

type entry struct {
	seq     core.Seq
	message *core.Message
	owed    map[core.ReceiverID]*debt
	due     time.Time
	written bool
	settled bool
}

type debt struct{ handed, again bool }

// record is a message as it was written, with what was owed then and is not paid
// by a later commit.
type record struct {
	message *core.Message
	owed    map[core.ReceiverID]*debt
}

type payment struct {
	r   core.ReceiverID
	seq core.Seq
}

type change struct {
	core.Change
	lazy bool
}

type fetch struct {
	r          core.ReceiverID
	max, bytes int
}

type drop struct {
	r   core.ReceiverID
	why core.Reason
	n   int
}

// NewStore is an empty store.
func NewStore() *Store { return &Store{disk: fold{}, onDisk: map[core.Seq]*record{}} }

// Notify sets what is called when there is something to collect.
func (s *Store) Notify(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = f
}

// Hold lets commits wait for Commit, or (false) be made by every turn again.
func (s *Store) Hold(on bool) {
	s.mu.Lock()
	s.held = on
	s.mu.Unlock()
	if !on {
		s.Commit()
	}
}

// SetFull lets the store refuse, and with Hold write nothing, as a full disk does.
func (s *Store) SetFull(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = on
}

// SetTail lets Append refuse for the moment (core.ErrBusy) while so many messages are
// not written yet.
func (s *Store) SetTail(messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = messages
}

// unwrittenMessages counts what a commit would write at most.
func (s *Store) unwrittenMessages() (n int) {
	for _, e := range s.entries {
		if !e.written {
			n++
		}
	}
	return n
}

// Commit writes everything, as Close of a store does.
func (s *Store) Commit() {
	s.mu.Lock()
	s.commit(func(*entry) bool { return true }, true)
	notify := s.notify
	s.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// Crash is the store that a process would find after this one was killed.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := NewStore()
	after.seq, after.ticket = s.seq+1000, s.ticket
	after.disk = maps.Clone(s.disk)
	for _, seq := range slices.Sorted(maps.Keys(s.onDisk)) {
		on := s.onDisk[seq]
		again := &entry{seq: seq, message: on.message, owed: map[core.ReceiverID]*debt{}, written: true, settled: true}
		for r, d := range on.owed {
			again.owed[r] = &debt{again: d.handed || d.again}
		}
		after.entries = append(after.entries, again)
		after.onDisk[seq] = &record{on.message, maps.Clone(again.owed)}
	}
	return after
}

// Written counts the messages that were written.
func (s *Store) Written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// Commits counts the commits.
func (s *Store) Commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

// Drop forgets what is owed to r, as a store without room would.
func (s *Store) Drop(r core.ReceiverID, why core.Reason) {
	s.mu.Lock()
	n := 0
	for _, e := range slices.Clone(s.entries) {
		if _, ok := e.owed[r]; ok {
			n++
			if s.paid(r, e) {
				s.settled = append(s.settled, e.seq)
			}
		}
	}
	s.dropped = append(s.dropped, drop{r, why, n})
	notify := s.notify
	s.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// Append is broker.Log's.
func (s *Store) Append(m *core.Message, debts []core.Debt, hold time.Duration) (core.Seq, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return 0, false, core.ErrFull
	}
	if s.tail > 0 && s.unwrittenMessages() >= s.tail {
		return 0, false, core.ErrBusy
	}
	s.seq++
	e := &entry{seq: s.seq, message: m, owed: map[core.ReceiverID]*debt{}, due: time.Now().Add(hold)}
	for _, d := range debts {
		e.owed[d.Receiver] = &debt{handed: d.Live}
	}
	s.entries = append(s.entries, e)
	return e.seq, false, nil
}

// Paid is broker.Log's.
func (s *Store) Paid(r core.ReceiverID, seq core.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := slices.BinarySearchFunc(s.entries, seq, func(e *entry, seq core.Seq) int { return int(int64(e.seq) - int64(seq)) })
	return ok && s.paid(r, s.entries[i])
}

func (s *Store) paid(r core.ReceiverID, e *entry) (settled bool) {
	delete(e.owed, r)
	if e.written {
		s.payments = append(s.payments, payment{r, e.seq})
	}
	if len(e.owed) > 0 {
		return false
	}
	s.entries = slices.DeleteFunc(s.entries, func(other *entry) bool { return other == e })
	settled, e.settled = !e.settled && !e.written, true
	return settled
}

// Fetch is broker.Log's.
func (s *Store) Fetch(r core.ReceiverID, maxMessages, maxBytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetches {
		if f.r == r {
			return
		}
	}
	s.fetches = append(s.fetches, fetch{r: r, max: maxMessages, bytes: maxBytes})
	if s.notify != nil {
		go s.notify()
	}
}

// Rewind is broker.Log's.
func (s *Store) Rewind(r core.ReceiverID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches = slices.DeleteFunc(s.fetches, func(f fetch) bool { return f.r == r })
	for _, e := range s.entries {
		if d := e.owed[r]; d != nil {
			d.again = d.again || d.handed
			d.handed = false
			e.due = time.Time{}
		}
	}
}

// Owed is broker.Log's.
func (s *Store) Owed(r core.ReceiverID) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.owed[r] != nil {
			n++
		}
	}
	return n
}

// SetInflight is broker.Log's; here nothing that was paid comes again.
func (s *Store) SetInflight(core.ReceiverID, int) {}

// SetPolicy is broker.Log's; this store has room for everything.
func (s *Store) SetPolicy(core.ReceiverID, core.Policy) {}

// Record is broker.State's.
func (s *Store) Record(c core.Change, lazy bool) core.Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticket++
	s.unwritten = append(s.unwritten, change{c, lazy})
	if d, ok := c.(core.SessionDropped); ok {
		for _, e := range slices.Clone(s.entries) {
			if _, owed := e.owed[d.Receiver]; owed && s.paid(d.Receiver, e) {
				s.settled = append(s.settled, e.seq)
			}
		}
	}
	return s.ticket
}

// Load is broker.State's.
func (s *Store) Load(visit func(core.Change)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.visit(visit)
	return nil
}

// Turn is broker.Commits'.
func (s *Store) Turn(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Duration(-1)
	if !s.held {
		before := s.commits
		s.commit(func(e *entry) bool { return !e.due.After(now) }, false)
		if s.commits > before && s.notify != nil {
			go s.notify()
		}
		for _, e := range s.entries {
			if left := e.due.Sub(now); !e.written && (wait < 0 || left < wait) {
				wait = left
			}
		}
	}
	return wait
}

// commit writes the entries that are due, with the earlier ones of their
// receivers, and all changes, if there is a reason to.
func (s *Store) commit(due func(*entry) bool, lazy bool) {
	some := lazy && len(s.unwritten)+len(s.payments) > 0 || slices.ContainsFunc(s.unwritten, func(c change) bool { return !c.lazy })
	with := map[core.ReceiverID]bool{}
	for _, e := range slices.Backward(s.entries) {
		if e.written || !due(e) && !e.owedToAny(with) {
			continue
		}
		some = true
		s.write(e)
		for r := range e.owed {
			with[r] = true
		}
	}
	slices.Sort(s.settled)
	if !some {
		return
	}
	s.commits++
	for _, c := range s.unwritten {
		s.disk.apply(c.Change)
	}
	for _, p := range s.payments {
		if on := s.onDisk[p.seq]; on != nil {
			if delete(on.owed, p.r); len(on.owed) == 0 {
				delete(s.onDisk, p.seq)
			}
		}
	}
	s.unwritten, s.payments = nil, nil
	s.synced = s.ticket
}

func (s *Store) write(e *entry) {
	e.written = true
	s.written++
	s.onDisk[e.seq] = &record{e.message, maps.Clone(e.owed)}
	if !e.settled {
		e.settled = true
		s.settled = append(s.settled, e.seq)
	}
}

func (e *entry) owedToAny(receivers map[core.ReceiverID]bool) bool {
	for r := range e.owed {
		if receivers[r] {
			return true
		}
	}
	return false
}

// Collect is broker.Commits'.
func (s *Store) Collect(h core.LogHandler) {
	s.mu.Lock()
	settled, synced, dropped, fetches := s.settled, s.synced, s.dropped, s.fetches
	s.settled, s.dropped, s.fetches = nil, nil, nil
	s.mu.Unlock()
	for _, seq := range settled {
		h.Settled(seq)
	}
	if synced > 0 {
		h.Synced(synced)
	}
	for _, d := range dropped {
		h.Dropped(d.r, d.why, d.n)
	}
	for _, f := range fetches {
		next, caughtUp := s.fetch(f)
		h.Fetched(f.r, next, caughtUp)
	}
}

func (s *Store) fetch(f fetch) (next []core.Delivery, caughtUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for _, e := range s.entries {
		d := e.owed[f.r]
		if d == nil || d.handed {
			continue
		}
		if len(next) == f.max || bytes >= f.bytes {
			return next, false
		}
		d.handed = true
		bytes += e.message.Size()
		next = append(next, core.Delivery{Seq: e.seq, Message: e.message, Again: d.again})
	}
	return next, true
}

// Refuses is broker.Commits'.
func (s *Store) Refuses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

// Status is broker.Commits'.
func (s *Store) Status() core.BufferStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.unwrittenMessages()
	return core.BufferStatus{
		Messages: uint64(len(s.entries) - held), Held: held,
		Written: uint64(s.written), Commits: uint64(s.commits), State: "ok",
	}
}
