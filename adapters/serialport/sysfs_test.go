package serialport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeSystem makes the folders of a machine with a UART, an absent UART, a
// console, two adapters of one make, and an adapter with two ports.
func fakeSystem(t *testing.T) System {
	t.Helper()
	s := System{Sys: filepath.Join(t.TempDir(), "sys"), Dev: "/dev"}
	files := map[string]string{
		"class/tty/console/active":                  "tty0",
		"devices/uart/ttyS0/ttyS0/type":             "4",
		"devices/uart/ttyS1/ttyS1/type":             "0",
		"devices/usb1/1-1/idVendor":                 "0403",
		"devices/usb1/1-1/idProduct":                "6001",
		"devices/usb1/1-1/serial":                   "A1",
		"devices/usb1/1-1/manufacturer":             "Maker",
		"devices/usb1/1-1/product":                  "Cable",
		"devices/usb1/1-1/1-1:1.0/bInterfaceNumber": "00",
		"devices/usb1/1-2/idVendor":                 "0403",
		"devices/usb1/1-2/idProduct":                "6001",
		"devices/usb1/1-2/serial":                   "B2",
		"devices/usb1/1-2/1-2:1.0/bInterfaceNumber": "00",
		"devices/usb1/1-3/idVendor":                 "0403",
		"devices/usb1/1-3/idProduct":                "6010",
		"devices/usb1/1-3/1-3:1.0/bInterfaceNumber": "00",
		"devices/usb1/1-3/1-3:1.1/bInterfaceNumber": "01",
		"devices/usb1/1-1/1-1:1.0/ttyUSB0/placed":   "",
		"devices/usb1/1-2/1-2:1.0/ttyUSB1/placed":   "",
		"devices/usb1/1-3/1-3:1.0/ttyUSB2/placed":   "",
		"devices/usb1/1-3/1-3:1.1/ttyUSB3/placed":   "",
		"bus/drivers/ftdi_sio/placed":               "",
		"bus/drivers/port/placed":                   "",
	}
	for name, text := range files {
		path := filepath.Join(s.Sys, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	class := map[string]string{ // the tty, and the folder of its device
		"ttyS0": "uart/ttyS0", "ttyS1": "uart/ttyS1",
		"ttyUSB0": "usb1/1-1/1-1:1.0/ttyUSB0", "ttyUSB1": "usb1/1-2/1-2:1.0/ttyUSB1",
		"ttyUSB2": "usb1/1-3/1-3:1.0/ttyUSB2", "ttyUSB3": "usb1/1-3/1-3:1.1/ttyUSB3",
	}
	for name, device := range class {
		dir, driver := filepath.Join(s.Sys, "class/tty", name), "port"
		if strings.Contains(name, "USB") {
			driver = "ftdi_sio"
		}
		err := errors.Join(
			os.MkdirAll(dir, 0o755),
			os.Symlink(filepath.Join(s.Sys, "devices", device), filepath.Join(dir, "device")),
			os.Symlink(filepath.Join(s.Sys, "bus/drivers", driver), filepath.Join(s.Sys, "devices", device, "driver")),
			os.WriteFile(filepath.Join(dir, "type"), []byte(map[string]string{"ttyS1": "0"}[name]), 0o644),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestList(t *testing.T) {
	got, err := fakeSystem(t).List()
	if err != nil {
		t.Fatal(err)
	}
	ftdi := func(i Info) Info { i.Driver, i.VID = "ftdi_sio", "0403"; return i }
	want := []Info{
		{Device: "/dev/ttyS0", Driver: "port"},
		ftdi(Info{Device: "/dev/ttyUSB0", USB: "usb:0403:6001:A1", PID: "6001", Serial: "A1", Manufacturer: "Maker", Product: "Cable", Interface: "00", Place: "1-1"}),
		ftdi(Info{Device: "/dev/ttyUSB1", USB: "usb:0403:6001:B2", PID: "6001", Serial: "B2", Interface: "00", Place: "1-2"}),
		ftdi(Info{Device: "/dev/ttyUSB2", USB: "usb:0403:6010", PID: "6010", Interface: "00", Place: "1-3"}),
		ftdi(Info{Device: "/dev/ttyUSB3", USB: "usb:0403:6010", PID: "6010", Interface: "01", Place: "1-3"}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestResolve(t *testing.T) {
	s := fakeSystem(t)
	tests := map[string]struct {
		want string
		err  error
	}{
		"/dev/ttyUSB9":      {want: "/dev/ttyUSB9"},
		"usb:0403:6001:B2":  {want: "/dev/ttyUSB1"},
		"usb:0403:6010::1":  {err: fs.ErrNotExist},
		"usb:0403:6010::01": {want: "/dev/ttyUSB3"},
		"usb@1-1":           {want: "/dev/ttyUSB0"},
		"usb@1-3:00":        {want: "/dev/ttyUSB2"},
		"usb:0403:6001":     {err: ErrAmbiguous},
		"usb:0403:6001:C3":  {err: fs.ErrNotExist},
		"usb:1A86:7523":     {err: fs.ErrNotExist},
	}
	for name, tt := range tests {
		if got, err := s.Resolve(name); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Resolve(%s) = %q, %v; want %q, %v", name, got, err, tt.want, tt.err)
		}
	}
	if _, err := (System{Sys: "/nowhere"}).List(); err == nil {
		t.Error("a machine without sysfs was listed")
	}
	if _, err := Open(Config{Device: "usb:ffff:ffff"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open = %v; want it to be missing", err)
	}
}
