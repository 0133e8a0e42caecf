package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answers lets a simulated device answer what it is asked, in pieces as they come.
func answers(d *os.File, answer func(request []byte) []byte) {
	b := make([]byte, 256)
	for {
		n, err := d.Read(b)
		if err != nil {
			return
		}
		if reply := answer(b[:n]); reply != nil {
			_, _ = d.Write(reply) // fails at the end of the test
		}
	}
}

// heatMeter answers the request for data as the meters 1 and 2 of an M-Bus do, each
// with its address as the energy; 3 is silent.
func heatMeter(request []byte) []byte {
	if len(request) != 5 || request[0] != 0x10 || request[1] != 0x5b || request[3] != request[1]+request[2] || request[4] != 0x16 {
		return nil
	}
	address := request[2]
	if address > 2 {
		return nil
	}
	body := append([]byte{0x08, address, 0x72}, make([]byte, 12)...)
	body = append(body, 0x0c, 0x06, 0x30+address, 0x12, 0x00, 0x00) // BCD, low byte first: 123x
	frame := append([]byte{0x68, byte(len(body)), byte(len(body)), 0x68}, body...)
	sum := byte(0)
	for _, c := range body {
		sum += c
	}
	return append(frame, sum, 0x16)
}

// Devices with addresses on one line, through the binary: each value under its own
// device's topic, and the silent one is told from the others.
func TestSerialAddresses(t *testing.T) {
	link := filepath.Join(t.TempDir(), "bus")
	go answers(serialDevice(t, link), heatMeter)
	g := startSerialGateway(t, serialLine("heat", link, 2400, `
    parity: even
    framing: {length_prefix: {offset: 1, adjust: 6}}
    checksum: {kind: sum8, skip: 4, trailer: 1}
    request: {every: 100ms, timeout: 200ms, send: "\x10\x5b{address:byte}{sum:sum8@1}\x16", expect: {at: 5, bytes: "{address:byte}"}}
    devices: [{name: one, address: 1}, {name: two, address: 2}, {name: three, address: 3}]
    parse: {kind: binary, fields: [{name: energy, at: 21, type: bcd32, order: DCBA, unit: kWh}]}
    topic: "plant/{device}/{field}"`))
	a := g.arrivals(t, "plant/#")
	want := map[string]any{"plant/one/energy": 1231.0, "plant/two/energy": 1232.0, "plant/three/energy": nil}
	seen := make(map[string]int)
	for len(seen) < len(want) || seen["plant/one/energy"] < 5 {
		select {
		case m := <-a.each:
			v, known := want[m.topic]
			if known && m.value == nil && v != nil {
				continue // the answer came too late
			}
			if !known || m.value != v {
				t.Fatalf("%s = %v; want %v", m.topic, m.value, v)
			}
			seen[m.topic]++
		case <-time.After(patience):
			t.Fatalf("seen %v; status %+v", seen, g.status().Adapters)
		}
	}
	eventually(t, patience, "two devices that are up, and one that is not", func() bool {
		d := g.status().Adapters[0].Devices
		return len(d) == 3 && d[0].Up && d[1].Up && !d[2].Up && strings.Contains(d[2].Error, "no answer within 200ms")
	})
}

// thermostat is a device that is asked, and set.
type thermostat struct{ setpoint string }

func (d *thermostat) answer(request []byte) []byte {
	line := string(bytes.TrimSpace(request))
	value, isSet := strings.CutPrefix(line, "SP=")
	switch {
	case isSet && value == "99.0":
		return []byte("ERR 7\r\n")
	case isSet:
		d.setpoint = value
		return []byte("OK\r\n")
	}
	return []byte("t=20.5 sp=" + d.setpoint + "\r\n")
}

// Commands through the binary: acknowledged when the device has, refused with the
// reason, and the readings go on as one document a frame.
func TestSerialCommands(t *testing.T) {
	link := filepath.Join(t.TempDir(), "room")
	go answers(serialDevice(t, link), (&thermostat{setpoint: "18"}).answer)
	g := startSerialGateway(t, serialLine("room", link, 9600, `
    request: {every: 50ms, send: "?\r\n", expect: "t="}
    parse: {kind: kv, fields: [{name: temperature, from: t, unit: "°C"}, {name: setpoint, from: sp}]}
    writes: [{name: setpoint, send: "SP={value:%.1f}\r\n", expect: OK, timeout: 2s, min: 5, max: 99}]
    payload: json-batch
    topic: "plant/{adapter}/{field}"`))
	acks := g.arrivals(t, "plant/room/setpoint/ack")
	command := func(payload, want string) {
		t.Helper()
		if out, code := weir(t, "pub", "-p", strconv.Itoa(g.port), "-t", "plant/room/setpoint/set", "-m", payload); code != exitOK {
			t.Fatalf("pub: exit code %d\n%s", code, out)
		}
		select {
		case m := <-acks.each:
			if !strings.Contains(m.body, want) {
				t.Errorf("set %s: %s; want %s", payload, m.body, want)
			}
		case <-time.After(patience):
			t.Errorf("set %s: no answer", payload)
		}
	}
	command("21.5", `{"ok":true}`)
	command("99", `no answer within 2s, but \"ERR 7\"`)
	command("3", "out of its bounds")
	command("warm", "must be a number")
	out, _ := weir(t, "sub", "-p", strconv.Itoa(g.port), "-t", "plant/room", "-C", "1", "-W", "120")
	if want := `"values":{"temperature":20.5,"setpoint":21.5}`; !strings.Contains(out, want) {
		t.Errorf("document %s; want %s", out, want)
	}
	if s := g.status().Adapters[0]; s.State != "running" {
		t.Errorf("status %+v", s)
	}
}
