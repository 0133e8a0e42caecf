package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// availableMemory is what this process may use: the memory of the machine, or less
// where a control group says so (MemoryMax= of systemd, a container's limit).
func availableMemory() int64 {
	limit := int64(math.MaxInt64)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		limit = int64(uint64(info.Totalram) * uint64(info.Unit))
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil { // a kernel without them
		return limit
	}
	return min(limit, groupLimit("/sys/fs/cgroup", string(groups)))
}

// groupLimit is the least limit of the control groups that groups names, as
// /proc/self/cgroup does, and of those above them. Both versions are understood:
//
//	0::/system.slice/weir.service     version 2
//	4:memory:/system.slice            version 1
func groupLimit(root, groups string) int64 {
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[1] == "":
			limit = min(limit, leastAbove(root, fields[2], "memory.max"))
		case fields[1] == "memory":
			limit = min(limit, leastAbove(filepath.Join(root, "memory"), fields[2], "memory.limit_in_bytes"))
		}
	}
	return limit
}

// leastAbove reads a file of a group and of all above it. What is not there, and "max",
// is no limit.
func leastAbove(root, group, file string) int64 {
	limit := int64(math.MaxInt64)
	for group = filepath.Join("/", group); ; group = filepath.Dir(group) {
		if text, err := os.ReadFile(filepath.Join(root, group, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				limit = min(limit, n)
			}
		}
		if group == "/" {
			return limit
		}
	}
}
