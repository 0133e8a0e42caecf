package modbus

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/porttest"
)

// Slaves that nobody here wrote: libmodbus' example server, which misbehaves on
// purpose at some addresses, and pymodbus. Both over TCP, and over RTU through a
// pair of pseudo-terminals made by socat.

// missing ends a test because a peer isn't installed: by name, and not in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("%s is not installed", what)
}

// run starts a program that lives as long as the test.
func run(t *testing.T, name string, args ...string) *bytes.Buffer {
	t.Helper()
	out := new(bytes.Buffer)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%.4000s", name, out)
		}
	})
	return out
}

// ptyPair is a serial line with two ends.
func ptyPair(t *testing.T) (master, slave string) {
	t.Helper()
	socat, err := exec.LookPath("socat")
	if err != nil {
		missing(t, "socat")
	}
	dir := t.TempDir()
	master, slave = filepath.Join(dir, "master"), filepath.Join(dir, "slave")
	run(t, socat, "pty,raw,echo=0,link="+master, "pty,raw,echo=0,link="+slave)
	eventually(t, "the pseudo-terminals", func() bool {
		_, err := os.Stat(master)
		_, err2 := os.Stat(slave)
		return err == nil && err2 == nil
	})
	return master, slave
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no %s", what)
		}
	}
}

// libmodbusServer compiles the example server, so that it takes port or device
// from its command line.
func libmodbusServer(t *testing.T) string {
	t.Helper()
	const examples = "/usr/share/doc/libmodbus-dev/examples"
	source, err := os.ReadFile(filepath.Join(examples, "unit-test-server.c"))
	if err != nil {
		missing(t, "libmodbus-dev (with its examples)")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		missing(t, "gcc")
	}
	patched := strings.NewReplacer(
		`"127.0.0.1", 1502`, `"127.0.0.1", atoi(argv[2])`,
		`"/dev/ttyUSB0"`, `argv[2]`,
	).Replace(string(source))
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "server.c"), filepath.Join(dir, "server")
	if err := os.WriteFile(file, []byte(patched), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", "-w", "-I", examples, "-I", "/usr/include/modbus", "-o", binary, file, "-lmodbus").CombinedOutput()
	if err != nil {
		t.Fatalf("compile libmodbus' example server: %v\n%s", err, out)
	}
	return binary
}

func TestPeerLibmodbus(t *testing.T) {
	t.Parallel()
	server := libmodbusServer(t)
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		port := strconv.Itoa(porttest.Free(t))
		run(t, server, "tcp", port)
		testLibmodbus(t, "tcp://127.0.0.1:"+port)
	})
	t.Run("rtu", func(t *testing.T) {
		t.Parallel()
		master, slave := ptyPair(t)
		run(t, server, "rtu", slave)
		testLibmodbus(t, "rtu://"+master+"?baud=115200&parity=N")
	})
}

// libmodbusDevice has points in all tables, and among them some at which the
// server is slow, refuses, or answers with a wrong length or a wrong id.
func libmodbusDevice() Device {
	every := func(d time.Duration, p Point) Point { p.Every = d * time.Millisecond; return p }
	device := Device{Name: "lib", Unit: 17, Every: 100 * time.Millisecond, Points: []Point{
		{Name: "input", Register: "input:0x108"},
		{Name: "word", Register: "holding:0x160", Writable: true},
		{Name: "float", Register: "holding:0x161", Type: "float32", Order: CDAB, Writable: true},
		{Name: "double", Register: "holding:0x163", Type: "float64", Writable: true},
		{Name: "bit", Register: "holding:0x167.3", Writable: true},
		{Name: "coil", Register: "coil:0x131", Writable: true},
		// reads of two registers are answered with one
		every(110, Point{Name: "short", Register: "holding:0x17A", Type: "uint32"}),
		every(120, Point{Name: "busy", Register: "holding:0x170"}),
		every(130, Point{Name: "stranger", Register: "holding:0x171"}),
		// answered after half a second, which is later than the time-out
		every(140, Point{Name: "slow", Register: "holding:0x172"}),
	}}
	for i := range 22 {
		device.Points = append(device.Points, Point{Name: fmt.Sprint("in", i), Register: fmt.Sprint("discrete:", 0x1C4+i)})
	}
	return device
}

