//go:build !linux

package simulator

import "time"

func nanosleep(d time.Duration) { time.Sleep(d) }
