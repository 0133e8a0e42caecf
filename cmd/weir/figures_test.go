package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core/packet"
)

const figuresConfig = `
data_dir: %DATA%
listeners: [{name: lan, address: "%MQTT%"}]
console: {address: "%CONSOLE%"}
storage: {reserve: 0}
`

// TestStoreFigures measures the store in the whole gateway and prints a table; the
// bars are in its last column. It needs a quiet machine and a minute:
//
//	WEIR_FIGURES=1 go test ./cmd/weir -run TestStoreFigures -v
func TestStoreFigures(t *testing.T) {
	if os.Getenv("WEIR_FIGURES") == "" {
		t.Skip("only with WEIR_FIGURES=1")
	}
	need(t, "mosquitto", "mosquitto_sub")
	g := startGateway(t, figuresConfig)
	away(t, g.port, "plant/#")
	m := startMosquitto(t, "persistence false", "max_inflight_messages 0")
	away(t, m.port, "plant/#")

	const turns, each = 5, 20_000
	ours, theirs := 0.0, 0.0
	before := g.written()
	for range turns {
		ours = max(ours, acksPerSecond(t, g.port, each, 200, 200))
		theirs = max(theirs, acksPerSecond(t, m.port, each, 200, 200))
	}
	figure(t, "durable acknowledgements/s, 200 in flight", "%.0f", ours, ">= 30,000")
	figure(t, "the same against mosquitto, from memory", "%.2f", ours/theirs, ">= 0.8")
	figure(t, "bytes to the device per message, these", "%.0f", float64(g.written()-before)/(turns*each), "")
	before = g.written()
	acksPerSecond(t, g.port, 20_000, 100, 200)
	figure(t, "bytes to the device per message, 100 in flight", "%.0f", float64(g.written()-before)/20_000, "<= 350")

	before = g.written()
	acksOf(t, g.port, 20_000, 100, randomPayload)
	figure(t, "the same, random payload of 200 bytes", "%.0f", float64(g.written()-before)/20_000, "<= 600")

	for g.status().Buffer.Messages < 1_000_000 {
		acksPerSecond(t, g.port, 50_000, 1000, 200)
	}
	figure(t, "resident memory with 1,000,000 queued, at the end of the load, MB", "%.1f", float64(g.status().Process.RSS)/1e6, "")
	time.Sleep(tidyAfter + restGap)
	figure(t, "resident memory with 1,000,000 queued, MB", "%.1f", float64(g.status().Process.RSS)/1e6, "<= 40")
	g.kill()
	begun := time.Now()
	g.process = start(t, must(weirBinary()), "run", "--config", g.config)
	for !g.ready() {
		time.Sleep(time.Millisecond)
	}
	figure(t, "ready after SIGKILL with them, ms", "%.0f", float64(time.Since(begun).Milliseconds()), "<= 300")
	figure(t, "resident memory then, MB", "%.1f", float64(g.status().Process.RSS)/1e6, "<= 40")

	queued := g.status().Buffer.Messages
	cpu := g.status().Process.CPU
	drain(t, g.port, int(queued))
	figure(t, "drain of 1,000,000 over MQTT, CPU s", "%.2f", (g.status().Process.CPU-cpu)*1e6/float64(queued), "")
	eventually(t, patience, "given back", func() bool { return g.status().Buffer.Segments <= 1 })
	figure(t, "segments after that", "%.0f", float64(g.status().Buffer.Segments), "<= 1")
}

func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func figure(t *testing.T, name, format string, v float64, bar string) {
	t.Helper()
	t.Logf("%-50s "+format+"   %s", name, v, bar)
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// written is what the gateway has caused to be written to block devices, all of it.
func (g *testGateway) written() int64 {
	unix.Sync()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// away makes a durable session and leaves.
func away(t *testing.T, port int, filter string) {
	t.Helper()
	mustRun(t, "mosquitto_sub", "-p", strconv.Itoa(port), "-c", "-i", "away", "-q", "1", "-t", filter, "-E")
}

// raw is an MQTT connection without a client behind it.
type raw struct {
	net.Conn
	in *bufio.Reader
}

func dialRaw(t *testing.T, port int, id string, clean bool) *raw {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	flags := byte(0)
	if clean {
		flags = 2
	}
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 0, 0, byte(len(id))}, id...)
	r := &raw{c, bufio.NewReaderSize(c, 64<<10)}
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	if kind, _ := r.packet(t); kind != packet.CONNACK {
		t.Fatalf("no CONNACK but %v", kind)
	}
	return r
}

