package broker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

// TestQueueGetsRetained: a new rule gets what was retained before it, once.
func TestQueueGetsRetained(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for i := range 500 {
			s.Publish(&core.Message{Topic: fmt.Sprintf("up/%03d", i), Payload: []byte("old"), QoS: 1, Retain: true})
		}
		s.Publish(&core.Message{Topic: "down", Payload: []byte("not ours"), QoS: 1, Retain: true})
		synctest.Wait()
		cfg := uplink
		cfg.Filters, cfg.Excludes = []string{"up/#", "up/+"}, []string{"up/007"}
		q := attach(t, s, cfg)
		q.Online(64)
		synctest.Wait()
		publish(t, s, "up/new", "new", 1)
		texts, seqs := take(q, 1000)
		for len(texts) < 500 {
			more, s := take(q, 1000)
			texts, seqs = append(texts, more...), append(seqs, s...)
		}
		if texts[0] != "old q1 again=false" || texts[499] != "new q1 again=false" {
			t.Errorf("%d taken, the last is %s", len(texts), texts[len(texts)-1])
		}
		q.Paid(seqs...)
		commit(s)
		s = s.Crash()
		q = attach(t, s, cfg)
		q.Online(64)
		texts, _ = take(q, 10)
		want(t, texts)
	})
}

// TestQueueGetsRetainedOnce: what is published at the moment at which the rule comes
// takes the place of what was retained, and comes once.
func TestQueueGetsRetainedOnce(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		retain := func(p interface{ Publish(*core.Message) error }, topic, payload string) {
			t.Helper()
			if err := p.Publish(&core.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
		}
		for _, topic := range []string{"up/a", "up/b", "up/c"} {
			retain(s, topic, "old "+topic)
		}
		synctest.Wait()
		s.Stop()
		s.Store.Commit()
		b, err := broker.New(broker.Config{}, s.Store)
		if err != nil {
			t.Fatal(err)
		}
		s.Store.Notify(b.Wake)
		q, err := b.Attach(uplink)
		if err != nil {
			t.Fatal(err)
		}
		q.Online(64)
		retain(b, "up/b", "new up/b") // before the broker has looked at what is retained
		retain(b, "up/d", "new up/d")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		texts, _ := take(q, 10)
		want(t, texts, "new up/b q1 again=false", "new up/d q1 again=false", "old up/a q1 again=false", "old up/c q1 again=false")
		stop()
		<-ended
	})
}

// TestQueueGetsRetainedSlowly: none is left out where the disk is slower.
func TestQueueGetsRetainedSlowly(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for i := range 10 {
			s.Publish(&core.Message{Topic: fmt.Sprintf("up/%d", i), Payload: fmt.Append(nil, i), QoS: 1, Retain: true})
		}
		synctest.Wait()
		s.Store.SetTail(3)
		s.Store.Hold(true)
		q := attach(t, s, uplink)
		q.Online(64)
		var got []string
		for range 5 {
			commit(s)
			texts, _ := take(q, 10)
			got = append(got, texts...)
		}
		if len(got) != 10 || got[0] != "0 q1 again=false" || got[9] != "9 q1 again=false" {
			t.Errorf("got %q", got)
		}
		if d := s.Status().Dropped; len(d) > 0 {
			t.Errorf("dropped %v", d)
		}
	})
}
