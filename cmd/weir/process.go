package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
)

// processStatus is what this process costs, as the kernel counts.
func processStatus() core.ProcessStatus {
	s := core.ProcessStatus{PID: os.Getpid(), Goroutines: runtime.NumGoroutine()}
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		s.CPU = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	}
	s.RSS = procField("/proc/self/status", "VmRSS:") * 1024
	s.Written = procField("/proc/self/io", "write_bytes:")
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.FDs = len(fds)
	}
	return s
}

// procField reads a number behind its name; 0 where there is none.
func procField(path, name string) uint64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64) // 0 when it is no number
			return n
		}
	}
	return 0
}
