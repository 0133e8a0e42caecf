package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// Open opens a store, or makes it. In this order:
//
//  1. the directory is ours: another process that has it is an error;
//  2. meta, with the state up to its checkpoint;
//  3. the segments, each checked; what can not be read goes to quarantine;
//  4. the pages above the checkpoint, replayed into the state;
//  5. positions and what is owed, from the state and the segments' sums;
//  6. numbers are reserved, and the mark of a clean end is taken away, before
//     anything is given out.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	dir, err := prepareDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l, err := open(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), unlock())
	}
	l.lock = unlock
	l.start()
	return l, nil
}

// prepareDir makes the directory. The path must be that which the kernel shows
// in the list of mappings.
func prepareDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("open store: no directory given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make store: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find store: %w", err)
	}
	return filepath.EvalSymlinks(abs)
}

// lockDir keeps a second process out.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	ok, err := lockFile(f)
	if err == nil && !ok {
		owner, _ := os.ReadFile(f.Name())
		err = fmt.Errorf("%s is in use by another process (pid %s)", dir, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if err := f.Truncate(0); err == nil { // the number is for people
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f.Close, nil
}

func open(cfg Config) (*Log, error) {
	ring := newRing(cfg.Dir, cfg.seam, cfg.Logger)
	st, err := openStateOrSetAside(cfg, ring)
	if err != nil {
		return nil, err
	}
	rec, err := recoverRing(ring, st, cfg.Logger)
	if err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	l := &Log{
		cfg:       cfg,
		log:       cfg.Logger,
		state:     st,
		receivers: make(map[core.ReceiverID]*receiver),
		recovered: true,
		ring:      ring,
		jobs:      newMailbox[job](),
		results:   newMailbox[result](),
		fetches:   newMailbox[*fetchJob](),
		found:     newMailbox[*fetched](),
		stop:      make(chan struct{}),
	}
	l.counts.dropped = make(map[core.Reason]uint64)
	l.pending.ticket = 1
	l.health.free = -1
	if free, err := cfg.seam.free(cfg.Dir); err == nil {
		l.health.measure(free, cfg.Reserve)
	}
	l.cleanSeq, l.clean = takeClean(cfg.Dir, cfg.seam)
	if err := l.restore(rec); err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	if err := l.makeWorkers(rec); err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	return l, nil
}

// openStateOrSetAside begins with an empty state when meta is damaged.
func openStateOrSetAside(cfg Config, r *ring) (*state, error) {
	dir := filepath.Join(cfg.Dir, "meta")
	st, err := openState(dir, cfg.seam, cfg.Logger)
	if err == nil || errors.Is(err, errTransient) || errors.Is(err, errNewer) {
		return st, err
	}
	if err := r.setAside(dir, err); err != nil {
		return nil, err
	}
	return openState(dir, cfg.seam, cfg.Logger)
}

func (l *Log) makeWorkers(rec *recovery) error {
	enc, err := newGroupEncoder()
	if err != nil {
		return err
	}
	dec, err := newDecoder()
	if err != nil {
		return err
	}
	l.committer = &committer{
		cfg: l.cfg, log: l.log, seam: l.cfg.seam, ring: l.ring, state: l.state, encoder: enc,
		active: rec.active, resume: rec.resume, holds: rec.holds, owed: debtors{list: rec.holds.Receivers},
		next: rec.next, mark: l.seq,
		jobs: l.jobs, results: l.results, notify: l.cfg.Notify,
	}
	l.committer.owed.reindex()
	l.reader = &reader{
		log: l.log, ring: l.ring, codec: dec,
		jobs: l.fetches, results: l.found, notify: l.cfg.Notify,
	}
	return nil
}

func (l *Log) start() {
	l.workers.Go(func() { l.committer.run(l.stop) })
	l.workers.Go(func() { l.reader.run(l.stop) })
	for _, s := range l.segments {
		l.release(s)
	}
}

// restore puts the bookkeeping together from what was recovered.
func (l *Log) restore(rec *recovery) error {
	if err := l.loadReceivers(); err != nil {
		return err
	}
	l.segments = rec.segments
	for _, d := range rec.debts {
		r := l.receivers[core.ReceiverID(d.Receiver)]
		if r == nil {
			continue // neither a session nor a rule: forgotten
		}
		r.spans = append(r.spans, &span{
			seg: d.seg, page: d.seg.first, count: d.Count, bytes: d.Bytes,
			first: core.Seq(d.First), last: core.Seq(d.Last),
		})
	}
	if err := l.loadPositions(); err != nil {
		return err
	}
	for _, loss := range rec.losses {
		if l.receivers[core.ReceiverID(loss.Receiver)] != nil {
			l.lose(core.ReceiverID(loss.Receiver), core.DroppedUnreadable, loss.Count)
		}
	}
	return l.restoreSeq(rec)
}

// loadReceivers makes those that the state knows.
func (l *Log) loadReceivers() error {
	for _, kind := range []byte{keySession, keyRule} {
		err := l.state.scan([]byte{kind}, func(key, value []byte) error {
			c, err := parseChange(key, value)
			if err != nil {
				return err
			}
			switch c := c.(type) {
			case core.SessionSaved:
				l.receiver(c.Session.Receiver).name = c.Session.ClientID
			case core.RuleSaved:
				l.receiver(c.Receiver).name = c.Name
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("load receivers: %w", err)
		}
	}
	return nil
}

func (l *Log) loadPositions() error {
	records := make(map[core.ReceiverID]positionRecord)
	err := l.state.scan([]byte{keyPosition}, func(key, value []byte) error {
		id, ok := positionOf(key)
		if !ok {
			return fmt.Errorf("%w: key of position", errDamaged)
		}
		var p positionRecord
		_, err := p.UnmarshalMsg(value)
		records[id] = p
		return err
	})
	if err != nil {
		return fmt.Errorf("load positions: %w", err)
	}
	for id, r := range l.receivers {
		r.restore(records[id])
		for _, s := range r.spans {
			if s.owed() > 0 {
				r.onDisk += s.owed()
				s.seg.owing++
			}
		}
		r.settleSpans()
		if r.onDisk > 0 && !l.clean {
			r.again = l.cfg.MaxInflight
		}
	}
	return nil
}

func positionOf(key []byte) (core.ReceiverID, bool) {
	if len(key) != 9 || key[0] != keyPosition {
		return 0, false
	}
	return core.ReceiverID(binary.BigEndian.Uint64(key[1:])), true
}

// restore takes up what was recorded.
func (r *receiver) restore(p positionRecord) {
	r.position, r.sent, r.floor = core.Seq(p.Position), core.Seq(p.Sent), p.Page
	r.cursor, r.page, r.resent = r.position, r.floor, r.sent
	r.last = r.position
	at := r.position
	for _, step := range p.Ahead {
		at += core.Seq(step)
		if r.ahead == nil {
			r.ahead = make(map[core.Seq]struct{})
		}
		r.ahead[at] = struct{}{}
	}
	for _, s := range r.spans {
		r.last = max(r.last, s.last)
		switch {
		case s.seg.first < p.Segment || s.last <= r.position:
			s.paid = s.count
		case s.seg.first == p.Segment:
			s.paid = min(p.Paid, s.count)
			r.skipFrom, r.skip = core.Seq(p.SkipFrom), p.Skip
		default:
			for seq := range r.ahead {
				if seq >= s.first && seq <= s.last {
					s.paid++
				}
			}
		}
	}
}

// Load gives the state as it was at Open. See broker.State.
func (l *Log) Load(visit func(core.Change)) error {
	if !l.recovered {
		return errors.New("load state: it has changed already")
	}
	for _, kind := range loadOrder {
		err := l.state.scan([]byte{kind}, func(key, value []byte) error {
			c, err := parseChange(key, value)
			if err != nil {
				return fmt.Errorf("key of kind %q: %w", kind, err)
			}
			visit(c)
			return nil
		})
		if err != nil {
			return fmt.Errorf("load state: %w", err)
		}
	}
	return nil
}

// The mark of a clean end: the newest number that was given out.
const cleanFile = "CLEAN"

// restoreSeq finds the number to go on with, takes the mark of a clean end away,
// and reserves numbers.
func (l *Log) restoreSeq(rec *recovery) error {
	value, err := l.state.get([]byte{keyReserved})
	if err != nil {
		return fmt.Errorf("read reservation: %w", err)
	}
	if len(value) == 8 {
		l.reserved = core.Seq(binary.BigEndian.Uint64(value))
	}
	l.seq = max(core.Seq(rec.mark), l.reserved)
	if l.clean {
		l.seq = max(core.Seq(rec.mark), l.cleanSeq)
	}
	if l.reserveNow() {
		if err := l.state.apply([]op{reservation(l.seq)}); err != nil {
			return err
		}
		// Where the disk takes nothing now, the reservation rides with the first group.
		if err := l.state.save(checkpointRecord{Page: rec.next - 1, Seq: uint64(l.seq)}); err == nil {
			l.reserved = l.seq + reserveBlock
		}
	}
	return nil
}

// reservation allows the numbers of the next block.
func reservation(seq core.Seq) op {
	return op{
		Kind: opSet, Key: []byte{keyReserved},
		Value: binary.BigEndian.AppendUint64(nil, uint64(seq+reserveBlock)),
	}
}

func reservedBy(ops []op) bool {
	for _, o := range ops {
		if len(o.Key) == 1 && o.Key[0] == keyReserved {
			return true
		}
	}
	return false
}

// takeClean reads the mark of a clean end and removes it.
func takeClean(dir string, s *seam) (seq core.Seq, ok bool) {
	name := filepath.Join(dir, cleanFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || os.Remove(name) != nil || s.syncDir(dir) != nil {
		return 0, false
	}
	return core.Seq(n), true
}

// Close writes what is owed and still in memory, the positions and the
// checkpoint, and marks a clean end. It is called once, when the owner has
// stopped calling other methods, and waits for the disk.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	err := l.flush()
	close(l.stop)
	l.workers.Wait()
	if err == nil {
		err = l.committer.saveState()
	}
	l.committer.encoder.codec.close()
	l.reader.codec.close()
	err = errors.Join(err, l.ring.closeAll(), l.state.close())
	if err == nil {
		err = l.cfg.seam.replaceFile(filepath.Join(l.cfg.Dir, cleanFile), strconv.AppendUint(nil, uint64(l.seq), 10))
	}
	if err := errors.Join(err, l.lock()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// closePatience is how long Close waits for a disk that takes nothing.
const closePatience = 5 * time.Second

// flush gives everything in memory to the committer and waits for it.
func (l *Log) flush() error {
	deadline := time.Now().Add(closePatience)
	for _, r := range l.receivers {
		if r.owed() > 0 { // tell also what was handed out and is not paid
			l.soil(r)
		}
	}
	for {
		now := time.Now()
		if !l.busy {
			if l.tail.live == 0 && l.pending.count == 0 && len(l.dirty) == 0 {
				return nil
			}
			for _, e := range l.tail.entries {
				l.tail.hurry(e, now)
			}
			l.health.positionAt = time.Time{}
			l.dispatch(l.gather(now))
		}
		for l.busy {
			for _, r := range l.results.take() {
				l.finish(r, nobody{})
			}
			if l.busy {
				<-l.results.ready
			}
		}
		if err := l.health.err; err != nil {
			if now.After(deadline) {
				return fmt.Errorf("write what is owed: %w", err)
			}
			time.Sleep(l.health.backoff)
		}
	}
}

// nobody is told what happens while the log closes.
type nobody struct{}

func (nobody) Settled(core.Seq)                               {}
func (nobody) Synced(core.Ticket)                             {}
func (nobody) Fetched(core.ReceiverID, []core.Delivery, bool) {}
func (nobody) Dropped(core.ReceiverID, core.Reason, int)      {}
