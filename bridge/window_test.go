package bridge

import (
	"testing"
	"time"
	_ "time/tzdata" // a machine may have no zones
)

// TestWindowOnEveryDay: a window is open once a day and as long as on any other, over
// midnight and also on the days on which the clock is put forward and back.
func TestWindowOnEveryDay(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"06:00-06:15", "01:50-02:10", "02:10-02:20", "01:30-01:40", "23:50-00:10"} {
			w, err := parseWindow(text)
			if err != nil {
				t.Fatal(err)
			}
			length := time.Duration((w.end-w.begin+day)%day) * time.Minute
			opened, open := 0, time.Duration(0)
			const step = 5 * time.Minute
			begin, end := time.Date(2026, 1, 1, 12, 0, 0, 0, loc), time.Date(2027, 1, 1, 12, 0, 0, 0, loc)
			for at, was := begin, false; at.Before(end); at = at.Add(step) {
				is := w.has(at)
				if is {
					open += step
				}
				if is && !was {
					opened++
				}
				was = is
			}
			if opened != 365 || open != 365*length {
				t.Errorf("%s in %s: open %d times, for %v in all", text, zone, opened, open)
			}
		}
	}
}
