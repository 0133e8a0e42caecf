package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// tryLogin logs in from one of this machine's addresses, over MQTT 5 (or 3.1.1), and
// gives the answer and how long it took.
func tryLogin(from net.IP, port int, v packet.Version, user, password string) (code packet.Reason, took time.Duration, err error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, 0, err
	}
	hello := packet.Connect{Version: v, CleanStart: true, HasUsername: true, Username: []byte(user), HasPassword: true, Password: []byte(password)}
	began := time.Now()
	if _, err := conn.Write(hello.AppendTo(nil, v)); err != nil {
		return 0, 0, err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return 0, 0, err
	}
	return packet.Reason(head[3]), time.Since(began), nil
}

// pinger is a client that is connected and measures how long its pings take.
type pinger struct {
	conn net.Conn
	took []time.Duration
	stop chan struct{}
	done sync.WaitGroup
	err  error // valid after done
}

func startPinger(t *testing.T, port int, user, password string) *pinger {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	p := &pinger{conn: conn, stop: make(chan struct{})}
	hello := packet.Connect{Version: packet.V311, CleanStart: true, HasUsername: true, Username: []byte(user), HasPassword: true, Password: []byte(password)}
	in := bufio.NewReader(conn)
	answer := make([]byte, 4)
	if _, err := conn.Write(hello.AppendTo(nil, packet.V311)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(in, answer); err != nil || answer[3] != 0 {
		t.Fatalf("not let in: % x %v", answer, err)
	}
	p.done.Go(func() {
		for p.err == nil {
			select {
			case <-p.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			began := time.Now()
			if _, p.err = conn.Write([]byte{0xC0, 0}); p.err == nil {
				_, p.err = io.ReadFull(in, answer[:2])
			}
			p.took = append(p.took, time.Since(began))
		}
	})
	return p
}

// end gives the longest of 99 pings in 100.
func (p *pinger) end(t *testing.T) (p99 time.Duration, n int) {
	t.Helper()
	close(p.stop)
	p.done.Wait()
	p.conn.Close()
	if p.err != nil {
		t.Fatal(p.err)
	}
	slices.Sort(p.took)
	return p.took[len(p.took)*99/100], len(p.took)
}

// TestWrongLoginsBar: 500 wrong logins a second, from one address or from many, hurt
// nobody else. A7.
func TestWrongLoginsBar(t *testing.T) {
	lasts := time.Second
	if long() {
		lasts = 10 * time.Second
	}
	file := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, file, "alice", "secret")
	addUser(t, file, "bob", "secret")
	for name, addresses := range map[string]int{"A7 one address": 1, "A7 200 addresses": 200} {
		t.Run(name, func(t *testing.T) {
			g := startWithUsers(t, file, "")
			p := startPinger(t, g.port, "alice", "secret")
			before, cpuBefore := g.status().Process.RSS, cpu(t, g.cmd.Process.Pid)
			var flood sync.WaitGroup
			var mu sync.Mutex
			codes := map[packet.Reason]int{}
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			n := int(lasts / (2 * time.Millisecond))
			var slowest time.Duration
			for i := range n {
				<-tick.C
				flood.Go(func() {
					code, _, err := tryLogin(net.IPv4(127, 1, 0, byte(1+i%addresses)), g.port, packet.V5, fmt.Sprint("user", i%50), "wrong")
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						codes[code]++
					}
				})
				if i%(n/4) == n/5 { // somebody new, from elsewhere
					flood.Go(func() {
						try := func() (packet.Reason, time.Duration, error) {
							return tryLogin(net.IPv4(127, 2, 0, byte(1+i%200)), g.port, packet.V311, "bob", "secret")
						}
						code, took, err := try()
						for again := 0; again < 10 && errors.Is(err, io.EOF) && !measured(); again++ {
							code, took, err = try() // his turn did not come in time, as busy as the machine is
						}
						mu.Lock()
						defer mu.Unlock()
						if err != nil || code != 0 {
							t.Errorf("bob: %v %v", code, err)
						}
						slowest = max(slowest, took)
					})
				}
			}
			flood.Wait()
			used := cpu(t, g.cmd.Process.Pid) - cpuBefore
			p99, pings := p.end(t)
			st := g.status()
			t.Logf("%d logins in %v: %v; %d checks; others' p99 %v of %d pings; a login from elsewhere at most %v; %v CPU; RSS %+.1f MiB",
				n, lasts, codes, st.Auth.Logins["wrong password"], p99, pings, slowest, used, float64(int64(st.Process.RSS)-int64(before))/(1<<20))
			if codes[0] > 0 || codes[packet.BadUserNameOrPassword] == 0 {
				t.Errorf("answers: %v", codes)
			}
			if long() && p99 > 100*time.Millisecond {
				t.Errorf("p99 is %v", p99)
			}
		})
	}
}

// TestLoginTimingBar: from how long a refusal takes nobody learns who is a user, nor
// how much of a password is right. C14.
func TestLoginTimingBar(t *testing.T) {
	rounds := 8
	if long() {
		rounds = 2500 // 10,000 logins
	}
	const guessers = 4 // at once: a check has to end within the time that a refusal takes
	file := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, file, "alice", "secret")
	addUser(t, file, "carol", "secret", "--scram")
	g := startWithUsers(t, file, "  backoff: {after: 1000}\n")
	logins := [][2]string{{"eve", "wrong"}, {"alice", "wrong"}, {"alice", "swrong"}, {"carol", "wrong"}}
	took := make([][]time.Duration, len(logins))
	var mu sync.Mutex
	var guessing sync.WaitGroup
	next := make(chan int, rounds)
	for i := range rounds {
		next <- i
	}
	close(next)
	for range guessers {
		guessing.Go(func() {
			for i := range next {
				for k, login := range logins {
					code, d, err := tryLogin(net.IPv4(127, byte(3+i/256), byte(i), byte(k+1)), g.port, packet.V5, login[0], login[1])
					mu.Lock()
					if took[k] = append(took[k], d); err != nil || code != packet.BadUserNameOrPassword {
						t.Errorf("%s: %v %v", login[0], code, err)
					}
					mu.Unlock()
				}
			}
		})
	}
	guessing.Wait()
	var medians []time.Duration
	for _, ds := range took {
		slices.Sort(ds)
		medians = append(medians, ds[len(ds)/2])
	}
	low, high := slices.Min(medians), slices.Max(medians)
	t.Logf("%d logins; medians: unknown user %v, wrong password %v, first byte right %v, user of SCRAM %v", rounds*len(logins), medians[0], medians[1], medians[2], medians[3])
	if long() && float64(high) > 1.05*float64(low) {
		t.Error("they differ by more than 5 %")
	}
}
