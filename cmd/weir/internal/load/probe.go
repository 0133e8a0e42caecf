//go:build linux

package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Probe reads what the kernel counts for the broker's process. The zero Probe,
// for a broker on another machine, reads zeros.
type Probe struct{ PID int }

// CPU is the time that all threads of the process have spent, those that have
// ended included: to the nanosecond, where /proc counts hundredths of a second.
func (p Probe) CPU() (time.Duration, error) {
	if p.PID == 0 {
		return 0, nil
	}
	// The kernel's CPUCLOCK_SCHED of a process, see clock_getcpuclockid(3).
	clock := int32(^p.PID<<3 | 2)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the broker's CPU time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// Memory is the resident memory of the process in bytes, and what of it is its
// own (neither program text nor mapped files).
func (p Probe) Memory() (resident, own int64, err error) {
	if p.PID == 0 {
		return 0, 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, 0, fmt.Errorf("read the broker's memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			resident = kilobytes(rest)
		case "RssAnon":
			own = kilobytes(rest)
		}
	}
	return resident, own, nil
}

func kilobytes(s string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(s), " kB"), 10, 64) // the kernel's own format
	return n << 10
}
