package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

// TestModbusCommands: what a technician does with a line that has simulated
// devices, one of them dead, over TCP and over a serial line.
func TestModbusCommands(t *testing.T) {
	binary, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		simulatedHost(t, binary, "tcp"),
		simulatedHost(t, binary, "ascii"),
		simulatedLine(t, binary, "rtu"),
		simulatedLine(t, binary, "ascii"),
	} {
		for _, c := range []struct {
			name string
			args []string
			code int
			want []string
		}{
			{"read", []string{"read", url, "input:4", "2"}, 0, []string{"+0  447B", "float32  1004"}},
			{"read a coil", []string{"read", url, "coil:3", "1"}, 0, []string{"+0  0"}},
			{"read in the other notation", []string{"read", url, "30005"}, 0, []string{"+0  447B"}},
			{"nothing there", []string{"read", url, "input:900"}, 1, []string{"the device has no such register (exception 2)"}},
			{"a dead device", []string{"read", url, "input:0", "--unit", "2", "--timeout", "100ms"}, 1, []string{"no answer"}},
			{"no register", []string{"read", url, "inptu:0"}, 1, []string{"inptu"}},
			{"too many", []string{"read", url, "input:0", "126"}, 1, []string{"count (126) must be between 1 and 125"}},
			{"identify", []string{"identify", url, "-u", "3"}, 0, []string{"vendor: Weir", "product code: simulator", "revision: unit 3"}},
			{"scan", []string{"scan", url, "--to", "4", "--timeout", "1s"}, 0, []string{"unit 1  vendor: Weir", "unit 3  vendor: Weir", "2 devices found"}},
			{"scan of nobody", []string{"scan", url, "--from", "2", "--to", "2"}, exitTimeout, []string{"nobody answers"}},
			{"read a queue", []string{"read", url, "fifo:10", "-u", "3"}, 0, []string{"+0  0001", "+2  0003"}},
			{"write without a word", []string{"write", url, "holding:3", "5"}, exitUsage, []string{"say --yes if that is meant"}},
			{"nothing was written", []string{"read", url, "holding:3", "1"}, 0, []string{"+0  0000"}},
			{"write", []string{"write", url, "holding:3", "230.5", "--type", "float32", "--order", "CDAB", "--yes"}, 0, []string{"is now 230.5"}},
			{"write a negative number", []string{"write", url, "holding:3", "-12345", "--yes", "--type", "int16"}, 0, []string{"is now -12345"}},
			{"write what does not fit", []string{"write", url, "holding:3", "70000", "--yes"}, 1, []string{"70000 does not fit"}},
			{"write what can't be written", []string{"write", url, "input:3", "7", "--yes"}, 1, []string{"can only be read"}},
		} {
			t.Run(url[:strings.Index(url, ":")]+"/"+strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
				args := append([]string{"modbus"}, c.args...)
				if !slices.Contains(args, "--timeout") && c.args[0] != "scan" {
					args = append(args, "--timeout", "20s") // no device that lives is late
				}
				missing := func() []string {
					out, code := weir(t, args...)
					if code != c.code {
						t.Errorf("exit code %d, want %d", code, c.code)
					}
					left := slices.DeleteFunc(slices.Clone(c.want), func(want string) bool { return strings.Contains(out, want) })
					if len(left) > 0 {
						t.Logf("no %q in\n%s", left, out)
					}
					return left
				}
				if c.args[0] == "scan" { // in which an answer may come after its time
					eventually(t, patience, "found", func() bool { return len(missing()) == 0 })
				} else if len(missing()) > 0 {
					t.Error("something is missing")
				}
			})
		}
	}
}

