package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestShares holds shared subscriptions to a small model, through any history of
// members that come, go, are silent and end their sessions, and of crashes: a message
// goes to one member; to another only when the first has not acknowledged it at QoS 1
// and has gone; to nobody never, while a member has a session that outlives it; and
// among those who keep up each gets as much.
func TestShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawShareStep), 1, 30).Draw(rt, "steps")
		var failure string
		synctest.Test(t, func(t *testing.T) { failure = newPool(t).run(steps) })
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// shareStep is one thing that happens.
type shareStep struct {
	what   string
	member int
	silent bool // it does not acknowledge
	qos    byte
	count  int
}

func drawShareStep(t *rapid.T) shareStep {
	return shareStep{
		what:   rapid.SampledFrom([]string{"join", "join", "join", "drop", "quit", "end", "publish", "publish", "publish", "crash"}).Draw(t, "what"),
		member: rapid.IntRange(0, 3).Draw(t, "member"),
		silent: rapid.IntRange(0, 2).Draw(t, "silent") == 0,
		qos:    byte(rapid.IntRange(1, 2).Draw(t, "qos")),
		count:  rapid.IntRange(1, 8).Draw(t, "count"),
	}
}

// pool is the broker with one share, and the model of it.
type pool struct {
	t         *testing.T
	s         *brokertest.Server
	publisher *brokertest.Client
	members   []*worker
	tasks     []*task
}

// worker is a member, or was one.
type worker struct {
	id      string
	durable bool
	c       *brokertest.Client // nil: away
	session int                // which of its sessions this is
	in      bool               // it is a member
	silent  bool
	got     int // since it was counted last
}

// task is a message.
type task struct {
	qos     byte
	owed    bool    // it must come
	never   bool    // it must not: there was no member
	holder  *worker // who has had it last
	session int     // of the holder
	done    bool    // and acknowledged it
	freed   bool    // it may go to another
	again   bool    // it may come to its holder again
}

func newPool(t *testing.T) *pool {
	p := &pool{t: t, s: brokertest.Start(t, broker.Config{SysInterval: -1})}
	for i := range 4 {
		p.members = append(p.members, &worker{id: fmt.Sprint("w", i), durable: i < 3})
	}
	p.openPublisher()
	return p
}

func (p *pool) openPublisher() {
	p.publisher = p.s.Pipe()
	p.publisher.Connect(clean("publisher"))
}

func (p *pool) run(steps []shareStep) (failure string) {
	for i, s := range steps {
		p.do(s)
		if failure = p.look(); failure == "" && s.what == "publish" {
			failure = p.fair(s.count)
		}
		if failure != "" {
			return fmt.Sprintf("step %d, %+v: %s", i, s, failure)
		}
	}
	for _, m := range p.members { // all come and work; who has left has perhaps begun something
		if p.drop(m); m.durable {
			p.connect(m, false)
		}
	}
	if failure = p.look(); failure != "" {
		return "at the end: " + failure
	}
	for i, task := range p.tasks {
		if task.owed && !task.done {
			return fmt.Sprintf("at the end: message %d of QoS %d was never done", i, task.qos)
		}
	}
	return ""
}

func (p *pool) do(s shareStep) {
	m := p.members[s.member]
	switch s.what {
	case "join":
		p.join(m, s.silent)
	case "drop":
		p.drop(m)
	case "quit":
		if m.c != nil {
			m.c.Send(&packet.Unsubscribe{PacketID: m.c.NextID(), Filters: [][]byte{[]byte("$share/g/t")}})
			m.in = false
			p.settle()
		}
	case "end":
		if m.durable {
			p.drop(m)
			hello := durable(m.id)
			hello.CleanStart = true
			c := p.s.Pipe()
			c.Connect(hello)
			c.Close()
			p.ended(m)
		}
	case "publish":
		for range s.count {
			p.publish(s.qos)
		}
	case "crash":
		p.crash()
	}
}

func (p *pool) join(m *worker, silent bool) {
	p.connect(m, silent)
	m.c.Send(&packet.Subscribe{PacketID: m.c.NextID(), Filters: []packet.Filter{{Filter: []byte("$share/g/t"), Options: 2}}})
	m.in = true
}

func (p *pool) connect(m *worker, silent bool) {
	p.drop(m)
	hello := clean(m.id)
	if m.durable {
		hello = durable(m.id)
	}
	m.c, m.silent = p.s.Pipe(), silent
	if !silent {
		m.c.AcknowledgeAll()
	}
	m.c.TryConnect(hello)
}

