package adapters

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-edge/weir/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a Bus that keeps what is published.
type recorder struct {
	mu       sync.Mutex
	messages []*core.Message
	deliver  map[string]func(*core.Message)
	refuse   error // of Publish and Subscribe
}

func (r *recorder) Publish(m *core.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.messages = append(r.messages, m)
	return nil
}

func (r *recorder) Subscribe(filter string, deliver func(*core.Message)) (func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return nil, r.refuse
	}
	if r.deliver == nil {
		r.deliver = make(map[string]func(*core.Message))
	}
	r.deliver[filter] = deliver
	return func() { r.mu.Lock(); delete(r.deliver, filter); r.mu.Unlock() }, nil
}

// take gives "TOPIC PAYLOAD" of what was published since it was last asked.
func (r *recorder) take() (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		lines = append(lines, m.Topic+" "+string(m.Payload))
	}
	r.messages = nil
	return lines
}

// at is a stamp so long after a fixed moment.
func at(d time.Duration) core.Stamp {
	moment := time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC).Add(d)
	return core.Stamp{Wall: moment.UnixNano(), Mono: int64(d) + 1, Boot: 7, Synced: true}
}

func output(f Format) Output {
	return Output{Adapter: "meters", Topic: "plant/{adapter}/{device}/{point}", Format: f, QoS: core.AtLeastOnce}
}
