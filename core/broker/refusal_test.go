package broker

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

func TestRefusal(t *testing.T) {
	const window = 4
	begun := time.Unix(1_000_000, 0)
	refused := &core.Message{Topic: "a", Payload: []byte("refused")}
	other := &core.Message{Topic: "a", Payload: []byte("other")}
	for _, c := range []struct {
		name   string
		told   time.Duration // when the client was told of all so far; 0: never
		comes  *core.Message
		at     time.Duration
		before int // others that have come in between
		want   bool
	}{
		{"another, at once", 0, other, 0, 0, true},
		{"another, long after, but the client was never told", 0, other, time.Hour, 0, true},
		{"another, soon after the client was told", time.Minute, other, time.Minute + refusalLasts, 0, true},
		{"another, when the client knew", time.Minute, other, time.Minute + refusalLasts + 1, 0, false},
		{"the same", 0, refused, 0, 2, false},
		{"the last of a window", 0, other, 0, window - 1, true},
		{"the first behind a window", 0, other, 0, window, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r refusal
			r.begin(refused, window, begun)
			for range c.before {
				r.covers(other, begun)
			}
			if c.told > 0 {
				for range 1 + c.before {
					r.told(begun.Add(c.told))
				}
			}
			if got := r.covers(c.comes, begun.Add(c.at)); got != c.want {
				t.Errorf("refused: %t", got)
			}
		})
	}
}
