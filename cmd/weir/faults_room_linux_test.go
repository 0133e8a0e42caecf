package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

const roomConfig = `
data_dir: %s
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {reserve: 0}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    backoff: {min: 100ms, max: 500ms}
    out: [{filter: "live/#", qos: 1}]
`

// TestRoom takes from the gateway's disk what it needs, while it runs and before it
// starts: nothing that was acknowledged is lost, nothing is acknowledged that is not
// kept, what is connected gets live values, and it heals by itself.
func TestRoom(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	for _, c := range []struct {
		name    string
		disk    func(testing.TB) *disk
		exhaust func(t *testing.T, dir string)
	}{
		{"files", func(t testing.TB) *disk { return newDisk(t, 96<<20, "-N", "384") }, takeFiles},
		{"quota", newQuotaDisk, takeBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			testRoom(t, c.disk(t), c.exhaust)
		})
	}
}

func testRoom(t *testing.T, d *disk, exhaust func(*testing.T, string)) {
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(roomConfig, filepath.Join(d.mount, "data"), up.port))
	g.connected()
	away(t, g.port, "plant/#")
	arrived := start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(up.port), "-t", "live/#", "-q", "1", "-F", "%p")
	state := func(want string) func() bool {
		return func() bool {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", g.console))
			if err != nil { // it may just be starting
				return false
			}
			defer resp.Body.Close()
			var st core.Status
			return json.NewDecoder(resp.Body).Decode(&st) == nil && st.Buffer.State == want
		}
	}
	// publish says whether a message was acknowledged, and by which word not.
	publish := func(topic, payload string) string {
		out, _ := run(t, lookPeer("mosquitto_pub"), "-V", "mqttv5", "-p", strconv.Itoa(g.port), "-q", "1", "-t", topic, "-m", payload)
		return out
	}
	passes := func(payload string) {
		t.Helper()
		if out := publish("live/a", payload); out != "" {
			t.Errorf("live, %s: %s", payload, out)
		}
		eventually(t, patience, payload+" upstream", func() bool { return strings.Contains(arrived.out.String(), payload) })
	}
	refused := func() {
		t.Helper()
		if out := publish("plant/a", "never"); !strings.Contains(out, "Quota exceeded") {
			t.Errorf("acknowledged without room: %q", out)
		}
	}
	var kept []string
	keep := func(payload string) {
		t.Helper()
		if out := publish("plant/a", payload); out != "" {
			t.Errorf("%s: %s", payload, out)
		}
		kept = append(kept, payload)
	}
	others := filepath.Join(d.mount, "others")
	give := func() {
		t.Helper()
		if err := os.RemoveAll(others); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, patience, "room again", state("ok"))
		t.Logf("healed after %v", time.Since(began).Round(time.Millisecond))
	}

	for _, v := range []packet.Version{packet.V311, packet.V5} {
		stands(t, g.port, v)
	}
	keep("one")
	passes("first")
	exhaust(t, others)
	c := dialRaw(t, g.port, "press", true)
	defer c.Close()
	if _, err := c.Write([]byte{0x32, 14, 0, 7, 'p', 'l', 'a', 'n', 't', '/', 'a', 0, 1, 't', 'w', 'o'}); err != nil { // who finds it out
		t.Fatal(err)
	}
	eventually(t, patience, "full", state("full"))
	refused()
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		withoutRoom(t, g.port, v)
	}
	passes("second")
	if n := c.in.Buffered(); n > 0 {
		t.Error("acknowledged without room")
	}
	give()
	if kind, _ := c.packet(t); kind != packet.PUBACK {
		t.Errorf("what waited for room is answered with %v", kind)
	}
	kept = append(kept, "two")
	keep("three")

	exhaust(t, others)
	g.kill()
	g.start()     // with what little there is, or without its store
	g.connected() // only who is connected gets live values then
	passes("third")
	refused()
	give()
	keep("four")
	for _, v := range []packet.Version{packet.V311, packet.V5} { // nothing was half done
		c := dialSession(t, g.port, fmt.Sprint("late-", v), v)
		if out := publish("never", "x"); !strings.Contains(out, "No matching subscribers") && out != "" {
			t.Errorf("publish: %s", out)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if b, err := c.in.Peek(1); err == nil {
			t.Errorf("MQTT %d: % x came of what was refused", v, b)
		}
	}
	if got := take(t, g.port, "away", len(kept)); got != strings.Join(kept, " ") {
		t.Errorf("the session that was away gets %q, not %q", got, kept)
	}
}

// withoutRoom asks for what would have to be kept, each on a connection of its own: it is
// refused at once, and was nothing.
func withoutRoom(t *testing.T, port int, v packet.Version) {
	t.Helper()
	id := fmt.Sprint("late-", v)
	no, lives := packet.QuotaExceeded, v == packet.V5
	if !lives {
		no = packet.UnspecifiedError
	}
	stands(t, port, v)
	for name, ask := range map[string]packet.Packet{
		"subscribe": &packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("never"), Options: 1}}},
		"QoS 2":     &packet.Publish{Topic: []byte("nobody"), Payload: []byte("x"), QoS: 2, PacketID: 1},
		"retained":  &packet.Publish{Topic: []byte("never"), Payload: []byte("x"), QoS: 1, PacketID: 1, Retain: true},
	} {
		c := dialSession(t, port, id, v)
		if _, err := c.Write(ask.AppendTo(nil, v)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		first, err := c.in.ReadByte()
		if _, subscribes := ask.(*packet.Subscribe); !lives && !subscribes {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s, MQTT %d: not closed: %v", name, v, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, MQTT %d: no answer: %v", name, v, err)
			continue
		}
		_ = c.in.UnreadByte()
		kind, body := c.packet(t)
		if !bytes.Contains(body, []byte{byte(no)}) {
			t.Errorf("%s, MQTT %d: %v (%#x) % x", name, v, kind, first, body)
		}
		c.Close()
	}
}

// stands subscribes to what is granted, and is granted again without room.
func stands(t *testing.T, port int, v packet.Version) {
	t.Helper()
	c := dialSession(t, port, fmt.Sprint("stands-", v), v)
	defer c.Close()
	ask := &packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("stands"), Options: 1}}}
	if _, err := c.Write(ask.AppendTo(nil, v)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if kind, body := c.packet(t); kind != packet.SUBACK || body[len(body)-1] != 1 {
		t.Errorf("%v % x", kind, body)
	}
}

// takeFiles makes files until no more can be made.
func takeFiles(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600) == nil; i++ {
	}
}

// takeBytes writes until no more may be written.
func takeBytes(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "bytes"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
}

// newQuotaDisk is a disk of which only a part may be used, which neither statfs nor
// quotactl tells: a subvolume of btrfs with a limit.
func newQuotaDisk(t testing.TB) *disk {
	t.Helper()
	need(t, "mkfs.btrfs", "btrfs")
	d := newImage(t, 256<<20)
	d.run("mkfs.btrfs", "-q", "-M", d.image)
	d.attach()
	top := d.mount
	d.run("btrfs", "quota", "enable", top)
	d.mount = filepath.Join(top, "limited")
	d.run("btrfs", "subvolume", "create", d.mount)
	d.run("btrfs", "qgroup", "limit", "72M", d.mount)
	return d
}
