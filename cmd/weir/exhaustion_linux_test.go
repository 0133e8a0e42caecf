package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// memoryGroup is a control group below that of this process, with a limit.
type memoryGroup struct {
	t    *testing.T
	path string
	v1   bool
}

// newMemoryGroup makes one, or skips the test with the reason why there is none.
func newMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skipf("no control groups: %v", err)
	}
	g := &memoryGroup{t: t}
	name := fmt.Sprintf("weir-test-%d", time.Now().UnixNano())
	for line := range strings.Lines(string(own)) {
		switch fields := strings.SplitN(strings.TrimSpace(line), ":", 3); {
		case len(fields) != 3:
		case fields[1] == "memory":
			g.path, g.v1 = filepath.Join("/sys/fs/cgroup/memory", fields[2], name), true
		case fields[1] == "" && g.path == "":
			g.path = filepath.Join("/sys/fs/cgroup", fields[2], name)
		}
	}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		t.Skipf("no control group of one's own: %v", err)
	}
	t.Cleanup(func() { os.Remove(g.path) })
	file := "memory.max"
	if g.v1 {
		file = "memory.limit_in_bytes"
	}
	if err := g.write(file, limit); err != nil {
		t.Skipf("the group has no limit of memory: %v", err)
	}
	if g.v1 {
		err = g.write("memory.memsw.limit_in_bytes", limit)
	} else {
		err = g.write("memory.swap.max", 0)
	}
	if err != nil {
		t.Logf("swap is not limited: %v", err)
	}
	return g
}

func (g *memoryGroup) write(file string, n int64) error {
	return os.WriteFile(filepath.Join(g.path, file), strconv.AppendInt(nil, n, 10), 0)
}

// count is a number behind a word in a file, or the only one in it.
func (g *memoryGroup) count(file, word string) (n int64) {
	text, _ := os.ReadFile(filepath.Join(g.path, file))
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 1 && word == "" || len(fields) == 2 && fields[0] == word {
			n, _ = strconv.ParseInt(fields[len(fields)-1], 10, 64)
		}
	}
	return n
}

// peak is the most memory that the group has had, files in memory included.
func (g *memoryGroup) peak() int64 {
	if g.v1 {
		return g.count("memory.max_usage_in_bytes", "")
	}
	return g.count("memory.peak", "")
}

// kills is how often the system has killed somebody in it for want of memory.
func (g *memoryGroup) kills() int64 {
	if g.v1 {
		return g.count("memory.oom_control", "oom_kill")
	}
	return g.count("memory.events", "oom_kill")
}

// startIn starts a gateway in the group: from its first page on all is counted there.
func (g *testGateway) startIn(group *memoryGroup) {
	g.t.Helper()
	weir, err := weirBinary()
	if err != nil {
		g.t.Fatal(err)
	}
	script := filepath.Join(g.t.TempDir(), "in")
	text := fmt.Sprintf("#!/bin/sh\necho $$ > %s/cgroup.procs && exec %s \"$@\"\n", group.path, weir)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		g.t.Fatal(err)
	}
	g.startAs(script)
}

// attacker is a client that only sends; what it is told is counted by its reason.
type attacker struct {
	t    *testing.T
	conn net.Conn
	w    *bufio.Writer
	v    packet.Version
	told chan map[packet.Reason]int
}

