package bridge

// Parts is the queue of a rule that sends what is new beside a backlog. Each part is
// a queue like any other, with messages of its own in their order; of a message there
// is one, in one of them. Which part is for what is new may be another one with each
// connection.
type Parts struct {
	Queue
	Beside Queue
	Fresh  func() bool // whether Queue is the part for what is new, and not Beside
}

// addParts makes the second outlet of a rule.
func (b *Bridge) addParts(first *outlet, p Parts) {
	second := b.newOutlet(first.rule, p.Beside)
	second.tally, second.second = first.tally, true
	first.beside, first.fresh = second, p.Fresh
	b.outlets = append(b.outlets, second)
}

// takeBeside sends up to n messages: of what is new as much as the share says, of the
// backlog the rest. What one part does not use is the other's.
func (l *link) takeBeside(o *outlet, n int) (sent int) {
	fresh, backlog := o.beside, o
	if o.fresh() {
		fresh, backlog = o, o.beside
	}
	o.credit += float64(n) * l.b.cfg.Drain.LiveShare
	due := int(o.credit)
	o.credit -= float64(due)
	sent = l.takeFrom(fresh, due)
	sent += l.takeFrom(backlog, n-sent)
	return sent + l.takeFrom(fresh, n-sent)
}

// inheritParts lets the parts of a rule count and pause together, as the rule did.
func (b *Bridge) inheritParts() {
	for _, o := range b.outlets {
		if o.beside != nil {
			o.beside.tally = o.tally
			o.beside.paused.Store(o.paused.Load())
		}
	}
}
