// Package porttest gives tests TCP ports for servers that they start as processes of
// their own, and that are told their port before they listen on it.
package porttest

import (
	"net"
	"strconv"
	"testing"
)

// Free is a port of the loopback that nobody listens on, and that nobody else is given
// until the test ends: no other test and no connection that goes out. (The usual way,
// to listen on port 0 and to close, leaves it to all of them until the server is up,
// and again while it is down.)
func Free(t testing.TB) int {
	t.Helper()
	port, release, err := reserve()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	t.Cleanup(release)
	return port
}

// Address is a free port with its host, 127.0.0.1.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Free(t)))
}