// attack connects as mallory.
func (g *testGateway) attack(t *testing.T, v packet.Version, id string, change func(*packet.Connect)) (*attacker, packet.Reason) {
	t.Helper()
	hello := packet.Connect{Version: v, ClientID: []byte(id), CleanStart: true, HasUsername: true, Username: []byte("mallory"), HasPassword: true, Password: []byte("m")}
	if change != nil {
		change(&hello)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(hello.AppendTo(nil, v)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	p, err := readPacket(in, v)
	ack, ok := p.(*packet.Connack)
	if err != nil || !ok {
		t.Fatalf("no CONNACK: %v", err)
	}
	if ack.Reason != 0 {
		conn.Close()
		return nil, ack.Reason
	}
	conn.SetDeadline(time.Time{})
	a := &attacker{t: t, conn: conn, w: bufio.NewWriterSize(conn, 64<<10), v: v, told: make(chan map[packet.Reason]int, 1)}
	t.Cleanup(func() { conn.Close() })
	go a.listen(in)
	return a, 0
}

func readPacket(in *bufio.Reader, v packet.Version) (packet.Packet, error) {
	for size := 2; ; size++ {
		head, err := in.Peek(size)
		if err != nil {
			return nil, err
		}
		h, n, err := packet.ReadHeader(head)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		b := make([]byte, n+h.Length)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		return packet.Parse(h, b[n:], v)
	}
}

// listen counts answers until the end, or until end has asked for a PINGRESP and this for
// another: the first overtakes acknowledgements of the same turn.
func (a *attacker) listen(in *bufio.Reader) {
	told, pings := map[packet.Reason]int{}, 0
	defer func() { a.told <- told }()
	for {
		p, err := readPacket(in, a.v)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packet.Ack:
			told[p.Reason]++
		case *packet.Suback:
			for _, r := range p.Reasons {
				told[r]++
			}
		case *packet.Disconnect:
			told[p.Reason]++
		case *packet.Pingresp:
			if pings++; pings == 2 {
				return
			}
			a.conn.Write((&packet.Pingreq{}).AppendTo(nil, a.v))
		}
	}
}

// send may find that the gateway has had enough of it.
func (a *attacker) send(p packet.Packet) (ok bool) {
	_, err := a.w.Write(p.AppendTo(nil, a.v))
	return err == nil
}

// end waits for what it was told.
func (a *attacker) end() map[packet.Reason]int {
	a.send(&packet.Pingreq{})
	if a.w.Flush() == nil {
		a.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	}
	return <-a.told
}

// small is what a gateway on the smallest machine has.
const small = 64 << 20

// TestExhaustionInLittleMemory: what an authenticated client can try to use up, with a
// gateway that may have 64 MiB: it lives, and the others are served. WEIR_FAULTS=long is
// the scale of the table. Table D.
func TestExhaustionInLittleMemory(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, users, "alice", "secret")
	addUser(t, users, "mallory", "m")
	n := func(short, full int) int {
		if long() {
			return full
		}
		return short
	}
	for _, row := range []struct {
		name   string
		attack func(t *testing.T, g *testGateway) string
	}{
		{"D1 ids that are never released", func(t *testing.T, g *testGateway) string { return heldIDs(t, g, n(4, 30)) }},
		{"D2 a session that is away", func(t *testing.T, g *testGateway) string { return awaySession(t, g, n(96, 1024)) }},
		{"D3 sessions without end", func(t *testing.T, g *testGateway) string { return endlessSessions(t, g, n(4_500, 100_000)) }},
		{"D4 filters", func(t *testing.T, g *testGateway) string { return manyFilters(t, g, n(30_000, 100_000)) }},
		{"D5 retained topics", func(t *testing.T, g *testGateway) string { return manyRetained(t, g, n(50_000, 1_000_000)) }},
		{"D5 delayed wills", func(t *testing.T, g *testGateway) string { return manyWills(t, g, n(1_000, 10_000)) }},
		{"D6 nobody reads", func(t *testing.T, g *testGateway) string { return nobodyReads(t, g, n(120, 3_000)) }},
		{"D7 again and again", reconnects},
		{"large packets that never come whole", func(t *testing.T, g *testGateway) string { return halfPackets(t, g, n(200, 2_000)) }},
		{"long names of those who are refused", func(t *testing.T, g *testGateway) string { return longNames(t, g, n(500, 5_000)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			group := newMemoryGroup(t, small)
			g := prepareGateway(t, strings.NewReplacer("%USERS%", users, "debug", "info").Replace(usersConfig)+
				"storage: {budget: 128MiB}\nlimits: {reconnect_rate: 10}\n")
			g.startIn(group)
			before := group.kills()
			client := startPinger(t, g.port, "alice", "secret")
			began := time.Now()
			what := row.attack(t, g)
			took := time.Since(began)
			p99, pings := client.end(t)
			code, _ := tryAlice(g)
			t.Logf("%s in %v; the group had %.1f MiB at most, the gateway has %.1f MiB; %d pings, 99 %% in %v, all in %v", what, took.Round(time.Millisecond),
				float64(group.peak())/(1<<20), float64(g.status().Process.RSS)/(1<<20), pings, p99.Round(time.Microsecond), client.took[pings-1].Round(time.Millisecond))
			select {
			case <-g.done:
				t.Errorf("the gateway has ended: %v", g.err)
			default:
			}
			if k := group.kills() - before; k != 0 {
				t.Errorf("%d processes were killed for want of memory", k)
			}
			if code != 0 {
				t.Errorf("alice is not let in: %v", code)
			}
			if slowest := client.took[pings-1]; measured() && slowest > 10*time.Second {
				t.Errorf("a ping took %v", slowest)
			}
			g.kill()
		})
	}
}

func tryAlice(g *testGateway) (packet.Reason, error) {
	code, _, err := tryLogin(net.IPv4(127, 0, 0, 7), g.port, packet.V5, "alice", "secret")
	return code, err
}

func lastingV5(p *packet.Connect) {
	p.CleanStart, p.Properties = false, &packet.Properties{SessionExpiry: new(uint32(0xFFFFFFFF))}
}

// heldIDs: D1. MQTT 3.1.1 has no maximum of ids, so each client holds all of them; and
// one id comes again and again.
func heldIDs(t *testing.T, g *testGateway, clients int) string {
	told := map[packet.Reason]int{}
	for c := range clients {
		a, r := g.attack(t, packet.V311, fmt.Sprint("holder ", c), nil)
		if r != 0 {
			t.Fatal(r)
		}
		for pid := range 65_535 {
			a.send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: uint16(pid + 1)})
		}
		for range 10_000 {
			a.send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 1, Dup: true})
		}
		for r, n := range a.end() {
			told[r] += n
		}
	}
	a, _ := g.attack(t, packet.V5, "five", nil)
	for pid := range 65_535 {
		if !a.send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: uint16(pid + 1)}) {
			break
		}
	}
	if five := a.end(); five[packet.ReceiveMaximumExceeded] != 1 {
		t.Errorf("MQTT 5 was told %v", five)
	}
	return fmt.Sprintf("%d clients that hold all ids were told %v", clients, told)
}

