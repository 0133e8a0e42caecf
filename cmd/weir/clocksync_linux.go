package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// clockKnown says whether there is evidence that the wall clock is right: the
// kernel was told so by an NTP client, or a battery-backed clock set it at boot.
// A Pi without either starts with the time of its last shutdown, or in 1970.
func clockKnown() bool {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil && t.Status&unix.STA_UNSYNC == 0 {
		return true
	}
	set, err := os.ReadFile("/sys/class/rtc/rtc0/hctosys")
	return err == nil && strings.TrimSpace(string(set)) == "1"
}
