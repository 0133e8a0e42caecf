package serial

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const char = 100 * time.Microsecond
	warm := func() *pace {
		p := &pace{charTime: char, short: maxRest, last: time.Unix(0, 0)}
		for range len(p.sizes) {
			p.framed(80)
		}
		return p
	}
	tests := map[string]struct {
		p                *pace
		came, unfinished int
		since, want      time.Duration
	}{
		"at full rate, until the frame's end": {warm(), 80, 20, 8 * time.Millisecond, 60*char + 1600*time.Microsecond},
		"the frame is longer than others":     {warm(), 80, 90, 8 * time.Millisecond, 1600 * time.Microsecond},
		"nothing is known of its frames":      {&pace{charTime: char, short: maxRest, last: time.Unix(0, 0)}, 80, 20, 8 * time.Millisecond, maxRest},
		"faster than the rate: it has none":   {warm(), 500, 20, 8 * time.Millisecond, maxRest},
		"a pause before":                      {warm(), 80, 20, time.Second, maxRest},
		"slower":                              {warm(), 20, 20, 16 * time.Millisecond, maxRest},
		"bounded":                             {warm(), 80, -500, 8 * time.Millisecond, longestRest},
	}
	for name, tt := range tests {
		if got := tt.p.rest(tt.came, tt.unfinished, time.Unix(0, 0).Add(tt.since)); got != tt.want {
			t.Errorf("%s: %v; want %v", name, got, tt.want)
		}
	}
	short := warm()
	short.short = time.Millisecond // a gap must not be slept through
	if got := short.rest(80, 20, time.Unix(0, int64(8*time.Millisecond))); got != time.Millisecond {
		t.Errorf("with an idle gap: %v", got)
	}
	slow := warm()
	slow.charTime = time.Millisecond // 16 ms of it may wait in the UART
	for unfinished, want := range map[int]time.Duration{40: 20 * time.Millisecond, 54: 10 * time.Millisecond, 75: maxRest} {
		slow.last = time.Unix(0, 0)
		if got := slow.rest(20, unfinished, time.Unix(0, int64(20*time.Millisecond))); got != want {
			t.Errorf("a slow line, %d of 80 bytes: %v; want %v", unfinished, got, want)
		}
	}
	p := warm()
	p.framed(30)
	if got := p.shortest(); got != 30 {
		t.Errorf("shortest %d", got)
	}
}