// awaySession: D2, so many MiB.
func awaySession(t *testing.T, g *testGateway, mib int) string {
	away, r := g.attack(t, packet.V5, "away", lastingV5)
	if r != 0 {
		t.Fatal(r)
	}
	away.send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t"), Options: 1}}})
	away.end()
	away.conn.Close()
	told := map[packet.Reason]int{}
	payload := make([]byte, 64<<10) // which does not compress
	seed := uint32(1)
	for i := range payload {
		seed = seed*1664525 + 1013904223
		payload[i] = byte(seed >> 24)
	}
	a, _ := g.attack(t, packet.V311, "filler", nil)
	sent := 0
	for range mib << 20 / len(payload) {
		sent++ // at 3.1.1 a refusal ends the connection
		if !a.send(&packet.Publish{Topic: []byte("t"), Payload: payload, QoS: 1, PacketID: uint16(sent%60_000 + 1)}) {
			for r, n := range a.end() {
				told[r] += n
			}
			if a, r = g.attack(t, packet.V5, "filler", nil); r != 0 {
				t.Fatal(r)
			}
		}
		if a.v == packet.V5 && sent%100 == 0 { // within the receive maximum
			for r, n := range a.end() {
				told[r] += n
			}
			a.conn.Close()
			if a, r = g.attack(t, packet.V5, "filler "+strconv.Itoa(sent), nil); r != 0 {
				t.Fatal(r)
			}
		}
	}
	for r, n := range a.end() {
		told[r] += n
	}
	st := g.status()
	// The policy of sessions is to drop the oldest, counted; who fills is slowed down.
	if mib > 256 && (told[packet.Success] == 0 || len(told) > 1 || st.Broker.Dropped[core.DroppedStoreFull] == 0) {
		t.Errorf("told %v, dropped %v", told, st.Broker.Dropped)
	}
	if st.Buffer.Bytes > 160<<20 {
		t.Errorf("the store has %d MiB", st.Buffer.Bytes>>20)
	}
	return fmt.Sprintf("%d MiB: told %v, dropped %v; the store has %d MiB", mib, told, st.Broker.Dropped, st.Buffer.Bytes>>20)
}