// simulatedHost is three devices on TCP, one of them dead.
func simulatedHost(t *testing.T, binary, framing string) (url string) {
	port := freePort(t)
	start(t, binary, "sim", "modbus", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--framing", framing, "--units", "3", "--dead", "2")
	eventually(t, patience, "a listening simulator", func() bool { return listening(port) })
	if framing != "tcp" {
		framing += "+tcp"
	}
	return fmt.Sprintf("%s://127.0.0.1:%d", framing, port)
}

// simulatedLine is the same on a serial line.
func simulatedLine(t *testing.T, binary, framing string) (url string) {
	link := filepath.Join(t.TempDir(), "bus")
	start(t, binary, "sim", "modbus", "--pty", link, "--framing", framing, "--baud", "38400", "--units", "3", "--dead", "2")
	eventually(t, patience, "a simulated line", func() bool { return fileExists(link) })
	return fmt.Sprintf("%s://%s?baud=38400", framing, link)
}

// TestModbusSweep: rate and parity are tried until a device answers. (On a
// pseudo-terminal any rate will do, so the first that is tried is the right one.)
func TestModbusSweep(t *testing.T) {
	link := filepath.Join(t.TempDir(), "bus")
	start(t, must(weirBinary()), "sim", "modbus", "--pty", link, "--baud", "38400", "--units", "3", "--dead", "1,2", "--lenient")
	eventually(t, patience, "a simulated line", func() bool { return fileExists(link) })
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"found":   {[]string{"rtu://" + link, "--sweep", "--to", "4"}, 0, "a device answers on rtu://" + link + "?baud=9600&parity=N\n"},
		"nobody":  {[]string{"rtu://" + link, "--sweep", "--to", "1", "--timeout", "10ms"}, exitTimeout, "nobody answers, whatever the rate"},
		"no rate": {[]string{"tcp://127.0.0.1:1", "--sweep"}, exitUsage, "only a serial line"},
	} {
		if out, code := weir(t, append([]string{"modbus", "scan"}, c.args...)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, no %q in\n%s", name, code, c.want, out)
		}
	}
}

// TestModbusOverload: a line that is asked for more than it can do says so wherever
// somebody may look, with the period that is possible.
func TestModbusOverload(t *testing.T) {
	url := simulate(t, 19200, 2)
	g := startGateway(t, fmt.Sprintf(modbusBarsConfig, url, 200*time.Millisecond, "json-batch", meterDevices(2, "")))
	const says = "too much is asked for: "
	var st core.AdapterStatus
	eventually(t, patience, "an overload", func() bool { st = g.status().Adapters[0]; return st.Possible > 0 })
	// a cycle takes 0.6 s
	if st.Asked < 2.5 || st.Possible < 0.5 {
		t.Errorf("%.2f of the line is asked for, every %.3f s is possible", st.Asked, st.Possible)
	}
	out, _ := weir(t, "status", "--config", g.config)
	if !strings.Contains(out, says) {
		t.Errorf("the status does not tell:\n%s", out)
	}
	if !strings.Contains(g.out.String(), "not enough time") {
		t.Error("the log does not tell")
	}
	for topic, want := range map[string]string{"adapters/meters": `"achievable_period_seconds":`, "health": says} {
		eventually(t, patience, topic+" on its topic", func() bool {
			out, _ := weir(t, "sub", "-p", strconv.Itoa(g.port), "-t", "weir/+/"+topic, "-C", "1", "-W", "5")
			return strings.Contains(out, want)
		})
	}
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", g.console))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(metrics), `weir_adapter_achievable_period_seconds{adapter="meters"} 0`+"\n") {
		t.Errorf("the metrics do not tell (%v)", err)
	}
}

// TestModbusPlan: the requests and what they cost are known before anything is
// sent, and an overload is told with the period that is possible.
func TestModbusPlan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	config := `
adapters:
  - name: meters
    type: modbus
    url: rtu:///dev/serial/by-id/usb-X?baud=9600
    every: 40ms
    devices:
      - {name: m1, unit: 1, points: [{name: a, register: "input:0", type: float32}, {name: b, register: "input:6", type: float32}, {name: c, register: "input:200"}]}
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := weir(t, "modbus", "plan", file)
	for _, want := range []string{"input:0", "input:200", "2 requests", "with periods 1."} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, out)
		}
	}
	t.Log(out)
}
