package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const devicesConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    backoff: {min: 100ms, max: 500ms}
    out: [{filter: "plant/#", qos: 1}]
adapters:
%s`

// reading is the JSON payload of a reading.
type reading struct {
	TS      time.Time `json:"ts"`
	Value   any       `json:"value"`
	Quality string    `json:"quality"`
	Error   string    `json:"error"`
	Unit    string    `json:"unit"`
}

// readings subscribes at the upstream and decodes what it prints.
type readings struct {
	*process
	t testing.TB
}

func (m *mosquitto) readings(t testing.TB) *readings {
	t.Helper()
	need(t, "mosquitto_sub")
	return &readings{t: t, process: start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(m.port), "-q", "1", "-t", "plant/#", "-F", "%t %p")}
}

// byTopic is what came so far.
func (r *readings) byTopic() map[string][]reading {
	r.t.Helper()
	all := make(map[string][]reading)
	out := r.out.String()
	out = out[:strings.LastIndexByte(out, '\n')+1]
	for line := range strings.Lines(out) {
		topic, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasSuffix(topic, "/set") || strings.HasSuffix(topic, "/ack") {
			continue
		}
		var v reading
		if err := json.Unmarshal([]byte(payload), &v); err != nil {
			r.t.Fatalf("payload on %s: %v\n%s", topic, err, payload)
		}
		all[topic] = append(all[topic], v)
	}
	return all
}

// await waits until each topic has at least n readings.
func (r *readings) await(n int, topics ...string) map[string][]reading {
	r.t.Helper()
	var got map[string][]reading
	eventually(r.t, patience, fmt.Sprintf("%d readings of each of %v", n, topics), func() bool {
		got = r.byTopic()
		for _, topic := range topics {
			if len(got[topic]) < n {
				return false
			}
		}
		return true
	})
	return got
}

const pymodbusDevices = `
    every: 100ms
    topic: "plant/{adapter}/{device}/{point}"
    devices:
      - name: m1
        unit: 1
        points:
          - {name: voltage, register: "input:40", type: float32, unit: V}
          - {name: counter, register: "holding:7", type: uint16, scale: 0.1, offset: 5}
          - {name: pump, register: "coil:4", type: bool}
          - {name: door, register: "discrete:5", type: bool}
          - {name: level, register: "30011", type: int16}
      - name: m2
        unit: 2
        timeout: 500ms
        phase: 20ms
        write_with: multiple
        bit_writes: rewrite
        max_registers: 8
        max_gap: 4
        points:
          - {name: counter, register: "holding:8", type: uint16}
          - {name: mode, register: "holding:10", enum: {1010: normal, 7: away}, writable: true, verify: true, every_command: true}
          - {name: level, register: "holding:20", scale: 0.01, round: 1, min: 0, max: 5, clamp: true}
          - {name: flag, register: "holding:30.2", writable: true}
          - {name: steady, register: "holding:40", deadband: 5%, heartbeat: 10m}
      - name: dead
        unit: 9
        points:
          - {name: nothing, register: "holding:0", type: uint16}
