package core_test

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

// TestSince: what is known of an age depends on what the clocks knew.
func TestSince(t *testing.T) {
	const (
		in1970 = int64(40 * time.Second)
		in2026 = int64(1_795_000_000) * int64(time.Second)
		in2040 = int64(2_208_988_800) * int64(time.Second) // beyond 32 bits
		hour   = int64(time.Hour)
	)
	for name, tc := range map[string]struct {
		earlier, now core.Stamp
		want         time.Duration
	}{
		"in one boot": {
			core.Stamp{Wall: in2026, Mono: hour, Boot: 1, Synced: true}, core.Stamp{Wall: in2026 + hour, Mono: 2 * hour, Boot: 1, Synced: true}, time.Hour,
		},
		"the clock becomes known": {
			core.Stamp{Wall: in1970, Mono: hour, Boot: 1}, core.Stamp{Wall: in2026, Mono: 2 * hour, Boot: 1, Synced: true}, time.Hour,
		},
		"the clock goes back": {
			core.Stamp{Wall: in2040, Mono: hour, Boot: 1, Synced: true}, core.Stamp{Wall: in2026, Mono: 2 * hour, Boot: 1, Synced: true}, time.Hour,
		},
		"two boots with a clock": {
			core.Stamp{Wall: in2026, Mono: 9 * hour, Boot: 1, Synced: true}, core.Stamp{Wall: in2026 + 3*hour, Mono: hour, Boot: 2, Synced: true}, 3 * time.Hour,
		},
		"past 2038": {
			core.Stamp{Wall: in2026, Mono: hour, Boot: 1, Synced: true}, core.Stamp{Wall: in2040, Mono: hour, Boot: 2, Synced: true}, time.Duration(in2040 - in2026),
		},
		"two boots, the clock went back between": {
			core.Stamp{Wall: in2040, Mono: hour, Boot: 1, Synced: true}, core.Stamp{Wall: in2026, Mono: hour, Boot: 2, Synced: true}, 0,
		},
		"no clock before: at least as long as this boot": {
			core.Stamp{Wall: in1970, Mono: 9 * hour, Boot: 1}, core.Stamp{Wall: in2026, Mono: hour, Boot: 2, Synced: true}, time.Hour,
		},
		"no clock now: at least as long as this boot": {
			core.Stamp{Wall: in2026, Mono: 9 * hour, Boot: 1, Synced: true}, core.Stamp{Wall: in1970, Mono: 2 * hour, Boot: 2}, 2 * time.Hour,
		},
		"of another machine, without a clock": {
			core.Stamp{Wall: in1970}, core.Stamp{Wall: in2026, Mono: hour, Boot: 2, Synced: true}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.now.Since(tc.earlier); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
