//go:build !linux

package bridge

import (
	"syscall"
	"time"
)

// control: only Linux has TCP_USER_TIMEOUT; elsewhere the keep-alive of MQTT finds out.
func control(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
