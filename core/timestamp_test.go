package core

import (
	"testing"
	"time"
)

func TestTimestamp(t *testing.T) {
	east := time.FixedZone("east", 7200)
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(1, 999_999_999), time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, east), time.Date(2038, 1, 19, 3, 14, 8, 120_000_000, time.UTC),
	} {
		if got, want := Timestamp(at), at.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