// endlessSessions: D3.
func endlessSessions(t *testing.T, g *testGateway, n int) string {
	told := map[packet.Reason]int{}
	for i := range n {
		a, r := g.attack(t, packet.V5, fmt.Sprintf("%x-%d", uint32(i)*2654435761, i), lastingV5)
		told[r]++
		if a != nil {
			a.conn.Close()
			<-a.told
		}
	}
	st := g.status()
	if told[packet.QuotaExceeded] == 0 || st.Broker.Sessions > 10_000 {
		t.Errorf("told %v, %d sessions", told, st.Broker.Sessions)
	}
	return fmt.Sprintf("%d client ids: told %v; %d sessions", n, told, st.Broker.Sessions)
}

// manyFilters: D4, and a thousand of them overlap.
func manyFilters(t *testing.T, g *testGateway, n int) string {
	told := map[packet.Reason]int{}
	var a *attacker
	for i := 0; i < n; i += 500 {
		if i%20_000 == 0 {
			a, _ = g.attack(t, packet.V5, fmt.Sprint("subscriber ", i), lastingV5)
		}
		p := &packet.Subscribe{PacketID: uint16(i/500 + 1)}
		for k := range 500 {
			p.Filters = append(p.Filters, packet.Filter{Filter: fmt.Appendf(nil, "plant/%d/+/%d/#", i+k, k)})
		}
		a.send(p)
		if i%20_000 == 19_500 || i+500 >= n {
			for r, n := range a.end() {
				told[r] += n
			}
		}
	}
	b, _ := g.attack(t, packet.V5, "overlapping", nil)
	p := &packet.Subscribe{PacketID: 1}
	for i := range 1000 {
		var filter []byte
		for bit := range 10 {
			filter = append(filter, "/a/+"[2*(i>>bit&1):][:2]...)
		}
		p.Filters = append(p.Filters, packet.Filter{Filter: filter})
	}
	b.send(p)
	for r, n := range b.end() {
		told[r] += n
	}
	st := g.status()
	if told[packet.QuotaExceeded] == 0 && n > 20_000 {
		t.Errorf("told %v", told)
	}
	return fmt.Sprintf("%d filters: told %v; %d subscriptions", n+1000, told, st.Broker.Subscriptions)
}

// manyRetained: D5.
func manyRetained(t *testing.T, g *testGateway, n int) string {
	told := map[packet.Reason]int{}
	count := func(m map[packet.Reason]int) {
		for r, n := range m {
			told[r] += n
		}
	}
	a, _ := g.attack(t, packet.V311, "retainer", nil)
	payload := bytes.Repeat([]byte("x"), 200)
	for i := range n {
		a.send(&packet.Publish{Topic: fmt.Appendf(nil, "r/%d/value", i), Payload: payload, Retain: true})
	}
	count(a.end())
	b, _ := g.attack(t, packet.V5, "retainer 5", nil)
	b.send(&packet.Publish{Topic: []byte("r/one/more"), Payload: payload, Retain: true, QoS: 1, PacketID: 1})
	count(b.end())
	st := g.status()
	if told[packet.QuotaExceeded] == 0 || st.Broker.RetainedBytes > 8<<20 {
		t.Errorf("told %v, %d bytes", told, st.Broker.RetainedBytes)
	}
	return fmt.Sprintf("%d topics: %d retained, %d MiB; at QoS 1 told %v", n, st.Broker.Retained, st.Broker.RetainedBytes>>20, told)
}