`

// TestModbusToCloud: a slave made of pymodbus, over TCP and over a serial line,
// polled by the gateway and forwarded to a real broker. A dead device on the
// same bus doesn't keep the others' values back.
func TestModbusToCloud(t *testing.T) {
	need(t, "mosquitto", "socat")
	for _, line := range []string{"tcp", "rtu"} {
		t.Run(line, func(t *testing.T) {
			up := startMosquitto(t)
			got := up.readings(t)
			url := startPymodbus(t, line)
			g := startGateway(t, fmt.Sprintf(devicesConfig, up.port, fmt.Sprintf("  - name: bus\n    type: modbus\n    url: %q%s", url, pymodbusDevices)))
			got.await(5, "plant/bus/m1/voltage", "plant/bus/m1/counter", "plant/bus/m1/pump", "plant/bus/m1/door", "plant/bus/m1/level", "plant/bus/m2/counter", "plant/bus/m2/mode", "plant/bus/m2/level", "plant/bus/m2/flag")
			values := got.await(1, "plant/bus/m2/steady")
			for topic, want := range map[string]any{
				"plant/bus/m1/voltage": 230.1, "plant/bus/m1/counter": 105.7, "plant/bus/m1/pump": true,
				"plant/bus/m1/door": false, "plant/bus/m1/level": 2010.0, "plant/bus/m2/counter": 1008.0,
				"plant/bus/m2/mode": "normal", "plant/bus/m2/level": 5.0, "plant/bus/m2/flag": true, "plant/bus/m2/steady": 1040.0,
			} {
				for _, v := range values[topic] {
					if v.Quality != "good" || !same(v.Value, want) {
						t.Errorf("%s: %+v, want %v", topic, v, want)
						break
					}
				}
			}
			for _, v := range values["plant/bus/dead/nothing"] {
				if v.Quality == "good" {
					t.Errorf("a dead device has the value %v", v.Value)
				}
			}
			if n := len(got.byTopic()["plant/bus/m2/steady"]); n != 1 {
				t.Errorf("what does not change was published %d times", n)
			}
			setPymodbus(t, g, got)
			traceLine(t, g)
		})
	}
}

// setPymodbus sets a register and a bit with the functions that m2 is written with.
func setPymodbus(t *testing.T, g *testGateway, got *readings) {
	t.Helper()
	acks := g.arrivals(t, "plant/bus/m2/+/ack")
	begun := time.Now()
	for _, c := range []struct {
		topic, payload string
		ok             bool
	}{{"mode", "away", true}, {"mode", "abroad", false}, {"flag", "false", true}} {
		if out, err := run(t, must(weirBinary()), "pub", "-p", strconv.Itoa(g.port), "-t", "plant/bus/m2/"+c.topic+"/set", "-m", c.payload); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		acks.first("acknowledgement of "+c.payload, begun, func(m arrival) bool {
			return strings.HasPrefix(m.topic, "plant/bus/m2/"+c.topic) && strings.Contains(m.body, fmt.Sprintf(`"ok":%t`, c.ok))
		})
	}
	eventually(t, patience, "the values that were set", func() bool {
		all := got.byTopic()
		mode, flag := all["plant/bus/m2/mode"], all["plant/bus/m2/flag"]
		return mode[len(mode)-1].Value == "away" && flag[len(flag)-1].Value == false
	})
}

// traceLine looks at the line while it is polled.
func traceLine(t *testing.T, g *testGateway) {
	t.Helper()
	eventually(t, patience, "a trace with both devices", func() bool {
		out, code := weir(t, "modbus", "trace", "bus", "--config", g.config, "--for", "2s", "--frames")
		if code != 0 {
			t.Errorf("exit code %d\n%s", code, tail(out, 2000))
		}
		missing := slices.DeleteFunc([]string{"unit 1   read coil:4, 1 = 1\n", "unit 2   read holding:", "    > ", "    < "}, func(want string) bool { return strings.Contains(out, want) })
		if len(missing) > 0 {
			t.Logf("no %q in the trace\n%s", missing, tail(out, 2000))
		}
		return len(missing) == 0
	})
	if out, code := weir(t, "modbus", "trace", "buss", "--config", g.config, "--for", "2s"); code != 1 || !strings.Contains(out, "there is no adapter buss") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func same(got, want any) bool {
	g, ok := got.(float64)
	w, wantNumber := want.(float64)
	if ok && wantNumber {
		return math.Abs(g-w) < 1e-4
	}
	return got == want
}

// startPymodbus runs the slave and gives the URL to poll it at.
func startPymodbus(t *testing.T, line string) string {
	t.Helper()
	python := "/usr/bin/python3" // Debian's, which has Debian's modules
	if out, err := run(t, python, "-c", "import pymodbus, serial_asyncio"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("pymodbus is not installed: %s", out)
		}
		t.Skip("pymodbus is not installed")
	}
	script := filepath.Join("testdata", "pymodbus_server.py")
	if line == "tcp" {
		port := freePort(t)
		start(t, python, script, "tcp", strconv.Itoa(port))
		eventually(t, patience, "a listening pymodbus", func() bool { return listening(port) })
		return fmt.Sprintf("tcp://127.0.0.1:%d", port)
	}
	slave, master := ptyPair(t)
	start(t, python, script, "rtu", slave)
	return "rtu://" + master + "?baud=115200&parity=N"
}

// ptyPair is a serial cable between two pseudo-terminals, made by socat.
func ptyPair(t *testing.T) (a, b string) {
	t.Helper()
	need(t, "socat")
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	start(t, lookPeer("socat"), "PTY,raw,echo=0,link="+a, "PTY,raw,echo=0,link="+b)
	eventually(t, patience, "a PTY pair", func() bool { return fileExists(a) && fileExists(b) })
	return a, b
}

// TestSerialToCloud: sentences and telegrams recorded from real devices reach a
// real broker as readings.
func TestSerialToCloud(t *testing.T) {
	data := filepath.Join(repoRoot(t), "..", "shared", "data")
	if !fileExists(data) {
		t.Skip("the recorded data in ../shared/data is not here")
	}
	for _, c := range []struct {
		name, file, adapter string
		topics              map[string]any // a reading that must be among those of the topic
	}{
		{
			name: "NMEA", file: "nmea/skytraq-fix.nmea",
			adapter: `
    baud: 4800
    framing: {delimiter: "\r\n"}
    checksum: nmea
    parse: {kind: nmea}
    topic: "plant/{adapter}/{field}"`,
			topics: map[string]any{"plant/line/lat": nil, "plant/line/lon": nil},
		},
		{
			name: "P1", file: "p1/v4_2.txt",
			adapter: `
    baud: 115200
    parse: {kind: obis}
    topic: "plant/{adapter}/{field}"`,
			topics: map[string]any{"plant/line/energy_import_t1": 1581.123, "plant/line/power_import": 2.027},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorded, err := os.ReadFile(filepath.Join(data, c.file))
			if err != nil {
				t.Fatal(err)
			}
			up := startMosquitto(t)
			got := up.readings(t)
			device, port := ptyPair(t)
			g := startGateway(t, fmt.Sprintf(devicesConfig, up.port, "  - name: line\n    type: serial\n    port: "+port+c.adapter))
			eventually(t, patience, "running", func() bool {
				s := g.status()
				return s.Adapters[0].State == "running" && s.Bridges[0].State == "connected"
			})
			play(t, device, recorded)
			for topic, want := range c.topics {
				values := got.await(1, topic)[topic]
				found := want == nil
				for _, v := range values {
					found = found || same(v.Value, want)
				}
				if !found {
					t.Errorf("%s: %+v, want %v", topic, values, want)
				}
			}
		})
	}
}

// play writes recorded bytes into a device file, with the line ends of the wire.
func play(t *testing.T, device string, recorded []byte) {
	t.Helper()
	if !bytes.Contains(recorded, []byte("\r\n")) {
		recorded = bytes.ReplaceAll(recorded, []byte("\n"), []byte("\r\n"))
	}
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(recorded); err != nil {
		t.Fatal(err)
	}
}
