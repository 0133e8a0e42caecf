package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core/porttest"
)

// mbpoll is a master that nobody here wrote.
func mbpoll(t *testing.T, address, value string, args ...string) (out string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("mbpoll")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("mbpoll is not installed")
		}
		t.Skip("mbpoll is not installed")
	}
	host, port, _ := net.SplitHostPort(address)
	args = append([]string{"-m", "tcp", "-p", port, "-1", "-0", "-o", "10"}, append(args[:len(args):len(args)], host)...)
	if value != "" {
		args = append(args, value)
	}
	b, err := exec.Command(path, args...).CombinedOutput()
	return string(b), err == nil
}

// Another master reads and writes over the proxy, while we poll the same line.
func TestPeerMbpollProxy(t *testing.T) {
	s := simulator.New()
	u := s.Unit(1)
	u.Set(simulator.Holdings, 0, 100, 101, 102)
	u.Set(simulator.Coils, 0, 0, 1)
	for name, c := range map[string]struct {
		proxy Proxy
		args  []string
		value string // to write
		want  string // in the output
		fails bool
	}{
		"read":                {Proxy{}, []string{"-a", "1", "-r", "0", "-c", "3", "-t", "4"}, "", `\[1\]:\s+101`, false},
		"read coils":          {Proxy{}, []string{"-a", "1", "-r", "0", "-c", "2", "-t", "0"}, "", `\[1\]:\s+1`, false},
		"no such register":    {Proxy{}, []string{"-a", "1", "-r", "50", "-c", "1", "-t", "4"}, "", `Illegal data address`, true},
		"no such device":      {Proxy{}, []string{"-a", "9", "-r", "0", "-c", "1", "-t", "4"}, "", `Target device failed to respond`, true},
		"write is refused":    {Proxy{}, []string{"-a", "1", "-r", "0", "-t", "4"}, "77", `Illegal function`, true},
		"unit is not allowed": {Proxy{Units: []int{2}}, []string{"-a", "1", "-r", "0", "-c", "1", "-t", "4"}, "", `Gateway path unavailable`, true},
		"write":               {Proxy{Writable: true}, []string{"-a", "1", "-r", "2", "-t", "4"}, "55", `Written 1 ref`, false},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			c.proxy.Address = porttest.Address(t)
			timeout := 10 * time.Second // nobody here is late
			if name == "no such device" {
				timeout = 300 * time.Millisecond
			}
			bus := newRecorder()
			a := newAdapter(t, Config{URL: serveTCP(t, s), Timeout: timeout, Proxy: c.proxy, Devices: []Device{{Name: "d", Unit: 1, Every: 10 * time.Millisecond, Points: []Point{{Name: "p", Register: "holding:0"}}}}})
			stop := start(t, a, bus)
			bus.await(t, "a value", func(m map[string]readingDoc) bool { return m["p/d/p"].Value == 100.0 })
			out, ok := mbpoll(t, c.proxy.Address, c.value, c.args...)
			if !regexp.MustCompile(c.want).MatchString(out) || ok == c.fails {
				t.Errorf("mbpoll says\n%s", out)
			}
			stop()
		})
	}
	if got := u.Get(simulator.Holdings, 2); got != 55 {
		t.Errorf("register is %d", got)
	}
}

// A request may not be longer than its function has it: on a serial line a device
// takes the rest for a request of its own.
func TestProxySmuggling(t *testing.T) {
	s := simulator.New()
	u := s.Unit(1)
	u.Set(simulator.Holdings, 0, 100, 101)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.ServeRTUOverTCP(ctx, ln, simulator.Wire{}) }()
	t.Cleanup(func() { cancel(); <-served })
	frame := func(body string) []byte {
		b := unhex(t, body)
		return binary.LittleEndian.AppendUint16(b, crc16(b))
	}
	smuggled := slices.Concat(frame("01 03 0000 0001"), frame("01 06 0001 BEEF"))[1:] // the unit is in the header

	address := porttest.Address(t)
	a := newAdapter(t, Config{URL: "rtu+tcp://" + ln.Addr().String(), Timeout: 10 * time.Second, Proxy: Proxy{Address: address}, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}})
	bus := newRecorder()
	start(t, a, bus)
	bus.await(t, "a value", func(m map[string]readingDoc) bool { return m["p/d/p"].Value == 100.0 })
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []struct {
		request []byte
		want    string
	}{
		{smuggled, "8303"},
		{unhex(t, "03 0000 0001"), "03020064"},
	} {
		head := []byte{0, 1, 0, 0, 0, byte(1 + len(c.request)), 1}
		if _, err := conn.Write(append(head, c.request...)); err != nil {
			t.Fatal(err)
		}
		want := unhex(t, c.want)
		answer := make([]byte, tcpHeader+len(want))
		if _, err := io.ReadFull(conn, answer); err != nil || !bytes.Equal(answer[tcpHeader:], want) {
			t.Errorf("% x is answered by % x, %v; want % x", c.request, answer[tcpHeader:], err, want)
		}
	}
	if got := u.Get(simulator.Holdings, 1); got != 101 {
		t.Errorf("register is %#x: it was written", got)
	}
}

func TestWholeRequest(t *testing.T) {
	for request, want := range map[string]bool{
		"03 0000 0001":                            true,
		"03 0000 0001 00":                         false,
		"05 0000 FF00":                            true,
		"06 0000 1234 5678":                       false,
		"0F 0000 0009 02 FFFF":                    true,
		"0F 0000 0009":                            false,
		"0F 0000 0009 02 FF":                      false,
		"10 0000 0001 02 1234":                    true,
		"10 0000 0001 02 1234 56":                 false,
		"11":                                      true,
		"16 0000 FFFF 0001":                       true,
		"16 0000 FFFF 0001 00":                    false,
		"17 0000 0001 0000 0001 02 1234":          true,
		"17 0000 0001 0000 0001 02 1234 01 06 00": false,
		"17 0000 0001 0000":                       false,
		"18 0000":                                 true,
		"2B 0E 01 00":                             true,
	} {
		if got := wholeRequest(unhex(t, request)); got != want {
			t.Errorf("%s: %v, want %v", request, got, want)
		}
	}
}
