//go:build !linux

package modbus

import "net"

func newNetLink(conn net.Conn) link { return &netLink{conn} }