// testLibmodbus sets points and waits until every reading is right and every trap
// has been noticed. A wrong value fails the test at once.
func testLibmodbus(t *testing.T, url string) {
	commands := map[string]string{"word": "4711", "float": "12.5", "double": "-0.001", "bit": "true", "coil": "on"}
	want := map[string]any{"input": 10.0, "word": 4711.0, "float": 12.5, "double": -0.001, "bit": true, "coil": true}
	for i := range 22 {
		want[fmt.Sprint("in", i)] = [...]byte{0xAC, 0xDB, 0x35}[i/8]>>(i%8)&1 == 1
	}
	traps := map[string]bool{"short": true, "stranger": true, "slow": true, "busy": true}

	bus := newRecorder()
	a := newAdapter(t, Config{URL: url, Timeout: 150 * time.Millisecond, Devices: []Device{libmodbusDevice()}})
	start(t, a, bus)
	first := bus.await(t, "first readings", func(m map[string]readingDoc) bool { return m["p/lib/word"].Quality == "good" })
	set := func(point string) {
		bus.send(&core.Message{Topic: "p/lib/" + point + "/set", Payload: []byte(commands[point])})
	}
	for point := range commands {
		set(point)
	}
	right, acknowledged, noticed := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for trap := range traps { // a trap is told once only, and perhaps it was already
		d, told := first["p/lib/"+trap]
		noticed[trap] = told && d.Quality != "good"
	}
	maps.DeleteFunc(noticed, func(_ string, yes bool) bool { return !yes })
	for deadline := time.Now().Add(patience); len(right) < len(want) || len(acknowledged) < len(commands) || len(noticed) < len(traps); {
		if time.Now().After(deadline) {
			t.Fatalf("right: %v\nacknowledged: %v\nnoticed: %v\n%+v", right, acknowledged, noticed, a.Status())
		}
		<-bus.news
		for _, m := range bus.take() {
			name := strings.TrimPrefix(m.Topic, "p/lib/")
			if point, isAck := strings.CutSuffix(name, "/ack"); isAck {
				if acknowledged[point] = string(m.Payload) == `{"ok":true}`; !acknowledged[point] {
					delete(acknowledged, point)
					set(point) // the device was just down because of a trap: say it again
				}
				continue
			}
			d := decode(t, m)
			switch {
			case d.Quality != "good":
				if traps[name] {
					noticed[name] = true
				}
			case d.Value == want[name]:
				right[name] = true
			case commands[name] == "" || right[name]: // not just the value before the command
				t.Errorf("%s is wrong: %+v", name, d)
			}
		}
	}
	t.Logf("%+v", a.Status().Devices)
}

// pymodbus' own server command needs a package that Debian doesn't have, so the
// server is started by a few lines.
const pymodbusServer = `
import sys
from pymodbus.server import StartSerialServer, StartTcpServer, StartTlsServer
from pymodbus.datastore import ModbusSequentialDataBlock as Block, ModbusSlaveContext, ModbusServerContext
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

def slave(unit):
    return ModbusSlaveContext(
        di=Block(0, [1, 0] * 50), co=Block(0, [0] * 100),
        hr=Block(0, [unit * 1000 + i for i in range(100)]),
        ir=Block(0, [0x4366, 0x199A] + [unit] * 98), zero_mode=True)

context = ModbusServerContext(slaves={u: slave(u) for u in (1, 2, 17)}, single=False)
framer = {"rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer, "tcp": ModbusSocketFramer}[sys.argv[2]]
kind, place = sys.argv[1], sys.argv[3]
if kind == "tcp":
    StartTcpServer(context=context, framer=framer, address=("127.0.0.1", int(place)), allow_reuse_address=True)
elif kind == "tls":
    StartTlsServer(context=context, framer=framer, address=("127.0.0.1", int(place)), certfile=sys.argv[4], keyfile=sys.argv[5], allow_reuse_address=True)
else:
    StartSerialServer(context=context, framer=framer, port=place, baudrate=115200, parity="N", stopbits=1, timeout=0.05)
`

