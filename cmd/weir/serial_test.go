package main

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// device makes a simulated device and gives the port at its other end.
func device(t *testing.T) (device *os.File, port string) {
	t.Helper()
	d, port, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, port
}

// babble lets a device repeat a line until the test ends.
func babble(t *testing.T, d *os.File, line string) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_ = d.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = d.WriteString(line) // fails once nobody reads
			}
		}
	}()
}

func TestSerialMonitor(t *testing.T) {
	d, port := device(t)
	babble(t, d, "$INDPT,2.2,0.0*47\r\n\x00\xff")
	p := start(t, must(weirBinary()), "serial", "monitor", port)
	for _, want := range []string{"24 49 4e 44 50 54 2c 32  2e 32", "|$INDPT,2.2,0.0*4|", "37 0d 0a 00 ff", "|7....|", "at 9600 baud, 8N1"} {
		eventually(t, patience, want, func() bool { return strings.Contains(p.out.String(), want) })
	}
	p.signal(syscall.SIGINT)
	if code := p.wait(patience); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	var out string
	eventually(t, patience, "something heard", func() bool {
		out, _ = weir(t, "serial", "monitor", port, "--for", "200ms", "--json")
		return out != ""
	})
	var line struct{ Hex, Text string }
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &line); err != nil || !strings.Contains(line.Hex, "24494e") {
		t.Errorf("%v: %s", err, out)
	}
}

// Ctrl-C ends a command with a summary and without an error.
func TestSerialInterrupted(t *testing.T) {
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"monitor"}, {"baud", "--listen", "1m"}, {"loopback", "-n", "100000"}} {
		d, port := device(t)
		babble(t, d, "x\n")
		fresh := rateOf(d)
		p := start(t, path, append([]string{"serial", args[0], port}, args[1:]...)...)
		eventually(t, patience, "the port is opened", func() bool { return rateOf(d) != fresh })
		p.signal(syscall.SIGINT) // any moment of its work will do
		if code := p.wait(patience); code != exitOK || strings.Contains(p.out.String(), "weir: ") {
			t.Errorf("%v: exit code %d\n%s", args, code, p.out)
		}
	}
}

// A device of 19200 baud, 7 bits and even parity: at any other rate its bytes are
// noise, and at its own each has its parity in the eighth bit.
func TestSerialBaud(t *testing.T) {
	d, port := device(t)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		line := []byte("ST,GS,+   12.50 kg\r\n")
		for i, c := range line {
			line[i] = c | byte(bits.OnesCount8(c)&1)<<7
		}
		noise := []byte("\x9a\x13\xf7\x80\x01\xe6\x5b\xfe\x00\xb3\xd8\x0f")
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				b := noise
				if rateOf(d) == 19200 {
					b = line
				}
				_ = d.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = d.Write(b) // fails once nobody reads
			}
		}
	}()
	out, code := weir(t, "serial", "baud", port, "--rates", "9600,19200,115200", "--listen", "400ms")
	if code != exitOK || !strings.Contains(out, "proposal: baud: 19200, data_bits: 7, parity: even") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	out, code = weir(t, "serial", "baud", port, "--rates", "9600,115200", "--listen", "200ms", "--json")
	if code != exitOK || !strings.Contains(out, `"proposal":null`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	_, silent := device(t)
	if out, code = weir(t, "serial", "baud", silent, "--rates", "9600", "--listen", "100ms"); code != exitTimeout {
		t.Errorf("silence: exit code %d\n%s", code, out)
	}
}

func TestSerialLoopback(t *testing.T) {
	for name, c := range map[string]struct {
		bridge func(b []byte) []byte
		code   int
		want   string
	}{
		"bridged": {func(b []byte) []byte { return b }, exitOK, "512 bytes sent, 512 came back, 0 of them wrong"},
		"harmed":  {func(b []byte) []byte { b[0] ^= 4; return b }, exitFailed, "bytes were changed"},
		"open":    {func([]byte) []byte { return nil }, exitFailed, "nothing came back"},
	} {
		t.Run(name, func(t *testing.T) {
			d, port := device(t)
			go func() {
				b := make([]byte, 1024)
				for {
					n, err := d.Read(b)
					if err != nil {
						return
					}
					_, _ = d.Write(c.bridge(b[:n])) // fails at the end of the test
				}
			}()
			out, code := weir(t, "serial", "loopback", port, "-b", "115200", "-n", "512")
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d\n%s", code, out)
			}
		})
	}
}

