package porttest

import (
	"net"
	"testing"
)

// TestFree: a server gets the port that was given, time and again.
func TestFree(t *testing.T) {
	address := Address(t)
	for range 3 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Fatal("somebody listens")
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		conn.Close()
	}
}
