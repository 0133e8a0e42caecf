package main

import (
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// hostile are connections that never become clients: what each sends once it is there.
var hostile = []func(net.Conn) error{
	func(net.Conn) error { return nil }, // silence
	func(c net.Conn) error { // a CONNECT of 256 MiB, and some of it
		_, err := c.Write(append([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, make([]byte, 8<<10)...))
		return err
	},
	func(c net.Conn) error { // nearly all of the largest CONNECT that is waited for
		_, err := c.Write(append([]byte{0x10, 0x80, 0x80, 0x02}, make([]byte, 16<<10)...))
		return err
	},
	func(c net.Conn) error { // the beginning of one
		_, err := c.Write([]byte{0x10, 0x20, 0, 4, 'M', 'Q'})
		return err
	},
}

// TestHostileConnectionsBar: 10,000 connections that are nobody's (2,000 without
// WEIR_FAULTS=long) cost 16 MiB at most, end within 5 s, and do not keep a client waiting.
// A1, A2, A3 and A6 together. (Times are only a failure where they are measured.)
func TestHostileConnectionsBar(t *testing.T) {
	n := 2000
	if long() {
		n = 10_000
	}
	file := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, file, "alice", "secret")
	g := startWithUsers(t, file, "")
	client := startPinger(t, g.port, "alice", "secret")
	before := g.status().Process.RSS
	var (
		mu      sync.Mutex
		longest time.Duration
		open    sync.WaitGroup
	)
	peak := before
	began := time.Now()
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%200+1))}}
		c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
		if err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		_ = hostile[i%len(hostile)](c) // it may be closed by now
		open.Go(func() {
			defer c.Close()
			_, _ = c.Read(make([]byte, 1)) // waits for the end
			mu.Lock()
			longest = max(longest, time.Since(since))
			mu.Unlock()
		})
		if i%250 == 0 {
			peak = max(peak, g.status().Process.RSS)
		}
	}
	for range 4 {
		time.Sleep(time.Second)
		peak = max(peak, g.status().Process.RSS)
	}
	open.Wait()
	p99, pings := client.end(t)
	slowest := client.took[len(client.took)-1]
	t.Logf("%d hostile connections in %v: %.1f MiB more (of %.1f MiB), closed after %v at the latest; %d pings, 99 %% in %v, all in %v; %v", n, time.Since(began).Round(time.Millisecond),
		float64(peak-before)/(1<<20), float64(peak)/(1<<20), longest.Round(time.Millisecond), pings, p99.Round(time.Microsecond), slowest.Round(time.Millisecond), g.status().Broker.Refused)
	if grown := peak - before; grown > 16<<20 || peak > 64<<20 {
		t.Errorf("%d MiB more, %d MiB in all", grown>>20, peak>>20)
	}
	if measured() && longest > 6*time.Second { // 5 s, and one for a busy machine
		t.Errorf("a connection was open for %v", longest)
	}
	if measured() && slowest > time.Second {
		t.Errorf("a ping took %v", slowest)
	}
}
