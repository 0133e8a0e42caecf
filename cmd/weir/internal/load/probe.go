package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Probe reads what the kernel counts for the broker's process. The zero Probe,
// for a broker on another machine, reads zeros.
type Probe struct{ PID int }

// ticks of a second, in which /proc counts CPU time: the same on every Linux.
const ticks = 100

// CPU is the time that all threads of the process have spent, with that of its
// children that have ended.
func (p Probe) CPU() (time.Duration, error) {
	if p.PID == 0 {
		return 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return 0, fmt.Errorf("read the broker's CPU time: %w", err)
	}
	// The name in parentheses may hold anything; utime is the 12th field behind it.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const utime = 11
	if len(fields) < utime+4 {
		return 0, errors.New("read the broker's CPU time: unexpected format")
	}
	var sum int64
	for _, f := range fields[utime : utime+4] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the broker's CPU time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
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
