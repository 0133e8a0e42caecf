package serialport

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Info is a serial device of this machine, as the system describes it.
type Info struct {
	Device       string   `json:"device"`
	Links        []string `json:"links,omitempty"` // below /dev/serial: names that stay
	Driver       string   `json:"driver,omitempty"`
	USB          string   `json:"usb,omitempty"` // the name that Resolve takes: usb:vid:pid:serial
	VID          string   `json:"vid,omitempty"`
	PID          string   `json:"pid,omitempty"`
	Serial       string   `json:"serial,omitempty"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Product      string   `json:"product,omitempty"`
	Interface    string   `json:"interface,omitempty"` // of a USB device with several ports
	Place        string   `json:"place,omitempty"`     // of the USB socket: 1-1.4
}

// System is where the system describes its devices. The zero value is /sys and
// /dev of this machine.
type System struct{ Sys, Dev string }

func (s System) sys() string { return cmp.Or(s.Sys, "/sys") }
func (s System) dev() string { return cmp.Or(s.Dev, "/dev") }

// List finds the serial devices. It only reads what the system tells of them: to
// open a port moves its modem lines, which resets some devices.
func (s System) List() ([]Info, error) {
	class := filepath.Join(s.sys(), "class", "tty")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("list the serial devices: %w", err)
	}
	links := s.links()
	var found []Info
	for _, e := range entries {
		dir, err := filepath.EvalSymlinks(filepath.Join(class, e.Name(), "device"))
		if err != nil {
			continue // a console or a terminal, not a device
		}
		i := describe(dir)
		if i.Driver == "serial8250" || i.Driver == "port" && s.isAbsent(e.Name()) {
			continue // a UART that the machine may have but hasn't
		}
		i.Device = filepath.Join(s.dev(), e.Name())
		i.Links = links[e.Name()]
		found = append(found, i)
	}
	slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Device, b.Device) })
	return found, nil
}

// isAbsent says whether the driver found no UART behind a name.
func (s System) isAbsent(name string) bool {
	return read(filepath.Join(s.sys(), "class", "tty", name), "type") == "0"
}

// links are the names that udev made, by the device's own.
func (s System) links() map[string][]string {
	links := make(map[string][]string)
	for _, kind := range []string{"by-id", "by-path"} {
		paths, _ := filepath.Glob(filepath.Join(s.dev(), "serial", kind, "*"))
		for _, path := range paths {
			if target, err := os.Readlink(path); err == nil {
				name := filepath.Base(target)
				links[name] = append(links[name], path)
			}
		}
	}
	return links
}

// describe reads what is known of the device in a folder of sysfs. Its USB device,
// if it is one, is some folders above.
func describe(dir string) Info {
	i := Info{}
	for at := dir; i.Driver == "" && len(at) > 1 && at != filepath.Dir(at); at = filepath.Dir(at) {
		if target, err := os.Readlink(filepath.Join(at, "driver")); err == nil {
			i.Driver = filepath.Base(target)
		}
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if i.Interface == "" {
			i.Interface = read(at, "bInterfaceNumber")
		}
		if i.VID = read(at, "idVendor"); i.VID == "" {
			continue
		}
		i.PID, i.Serial = read(at, "idProduct"), read(at, "serial")
		i.Manufacturer, i.Product = read(at, "manufacturer"), read(at, "product")
		i.Place = filepath.Base(at)
		i.USB = strings.TrimSuffix(fmt.Sprintf("usb:%s:%s:%s", i.VID, i.PID, i.Serial), ":")
		return i
	}
	i.Interface = ""
	return i
}

func read(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// ErrAmbiguous: several devices fit the name.
var ErrAmbiguous = errors.New("several serial devices fit")

// Resolve finds the device that a name means now:
//
//	/dev/…                   a path, as it is
//	usb:0403:6001            the USB adapter of this vendor and product
//	usb:0403:6001:A10KZP4F   the one with this serial number
//	usb:0403:6010:FT1ABC:01  its interface 01, where it has several
//	usb@1-1.4                whatever is in this socket
//	usb@1-1.4:01             its interface 01
//
// Without udev this is what survives that a device is plugged in again. A device
// that isn't there gives an [fs.ErrNotExist].
func Resolve(name string) (string, error) { return System{}.Resolve(name) }

// Resolve is the function of that name on the system s.
func (s System) Resolve(name string) (string, error) {
	w, ok := parseName(name)
	if !ok {
		return name, nil
	}
	devices, err := s.List()
	if err != nil {
		return "", err
	}
	var found []string
	for _, i := range devices {
		if w.fits(i) {
			found = append(found, i.Device)
		}
	}
	switch len(found) {
	case 0:
		return "", &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w %s: %s; add the serial number or the interface, as `weir serial ls` shows them",
		ErrAmbiguous, name, strings.Join(found, ", "))
}

// wanted is what a name asks for; "" is anything.
type wanted struct{ vid, pid, serial, inter, place string }

// parseName reads a name that isn't a path.
func parseName(name string) (w wanted, ok bool) {
	if place, ok := strings.CutPrefix(name, "usb@"); ok {
		w.place, w.inter, _ = strings.Cut(place, ":")
		return w, true
	}
	ids, ok := strings.CutPrefix(name, "usb:")
	if !ok {
		return w, false
	}
	parts := append(strings.SplitN(ids, ":", 4), "", "", "", "")
	w.vid, w.pid, w.serial, w.inter = strings.ToLower(parts[0]), strings.ToLower(parts[1]), parts[2], parts[3]
	return w, true
}

// validateName says what is wrong with a name, as far as that can be seen.
func validateName(name string) error {
	w, ok := parseName(name)
	isHex := func(s string) bool { return len(s) == 4 && strings.Trim(s, "0123456789abcdef") == "" }
	if !ok || w.place != "" || isHex(w.vid) && isHex(w.pid) {
		return nil
	}
	return fmt.Errorf("device (%q) must be usb:VID:PID, usb:VID:PID:SERIAL with four hexadecimal digits each, or usb@SOCKET", name)
}

func (w wanted) fits(i Info) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return i.VID != "" && is(w.vid, i.VID) && is(w.pid, i.PID) && is(w.serial, i.Serial) &&
		is(w.inter, i.Interface) && is(w.place, i.Place)
}