func TestSerialTry(t *testing.T) {
	d, port := device(t)
	babble(t, d, "$INDPT,2.2,0.0*47\r\n$INDPT,2.3,0.0*47\r\n")
	file := filepath.Join(t.TempDir(), "weir.yaml")
	config := fmt.Sprintf("adapters:\n  - {name: sounder, type: serial, port: %s, parse: {kind: nmea}, payload: raw}\n  - {name: other, type: serial, port: /dev/ttyS9}\n", port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := weir(t, "serial", "try", "--config", file, "sounder", "-C", "6")
	for _, want := range []string{"frame    13 bytes |INDPT,2.2,0.0|", "plant/sounder/depth = 2.2 m", "dropped  checksum"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitOK || strings.Contains(out, "ttyS9") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	out, _ = weir(t, "serial", "try", "--config", file, "sounder", "-C", "2", "--json")
	if !strings.Contains(out, `"topic":"plant/sounder/depth","reading":{`) {
		t.Errorf("%s", out)
	}
	if out, code = weir(t, "serial", "try", "--config", file, "nobody"); code != exitConfig || !strings.Contains(out, `no serial adapter "nobody"`) {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// What somebody does wrong, and what he is told.
func TestSerialMistakes(t *testing.T) {
	_, port := device(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"monitor"}, exitUsage, "accepts 1 arg"},
		{[]string{"monitor", "/dev/ttyUSB99"}, exitUnavailable, "`weir serial ls` shows"},
		{[]string{"monitor", port, "--parity", "q"}, exitUsage, `parity ("q")`},
		{[]string{"monitor", port, "--send", `\q`}, exitUsage, "escape"},
		{[]string{"loopback", port, "-n", "0"}, exitUsage, "use 1 to"},
		{[]string{"try"}, exitUsage, "config"},
	} {
		if out, code := weir(t, append([]string{"serial"}, c.args...)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out)
		}
	}
}

// ls opens no port: it works on a description of a machine whose ports aren't there.
func TestSerialList(t *testing.T) {
	sys := t.TempDir()
	usb := filepath.Join(sys, "devices/usb1/1-1")
	for name, text := range map[string]string{"idVendor": "0403", "idProduct": "6001", "serial": "A1", "product": "Cable", "ttyUSB7/x": ""} {
		path := filepath.Join(usb, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	class := filepath.Join(sys, "class/tty/ttyUSB7")
	if err := os.MkdirAll(class, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(usb, "ttyUSB7"), filepath.Join(class, "device")); err != nil {
		t.Fatal(err)
	}
	out, code := weir(t, "serial", "ls", "--sys", sys)
	if code != exitOK || !strings.Contains(out, "/dev/ttyUSB7") || !strings.Contains(out, "usb:0403:6001:A1") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	out, _ = weir(t, "serial", "ls", "--sys", sys, "--json")
	var ports []struct{ Device, USB string }
	if err := json.Unmarshal([]byte(out), &ports); err != nil || len(ports) != 1 || ports[0].USB != "usb:0403:6001:A1" {
		t.Errorf("%v: %s", err, out)
	}

	dev := t.TempDir() // in which the port is one that we have open
	open, err := os.Create(filepath.Join(dev, "ttyUSB7"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	out, _ = weir(t, "serial", "ls", "--sys", sys, "--dev", dev)
	if want := fmt.Sprintf("(%d)", os.Getpid()); !strings.Contains(out, want) {
		t.Errorf("no %s in\n%s", want, out)
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{`P\r\n`: "P\r\n", `\x02A\x03`: "\x02A\x03", `a\\b\0\t`: "a\\b\x00\t", "": "", "ü": "ü"} {
		if got, err := unescape(text); got != want || err != nil {
			t.Errorf("unescape(%s) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`\`, `\x`, `\x0g`, `\q`} {
		if got, err := unescape(text); err == nil {
			t.Errorf("unescape(%s) = %q", text, got)
		}
	}
}