// drop ends a connection, and with it the session of who has one for no longer.
func (p *pool) drop(m *worker) {
	if m.c == nil {
		return
	}
	p.collect(m)
	m.c.Close()
	m.c = nil
	for _, task := range p.tasks {
		if task.holder == m && task.session == m.session && !task.done {
			task.freed, task.again = task.freed || task.qos == 1, true
		}
	}
	if !m.durable {
		p.ended(m)
	}
	synctest.Wait()
	p.settle()
}

// ended: the session is over; what it had begun at QoS 2 goes to nobody.
func (p *pool) ended(m *worker) {
	for _, task := range p.tasks {
		if task.holder == m && task.session == m.session && task.qos == 2 {
			task.owed, task.again = false, false
		}
	}
	m.session++
	m.in = false
	p.settle()
}

// settle: without a member that lasts nothing lasts.
func (p *pool) settle() {
	if p.lasts() {
		return
	}
	for _, task := range p.tasks {
		if !task.done {
			task.owed = false
		}
	}
}

func (p *pool) lasts() bool {
	return slices.ContainsFunc(p.members, func(m *worker) bool { return m.in && m.durable })
}

func (p *pool) publish(qos byte) {
	number := len(p.tasks)
	some := slices.ContainsFunc(p.members, func(m *worker) bool { return m.in })
	p.tasks = append(p.tasks, &task{qos: qos, owed: p.lasts(), never: !some})
	p.publisher.Publish("t", strconv.Itoa(number), qos)
}

// crash kills the broker, after what lazy changes there are have been written. What
// was acknowledged just before may be done again at QoS 1.
func (p *pool) crash() {
	barrier := p.s.Pipe()
	barrier.Connect(durable("barrier"))
	barrier.Subscribe(fmt.Sprint("barrier/", len(p.tasks)), 1)
	for _, m := range p.members {
		p.collect(m)
	}
	p.s = p.s.Crash()
	for _, m := range p.members {
		if m.c != nil {
			m.c = nil
			if !m.durable {
				p.ended(m)
			}
		}
	}
	for _, task := range p.tasks {
		task.again = task.again || !task.done || task.qos == 1
		task.freed = task.freed || task.qos == 1 || !task.holder.lasts()
	}
	p.settle()
	p.openPublisher()
}

// lasts says whether what a member has begun is known after a crash.
func (m *worker) lasts() bool { return m != nil && m.durable }

func (p *pool) look() (failure string) {
	time.Sleep(500 * time.Millisecond)
	synctest.Wait()
	for _, m := range p.members {
		if failure = p.collect(m); failure != "" {
			return failure
		}
	}
	return ""
}

// collect takes what has come to a member.
func (p *pool) collect(m *worker) (failure string) {
	if m.c == nil {
		return ""
	}
	for got, ok := m.c.Poll(); ok; got, ok = m.c.Poll() {
		if got, ok := got.(*packet.Publish); ok && failure == "" {
			failure = p.came(m, got)
		}
	}
	return failure
}

func (p *pool) came(m *worker, got *packet.Publish) (failure string) {
	number, err := strconv.Atoi(string(got.Payload))
	if err != nil {
		return err.Error()
	}
	task := p.tasks[number]
	same := task.holder == m && task.session == m.session
	switch {
	case task.never:
		return fmt.Sprintf("%d came to %s, and there was no member", number, m.id)
	case task.holder == nil, same && task.again:
	case !same && task.freed:
	default:
		return fmt.Sprintf("%d came to %s, and %s has had it", number, m.id, task.holder.id)
	}
	task.holder, task.session, task.done = m, m.session, task.done || !m.silent
	task.freed, task.again = false, false
	m.got++
	return ""
}

// fair: of what was published just now nobody who was there from the beginning and
// keeps up has had more than one more than another.
func (p *pool) fair(count int) (failure string) {
	least, most, all := count, 0, 0
	for _, m := range p.members {
		if m.c != nil && m.in {
			least, most, all = min(least, m.got), max(most, m.got), all+m.got
		}
	}
	silent := slices.ContainsFunc(p.members, func(m *worker) bool { return m.c != nil && m.in && m.silent })
	for _, m := range p.members {
		m.got = 0
	}
	if !silent && all == count && most > least+1 {
		return fmt.Sprintf("of %d one got %d, another %d", count, most, least)
	}
	return ""
}