// manyWills: D5, of 10 KiB, with a delay.
func manyWills(t *testing.T, g *testGateway, n int) string {
	told := map[packet.Reason]int{}
	for i := range n {
		a, r := g.attack(t, packet.V5, fmt.Sprint("will ", i), func(p *packet.Connect) {
			lastingV5(p)
			p.Will = &packet.Will{Topic: []byte("w"), Payload: make([]byte, 10<<10), Properties: &packet.Properties{WillDelay: new(uint32(3600))}}
		})
		told[r]++
		if a != nil {
			a.conn.Close()
			<-a.told
		}
	}
	if told[packet.QuotaExceeded] == 0 {
		t.Errorf("told %v", told)
	}
	return fmt.Sprintf("%d wills: told %v", n, told)
}

// nobodyReads: D6, by many at once.
func nobodyReads(t *testing.T, g *testGateway, n int) string {
	a, _ := g.attack(t, packet.V311, "flood", nil) // and mallory's password is known
	for i := range n {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		hello := packet.Connect{Version: packet.V5, ClientID: fmt.Append(nil, "deaf ", i), CleanStart: true, HasUsername: true, Username: []byte("mallory"), HasPassword: true, Password: []byte("m")}
		b := hello.AppendTo(nil, packet.V5)
		b = (&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("flood/#"), Options: 1}}}).AppendTo(b, packet.V5)
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	payload := make([]byte, 8<<10)
	for range 2000 {
		a.send(&packet.Publish{Topic: []byte("flood/x"), Payload: payload})
	}
	a.end()
	st := g.status()
	if st.Broker.Dropped[core.DroppedQueueFull] == 0 {
		t.Errorf("dropped %v", st.Broker.Dropped)
	}
	return fmt.Sprintf("%d subscribers that do not read, 16 MiB for each: dropped %v", n, st.Broker.Dropped)
}

// reconnects: D7, with a session: 50 at once and 10 a second are let in.
func reconnects(t *testing.T, g *testGateway) string {
	told := map[packet.Reason]int{}
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		<-tick.C
		a, r := g.attack(t, packet.V5, "again", lastingV5)
		told[r]++
		if a != nil {
			a.conn.Close()
			<-a.told
		}
	}
	took := time.Since(began)
	if let := told[packet.Success]; let > 51+int(10*took.Seconds()) || let+told[packet.ConnectionRateExceeded] < 300 {
		t.Errorf("told %v in %v", told, took)
	}
	return fmt.Sprintf("300 in %v: told %v", took.Round(time.Millisecond), told)
}

// halfPackets: of a PUBLISH of 2 MB all but the end comes, from many.
func halfPackets(t *testing.T, g *testGateway, n int) string {
	half := append([]byte{0x30, 0x80, 0x80, 0x7A}, make([]byte, 1_990_000)...)
	ended := 0
	for i := range n {
		a, r := g.attack(t, packet.V5, fmt.Sprint("half ", i), nil)
		if r != 0 {
			t.Fatal(r)
		}
		if _, err := a.conn.Write(half); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			ended++
		}
	}
	if st := g.status(); st.Broker.Refused[packet.QuotaExceeded.String()] == 0 {
		t.Errorf("refused %v", st.Broker.Refused)
	}
	return fmt.Sprintf("%d of %d were ended while they wrote: %v", ended, n, g.status().Broker.Refused)
}

// longNames: strangers call themselves by 60 KiB each, all different.
func longNames(t *testing.T, g *testGateway, n int) string {
	told := map[packet.Reason]int{}
	name := bytes.Repeat([]byte("x"), 60_000)
	for i := range n {
		_, r := g.attack(t, packet.V5, "stranger", func(p *packet.Connect) { p.Username = append(name, strconv.Itoa(i)...) })
		told[r]++
	}
	return fmt.Sprintf("%d names of 60 KiB: told %v", n, told)
}