// dialSession is dialRaw for a session that stays, in a version of MQTT.
func dialSession(t *testing.T, port int, id string, v packet.Version) *raw {
	t.Helper()
	hello := &packet.Connect{Version: v, ClientID: []byte(id)}
	if v == packet.V5 {
		hello.Properties = &packet.Properties{SessionExpiry: new(uint32(3600))}
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &raw{conn, bufio.NewReader(conn)}
	if _, err := conn.Write(hello.AppendTo(nil, v)); err != nil {
		t.Fatal(err)
	}
	if kind, _ := r.packet(t); kind != packet.CONNACK {
		t.Fatalf("no CONNACK but %v", kind)
	}
	return r
}

// packet reads one packet.
func (r *raw) packet(t *testing.T) (kind packet.Type, body []byte) {
	t.Helper()
	first, err := r.in.ReadByte()
	length, shift := 0, 0
	for err == nil {
		var b byte
		b, err = r.in.ReadByte()
		length |= int(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if body, err = r.in.Peek(length); err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Discard(length); err != nil {
		t.Fatal(err)
	}
	return packet.Type(first >> 4), body
}

// acksPerSecond publishes n messages of about so many bytes.
func acksPerSecond(t *testing.T, port, n, window, bytes int) float64 {
	t.Helper()
	return acksOf(t, port, n, window, func(i int) []byte {
		payload := fmt.Sprintf(`{"ts":"2026-11-22T10:00:%06d","value":%d.%d,"quality":"good","unit":"V"}`, i, 220+i%17, i*7919%1000)
		return []byte(payload + padding[:min(len(padding), max(0, bytes-len(payload)))])
	})
}

// acksOf publishes n messages with these payloads.
func acksOf(t *testing.T, port, n, window int, payloadOf func(i int) []byte) float64 {
	t.Helper()
	c := dialRaw(t, port, "press", true)
	defer c.Close()
	begun := time.Now()
	var out []byte
	for sent, acked := 0, 0; acked < n; {
		out = out[:0]
		for ; sent < n && sent-acked < window; sent++ {
			payload := payloadOf(sent)
			out = append(out, 0x32)
			out = appendLength(out, 2+7+2+len(payload))
			out = append(out, 0, 7, 'p', 'l', 'a', 'n', 't', '/', byte('a'+sent%8))
			id := sent%60_000 + 1
			out = append(append(out, byte(id>>8), byte(id)), payload...)
		}
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		for first := true; acked < sent && (first || c.in.Buffered() >= 4); first = false {
			if kind, _ := c.packet(t); kind != packet.PUBACK {
				t.Fatalf("no PUBACK but %v", kind)
			}
			acked++
		}
	}
	return float64(n) / time.Since(begun).Seconds()
}

func randomPayload(int) []byte { return randomBytes(200) }

// randomBytes can not be compressed.
func randomBytes(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.BigEndian.AppendUint64(b, rand.Uint64())
	}
	return b[:n]
}

func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// drain takes what the session that was away is owed.
func drain(t *testing.T, port, n int) {
	t.Helper()
	c := dialRaw(t, port, "away", false)
	defer c.Close()
	var out []byte
	for got := 0; got < n; {
		kind, body := c.packet(t)
		if kind != packet.PUBLISH {
			continue
		}
		at := 2 + int(body[0])<<8 + int(body[1])
		out = append(out, 0x40, 2, body[at], body[at+1])
		got++
		if c.in.Buffered() == 0 || got == n {
			if _, err := c.Write(out); err != nil {
				t.Fatal(err)
			}
			out = out[:0]
		}
	}
}
