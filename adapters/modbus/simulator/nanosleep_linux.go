package simulator

import (
	"time"

	"golang.org/x/sys/unix"
)

// nanosleep sleeps by the system's clock.
func nanosleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, and the rest is waited for awake
}
