package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/core"
)

// restore puts the bookkeeping together from what was recovered.
func (l *Log) restore(rec *recovery) error {
	if err := l.loadReceivers(); err != nil {
		return err
	}
	l.segments = rec.segments
	for _, d := range rec.debts {
		r := l.receivers[core.ReceiverID(d.Receiver)]
		if r == nil { // neither a session nor a rule: forgotten,
			d.seg.damaged = d.seg.damaged || rec.stateLost // unless it is we who have forgotten
			continue
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
				r := l.receiver(c.Receiver)
				r.name, r.rule = c.Name, true
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
			if r.rule { // it may have had a larger window
				r.again = max(r.again, inflightMost)
			}
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
		r.keepAhead(at, true)
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
	if l.without {
		return nil
	}
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
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
		if err := l.state.save(rec.next-1, l.seq); err == nil {
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
	b, err := s.readFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || s.remove(name) != nil || s.syncDir(dir) != nil {
		return 0, false
	}
	return core.Seq(n), true
}
