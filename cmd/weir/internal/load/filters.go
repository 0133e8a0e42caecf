//go:build linux

package load

import "fmt"

// subscriptions measures what many filters cost: each filter itself, and the
// messages that match only a few of them.
//
// Count exact filters and a tenth as many with wildcards are spread over
// filterConnections. First a hundredth of them is there, then all: the same
// messages, to the same topics, are published both times, so that what grows is
// the number of subscriptions that have nothing to do with them. A last part
// publishes to all topics, which costs the caches of the processor more.
func (r *run) subscriptions() error {
	few := max(r.o.Count/100, 1)
	r.o.QoS, r.o.Subscribers = 0, min(filterConnections, few)
	f := newFlow(r)
	f.subs = f.listeners(0, few)
	for range r.o.Publishers {
		f.publisher(exactTopics(r.prefix(), 0, few)...)
	}
	if err := f.connect(); err != nil {
		return err
	}
	base, n, err := f.measured()
	if err != nil {
		return err
	}
	filters, err := f.grow(few)
	if err != nil {
		return err
	}
	grown, m, err := f.measured()
	if err != nil {
		return err
	}
	r.account(grown, m, &f.latency)
	for _, p := range f.pubs {
		p.topics = exactTopics(r.prefix(), 0, r.o.Count)
	}
	spread, k, err := f.measured()
	if err != nil {
		return err
	}
	f.count()
	few += few / 10
	r.result.add(fmt.Sprintf("CPU per message at %d filters", few), each(base.broker, n), "us")
	r.result.add(fmt.Sprintf("CPU per message at %d filters", few+filters), each(grown.broker, m), "us")
	r.result.add("growth", each(grown.broker, m)/max(each(base.broker, n), 1e-9), "x")
	r.result.add("CPU per message to all topics", each(spread.broker, k), "us")
	return nil
}

const filterConnections = 100

// listeners makes subscribers for the filters from first to before end.
func (f *flow) listeners(first, end int) []*subscriber {
	n := f.run.o.Subscribers
	subs := make([]*subscriber, n)
	for i := range subs {
		subs[i] = &subscriber{flow: f}
	}
	for i := first; i < end; i++ {
		s := subs[i%n]
		s.filters = append(s.filters, exactTopic(f.run.prefix(), i))
		if i%10 == 0 {
			s.filters = append(s.filters, fmt.Sprintf("%s/+/x%d/#", f.run.prefix(), i))
		}
	}
	return subs
}

func exactTopic(prefix string, i int) string {
	return fmt.Sprintf("%s/a%d/d%d/v", prefix, i%1000, i)
}

func exactTopics(prefix string, first, end int) []string {
	topics := make([]string, 0, end-first)
	for i := first; i < end; i++ {
		topics = append(topics, exactTopic(prefix, i))
	}
	return topics
}

// grow subscribes to the other filters, and says how many and what they cost.
func (f *flow) grow(few int) (filters int, err error) {
	r := f.run
	before, err := r.memory()
	if err != nil {
		return 0, err
	}
	more := f.listeners(few, r.o.Count)
	c, err := r.measure(func() error {
		for i, s := range more {
			filters += len(s.filters)
			f.subs[i].conn.subscribe(0, s.filters...)
			if err := f.subs[i].conn.flush(); err != nil {
				return err
			}
		}
		return r.await()
	})
	if err != nil {
		return 0, err
	}
	after, err := r.memory()
	r.result.add("memory per filter", float64(after-before)/float64(filters), "B")
	r.result.add("CPU per filter", each(c.broker, filters), "us")
	return filters, err
}
