package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Connect says when the uplink may stand, on a link that is paid by the minute or
// shared. Its zero value: always.
//
// In a window the bridge connects, whatever waits. Outside it connects when so much
// waits as Owed or Age says, and stays until nothing has been owed for Linger. All
// else is as in an outage: what is owed waits on the disk, QoS 0 is dropped, and the
// upstream keeps for us what we subscribe to.
type Connect struct {
	Windows []string      // "06:00-06:15", "23:50-00:10"; by the local clock
	Owed    int           // messages of QoS 1 and 2; 0: any number may wait
	Age     time.Duration // since the first of what waits now; 0: for ever. After a start it has passed
	Linger  time.Duration // default 10 s
}

func (c Connect) always() bool { return len(c.Windows) == 0 && c.Owed == 0 && c.Age == 0 }

func (c Connect) check(f *faults) {
	for i, w := range c.Windows {
		if _, err := parseWindow(w); err != nil {
			f.check(false, fmt.Sprintf("connect.windows[%d]", i), w, err.Error())
		}
	}
	f.check(c.Owed >= 0, "connect.when_owed", c.Owed, "0 or more")
	f.check(c.Age >= 0, "connect.when_waiting", c.Age, "0 or more")
	f.check(c.Linger >= 0, "connect.linger", c.Linger, "0 or more")
}

// window is a part of each day, in minutes from midnight; end may be before begin.
type window struct{ begin, end int }

const day = 24 * 60

func parseWindow(s string) (window, error) {
	from, to, _ := strings.Cut(s, "-")
	begin, err1 := time.Parse("15:04", strings.TrimSpace(from))
	end, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if err1 != nil || err2 != nil || begin.Equal(end) {
		return window{}, fmt.Errorf("two different times of the day, such as 06:00-06:15")
	}
	return window{minutes(begin), minutes(end)}, nil
}

func minutes(t time.Time) int { return t.Hour()*60 + t.Minute() }

// has says whether the window is open at a moment, by the clock of its place. There is
// one window a day, as long as on any other: where the clock is put forward over its
// begin it opens an hour beside, and where an hour comes twice it does so in one of them.
func (w window) has(now time.Time) bool {
	length := time.Duration((w.end-w.begin+day)%day) * time.Minute
	y, m, d := now.Date()
	for _, d := range []int{d - 1, d} { // it may have begun yesterday
		begin := time.Date(y, m, d, 0, w.begin, 0, 0, now.Location())
		if !now.Before(begin) && now.Sub(begin) < length {
			return true
		}
	}
	return false
}

// schedule is a Connect at work. It belongs to Run, which lends it to watch.
type schedule struct {
	Connect
	windows []window
	waiting time.Time // since when something waits; zero: nothing does
	busy    time.Time // when something was owed last, or a window was open
	looked  bool
}

// newSchedule is nil for always. Validate has looked at the windows.
func newSchedule(c Connect) *schedule {
	if c.always() {
		return nil
	}
	setDefault(&c.Linger, 10*time.Second)
	s := &schedule{Connect: c}
	for _, text := range c.Windows {
		w, err := parseWindow(text)
		if err != nil {
			panic("bridge: " + err.Error())
		}
		s.windows = append(s.windows, w)
	}
	return s
}

// open says whether the uplink may stand now; up, whether it does or tries to.
func (s *schedule) open(now time.Time, owed uint64, up bool) bool {
	first := !s.looked
	s.looked = true
	switch {
	case owed == 0:
		s.waiting = time.Time{}
	case s.waiting.IsZero() && first: // how long is not known
		s.waiting = now.Add(-s.Age)
	case s.waiting.IsZero():
		s.waiting = now
	}
	lazy := s.Owed > 0 || s.Age > 0
	enough := s.Owed > 0 && owed >= uint64(s.Owed) || s.Age > 0 && owed > 0 && now.Sub(s.waiting) >= s.Age
	switch {
	case s.inWindow(now), lazy && enough, lazy && up && owed > 0:
		s.busy = now
		return true
	}
	return lazy && up && now.Sub(s.busy) < s.Linger
}

func (s *schedule) inWindow(now time.Time) bool {
	for _, w := range s.windows {
		if w.has(now.Local()) {
			return true
		}
	}
	return false
}

// until says what the bridge waits for.
func (s *schedule) until(now time.Time) string {
	var parts []string
	if s.Owed > 0 {
		parts = append(parts, fmt.Sprintf("%d messages wait", s.Owed))
	}
	if s.Age > 0 {
		parts = append(parts, fmt.Sprintf("something has waited for %v", s.Age))
	}
	next, nearest := "", day+1
	for i, w := range s.windows {
		if d := (w.begin - minutes(now.Local()) + day) % day; d < nearest {
			next, nearest = strings.TrimSpace(strings.Split(s.Windows[i], "-")[0]), d
		}
	}
	if next != "" {
		parts = append(parts, next)
	}
	return strings.Join(parts, ", or ")
}

// scheduleEvery is how often the schedule is looked at. A clock that is set meanwhile
// counts.
const scheduleEvery = time.Second

// rest waits until the schedule lets the bridge connect; false: ctx has ended.
func (b *Bridge) rest(ctx context.Context) bool {
	for ctx.Err() == nil {
		if b.schedule == nil || b.schedule.open(time.Now(), b.owed(), false) {
			return true
		}
		b.status.resting(b.schedule.until(time.Now()))
		sleep(ctx, scheduleEvery)
	}
	return false
}

// watch calls end when the schedule says so. stop ends it.
func (b *Bridge) watch(ctx context.Context, end func()) (stop func()) {
	if b.schedule == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, scheduleEvery); ctx.Err() == nil; sleep(ctx, scheduleEvery) {
			if !b.schedule.open(time.Now(), b.owed(), true) {
				end()
			}
		}
	}()
	return func() { cancel(); <-done }
}

// owed is what waits, of the rules that are not paused.
func (b *Bridge) owed() (n uint64) {
	for _, o := range b.outlets {
		if !o.paused.Load() {
			n += o.queue.Owed()
		}
	}
	return n
}
