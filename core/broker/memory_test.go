package broker

import "testing"

func TestSharesOfMemory(t *testing.T) {
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		memory int64
		want   Limits
	}{
		"not known": {0, Limits{MaxQueuedBytes: 256 * mib, MaxRetainedBytes: 256 * mib, MaxWillBytes: 64 * mib, MaxPendingBytes: 256 * mib, MaxSessions: 100_000, MaxAllSubscriptions: 1_000_000}},
		"8 GiB":     {8192 * mib, Limits{MaxQueuedBytes: 256 * mib, MaxRetainedBytes: 256 * mib, MaxWillBytes: 64 * mib, MaxPendingBytes: 256 * mib, MaxSessions: 100_000, MaxAllSubscriptions: 1_000_000}},
		"64 MiB":    {64 * mib, Limits{MaxQueuedBytes: 4 * mib, MaxRetainedBytes: 8 * mib, MaxWillBytes: 2 * mib, MaxPendingBytes: 4 * mib, MaxSessions: 4096, MaxAllSubscriptions: 16_384}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Config{Limits: Limits{Memory: tc.memory}}.withDefaults().Limits
			got = Limits{MaxQueuedBytes: got.MaxQueuedBytes, MaxRetainedBytes: got.MaxRetainedBytes, MaxWillBytes: got.MaxWillBytes, MaxPendingBytes: got.MaxPendingBytes, MaxSessions: got.MaxSessions, MaxAllSubscriptions: got.MaxAllSubscriptions}
			if got != tc.want {
				t.Errorf("got %+v", got)
			}
		})
	}
	asked := Config{Limits: Limits{Memory: 64 * mib, MaxRetainedBytes: 100 * mib}}.withDefaults().Limits
	if asked.MaxRetainedBytes != 100*mib {
		t.Error("what was asked for is not what holds")
	}
}
