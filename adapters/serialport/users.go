package serialport

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// User is a process that has a device open.
type User struct {
	PID     int    `json:"pid"`
	Process string `json:"process"` // its name
	Locked  bool   `json:"locked"`  // it has asked for it alone
}

// Users are the processes that have the device open, as far as /proc shows them:
// those of other users only to root.
func Users(device string) []User {
	path, err := filepath.EvalSymlinks(device)
	if err != nil {
		return nil
	}
	holder := lockHolder(path)
	var users []User
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		proc := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(proc))
		if n := len(users); err != nil || n > 0 && users[n-1].PID == pid {
			continue // it has the device open twice, as we do
		}
		name, _ := os.ReadFile(filepath.Join(proc, "comm"))
		users = append(users, User{PID: pid, Process: strings.TrimSpace(string(name)), Locked: pid == holder})
	}
	return users
}

// lockHolder is the process that has locked a file, as /proc/locks tells; 0: none, or
// it isn't shown.
//
//	1: FLOCK  ADVISORY  WRITE 1234 00:1b:3 0 EOF
func lockHolder(path string) int {
	inode, ok := inodeOf(path)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != inode {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