func TestPeerPymodbus(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import pymodbus.server, serial_asyncio").Run() != nil {
		missing(t, "python3-pymodbus with python3-serial-asyncio")
	}
	for scheme, framing := range map[string]string{"tcp": "tcp", "rtu+tcp": "rtu", "ascii+tcp": "ascii"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			port := strconv.Itoa(porttest.Free(t))
			run(t, python, "-c", pymodbusServer, "tcp", framing, port)
			testPymodbus(t, Config{URL: scheme + "://127.0.0.1:" + port})
		})
	}
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		port := strconv.Itoa(porttest.Free(t))
		cert, key := certificate(t)
		// The framer that it has for TLS leaves the header out, which the standard has
		// there as well.
		run(t, python, "-c", pymodbusServer, "tls", "tcp", port, cert, key)
		testPymodbus(t, Config{URL: "tls://127.0.0.1:" + port, TLS: TLS{CA: cert}})
	})
	for _, framing := range []string{"rtu", "ascii"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			master, slave := ptyPair(t)
			run(t, python, "-c", pymodbusServer, "serial", framing, slave)
			testPymodbus(t, Config{URL: framing + "://" + master + "?baud=115200&parity=N"})
		})
	}
}

// testPymodbus polls three units, and registers beyond the end of a table.
func testPymodbus(t *testing.T, c Config) {
	var devices []Device
	want := make(map[string]any)
	commands := make(map[string]string)
	for _, unit := range []int{1, 2, 17} {
		name := fmt.Sprint("u", unit)
		devices = append(devices, Device{Name: name, Unit: unit, Every: 200 * time.Millisecond, Points: []Point{
			{Name: "voltage", Register: "input:0", Type: "float32"},
			{Name: "unit", Register: "input:50"},
			{Name: "first", Register: "holding:0"},
			{Name: "last", Register: "holding:99"},
			{Name: "beyond", Register: "holding:100"},
			{Name: "set", Register: "holding:20", Type: "int32", Writable: true},
			{Name: "coil", Register: "coil:7", Writable: true},
			{Name: "input", Register: "discrete:98"},
		}})
		base := float64(1000 * unit)
		for point, value := range map[string]any{
			"voltage": 230.1, "unit": float64(unit), "first": base, "last": base + 99,
			"set": float64(-unit), "coil": true, "input": true,
		} {
			want["p/"+name+"/"+point] = value
		}
		commands["p/"+name+"/set/set"] = fmt.Sprint(-unit)
		commands["p/"+name+"/coil/set"] = "true"
	}
	bus := newRecorder()
	c.Timeout, c.Devices = time.Second, devices
	a := newAdapter(t, c)
	start(t, a, bus)
	bus.await(t, "first readings", func(m map[string]readingDoc) bool {
		return m["p/u1/set"].Value != nil && m["p/u2/set"].Value != nil && m["p/u17/set"].Value != nil
	})
	for topic, value := range commands {
		bus.send(&core.Message{Topic: topic, Payload: []byte(value)})
	}
	got := bus.await(t, "all values", func(m map[string]readingDoc) bool {
		for topic, value := range want {
			if d, ok := m[topic]; !ok || d.Value != value {
				return false
			}
		}
		return true
	})
	for topic, value := range want {
		if got[topic].Value != value {
			t.Errorf("%s is %+v, want %v", topic, got[topic], value)
		}
	}
	for i := range devices {
		var d core.DeviceStatus
		eventually(t, "device that is up, with one point that cannot be read", func() bool {
			d = a.Status().Devices[i]
			return d.Requests > 0 && d.Up && strings.Contains(d.Error, "1 of 8 points can't be read")
		})
		t.Logf("%+v", d)
	}
}
