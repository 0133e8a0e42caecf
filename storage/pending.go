package storage

import (
	"time"

	"github.com/weir-edge/weir/core"
)

// pending holds the changes for the next group, in order. Of several changes of
// one key only the newest stays. It belongs to the owner.
type pending struct {
	list   []core.Change  // nil where a newer change of the same key follows
	at     map[string]int // by key
	count  int
	urgent bool      // one of them does not wait
	since  time.Time // when the first of them came
	ticket core.Ticket
}

func (p *pending) add(c core.Change, lazy bool, now time.Time) {
	if p.at == nil {
		p.at = make(map[string]int)
	}
	if p.count == 0 {
		p.since = now
	}
	key := string(changeKey(c))
	if i, ok := p.at[key]; ok {
		p.list[i] = nil
		p.count--
	}
	p.at[key] = len(p.list)
	p.list = append(p.list, c)
	p.count++
	p.urgent = p.urgent || !lazy
	if len(p.list) > 64 && len(p.list) > 2*p.count {
		p.close()
	}
}

// close closes the holes.
func (p *pending) close() {
	full := p.list
	p.list = make([]core.Change, 0, p.count)
	for _, c := range full {
		if c != nil {
			p.at[string(changeKey(c))] = len(p.list)
			p.list = append(p.list, c)
		}
	}
}

// take empties it.
func (p *pending) take() []core.Change {
	p.close()
	list := p.list
	*p = pending{ticket: p.ticket}
	return list
}

// giveBack puts changes that could not be written before those that came since.
func (p *pending) giveBack(older []core.Change, now time.Time) {
	newer, urgent := p.take(), p.urgent
	for _, c := range older {
		p.add(c, false, now)
	}
	for _, c := range newer {
		p.add(c, !urgent, now)
	}
}

// Record puts a change behind everything appended or recorded before. See
// broker.State.
func (l *Log) Record(c core.Change, lazy bool) core.Ticket {
	l.recovered = false
	l.pending.add(c, lazy, time.Now())
	switch c := c.(type) {
	case core.SessionSaved:
		l.receiver(c.Session.Receiver).name = c.Session.ClientID
	case core.RuleSaved:
		r := l.receiver(c.Receiver)
		r.name, r.rule = c.Name, true
	case core.SessionDropped:
		l.forget(c.Receiver)
	case core.RuleDropped:
		l.forget(c.Receiver)
	}
	return l.pending.ticket
}
