package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/adapters/serialport"
)

// Line is where the devices are: a serial line or a TCP address, and which
// framing is spoken there.
type Line struct {
	Scheme  string
	Address string            // host:port; "" for a serial line
	Port    serialport.Config // for rtu and ascii
	TLS     TLS               // for tls
}

// The schemes of a line.
const (
	schemeRTU       = "rtu"       // RTU frames on a serial line
	schemeASCII     = "ascii"     // ASCII frames on a serial line
	schemeTCP       = "tcp"       // Modbus TCP
	schemeTLS       = "tls"       // Modbus TCP within TLS
	schemeRTUoTCP   = "rtu+tcp"   // RTU frames through a serial device server
	schemeASCIIoTCP = "ascii+tcp" // ASCII frames through one
)

const schemes = "rtu, ascii, tcp, tls, rtu+tcp or ascii+tcp"

// Serial says whether the line carries the frames of a serial line, wherever they
// travel: then nothing tells which request an answer is for.
func (l Line) Serial() bool { return l.Scheme != schemeTCP && l.Scheme != schemeTLS }

// Local says whether the line is a serial port of this machine.
func (l Line) Local() bool { return l.Scheme == schemeRTU || l.Scheme == schemeASCII }

func (l Line) ascii() bool { return l.Scheme == schemeASCII || l.Scheme == schemeASCIIoTCP }

// Key is the same for two lines that can't be open at once.
func (l Line) Key() string {
	if l.Local() {
		return l.Port.Device
	}
	return l.Address
}

// String is the line as a URL, without settings.
func (l Line) String() string { return l.Scheme + "://" + l.Key() }

// The default ports are those registered for Modbus.
var defaultPorts = map[string]string{schemeTCP: "502", schemeTLS: "802"}

// ParseURL reads the address of a bus:
//
//	rtu:///dev/serial/by-id/usb-X?baud=19200&parity=E&stop=1&data=8&rs485=auto
//	ascii:///dev/ttyS0?baud=9600
//	tcp://host:502
//	tls://host:802
//	rtu+tcp://host:4001
//	ascii+tcp://host:4001
//
// A serial line's defaults are those of the Modbus standard: 19200 baud, even
// parity, one stop bit, and 7 data bits for ASCII.
func ParseURL(s string) (Line, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Line{}, fmt.Errorf("url (%q) must be like rtu:///dev/ttyUSB0?baud=19200 or tcp://host:502: %w", s, errors.Unwrap(err))
	}
	switch u.Scheme {
	case schemeRTU, schemeASCII:
		return parseSerial(s, u)
	case schemeTCP, schemeTLS, schemeRTUoTCP, schemeASCIIoTCP:
		return parseTCP(s, u)
	case "udp":
		return Line{}, fmt.Errorf("url (%q): %s is not supported; use %s", s, u.Scheme, schemes)
	case "":
		return Line{}, fmt.Errorf("url (%q) must start with rtu://, tcp:// or rtu+tcp://", s)
	}
	return Line{}, fmt.Errorf("url (%q): %s is unknown; use %s", s, u.Scheme, schemes)
}

// defaultPort has the settings of the standard.
var defaultPort = serialport.Config{Baud: 19200, Parity: "E"}

func parseTCP(s string, u *url.URL) (Line, error) {
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	switch {
	case u.Hostname() == "" || port == "":
		return Line{}, fmt.Errorf("url (%q) must name host and port, such as %s://192.168.1.10:502", s, u.Scheme)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return Line{}, fmt.Errorf("url (%q) must have nothing behind host and port", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Line{}, fmt.Errorf("url (%q): the port %s must be between 1 and 65535", s, port)
	}
	return Line{Scheme: u.Scheme, Address: net.JoinHostPort(u.Hostname(), port)}, nil
}

func parseSerial(s string, u *url.URL) (Line, error) {
	device := u.Path
	if u.Host != "" || device == "" || device == "/" {
		return Line{}, fmt.Errorf("url (%q) must have three slashes and a path, such as %s:///dev/ttyUSB0", s, u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Line{}, fmt.Errorf("url (%q): what is behind the question mark must be like baud=19200&parity=E: %w", s, err)
	}
	port := defaultPort
	port.Device = device
	if u.Scheme == schemeASCII {
		port.DataBits = 7
	}
	if err := applySettings(&port, query); err != nil {
		return Line{}, fmt.Errorf("url (%q): %w", s, err)
	}
	if err := port.Validate(); err != nil {
		return Line{}, fmt.Errorf("url (%q): %w", s, err)
	}
	return Line{Scheme: u.Scheme, Port: port}, nil
}

// applySettings takes baud, data, parity, stop and rs485 from the URL.
func applySettings(port *serialport.Config, query url.Values) error {
	known := []string{"baud", "data", "parity", "stop", "rs485"}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%q is unknown; there are %s", name, strings.Join(known, ", "))
		}
		if len(values) != 1 {
			return fmt.Errorf("%s is given twice", name)
		}
	}
	for name, target := range map[string]*int{"baud": &port.Baud, "data": &port.DataBits} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 1 {
			return fmt.Errorf("%s (%q) must be a number", name, query.Get(name))
		}
		*target = n
	}
	if query.Has("parity") {
		port.Parity = query.Get("parity")
	}
	port.StopBits = query.Get("stop")
	port.RS485.Mode = query.Get("rs485")
	return nil
}

// wire is what the planner and the transport must know of a line's speed.
type wire struct {
	char  time.Duration // one byte of an RTU frame; 0 where there is no wire
	quiet time.Duration // t3.5: the silence between two frames
}

// wire of the line. The standard fixes t3.5 at 1.75 ms above 19200 baud. A
// serial device server keeps it for us. ASCII has two characters a byte, and needs
// no silence.
func (l Line) wire() wire {
	switch {
	case !l.Local():
		return wire{}
	case l.ascii():
		return wire{char: 2 * l.Port.CharTime()}
	}
	char := l.Port.CharTime()
	quiet := char * 7 / 2
	if l.Port.Baud > 19200 {
		quiet = 1750 * time.Microsecond
	}
	return wire{char: char, quiet: quiet}
}
