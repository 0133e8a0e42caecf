package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Proxied is what the header of the PROXY protocol says about a connection.
type Proxied struct {
	// Source is the client's address. It is not valid where the proxy speaks for
	// itself (a health check) or does not know it: the socket's own address holds.
	Source netip.AddrPort
}

// The signature of version 2. It begins with bytes that no other protocol does.
var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	maxProxyLine = 107       // of version 1, CR LF included
	maxProxyBody = 2<<10 - 1 // of version 2: addresses and fields of the proxy's own
	proxyHead    = 16        // of version 2, before the addresses
)

var errNoProxy = errors.New("no PROXY header")

// ParseProxy reads the header at the beginning of b, which is of version 1 or 2,
// and says how long it is; 0 while it is not complete.
func ParseProxy(b []byte) (p Proxied, n int, err error) {
	const v1 = "PROXY "
	switch {
	case common(b, proxySignature):
		return parseProxy2(b)
	case common(b, []byte(v1)):
		return parseProxy1(b)
	}
	return p, 0, errNoProxy
}

// common says whether b begins with prefix, as far as there is anything.
func common(b, prefix []byte) bool {
	n := min(len(b), len(prefix))
	return bytes.Equal(b[:n], prefix[:n])
}

// parseProxy1 reads the line of version 1:
//
//	PROXY TCP4 192.0.2.1 192.0.2.2 50000 1883 CR LF
//	PROXY UNKNOWN … CR LF
func parseProxy1(b []byte) (p Proxied, n int, err error) {
	line, _, whole := bytes.Cut(b[:min(len(b), maxProxyLine)], []byte("\r\n"))
	if !whole {
		if len(b) >= maxProxyLine {
			return p, 0, errors.New("PROXY line without an end")
		}
		return p, 0, nil
	}
	n = len(line) + 2
	fields := strings.Split(string(line), " ")
	if len(fields) >= 2 && fields[1] == "UNKNOWN" {
		return p, n, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return p, 0, fmt.Errorf("PROXY line %q is not of the form TCP4 source destination port port", line)
	}
	source, err := proxyAddress(fields[1], fields[2], fields[4])
	if err != nil {
		return p, 0, err
	}
	if _, err := proxyAddress(fields[1], fields[3], fields[5]); err != nil {
		return p, 0, err
	}
	return Proxied{Source: source}, n, nil
}

func proxyAddress(family, host, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4() != (family == "TCP4") || ip.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("PROXY line with the address %q for %s", host, family)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("PROXY line with the port %q", port)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// parseProxy2 reads the binary form:
//
//	| signature 12 | version 4 bit, command 4 bit | family 4 bit, transport 4 bit |
//	| length 2 | source | destination | ports 2 + 2 | fields of the proxy's own |
func parseProxy2(b []byte) (p Proxied, n int, err error) {
	if len(b) < proxyHead {
		return p, 0, nil
	}
	version, command, family := b[12]>>4, b[12]&0xF, b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case version != 2 || command > 1:
		return p, 0, fmt.Errorf("PROXY header with version and command %#x", b[12])
	case length > maxProxyBody:
		return p, 0, fmt.Errorf("PROXY header of %d bytes", length)
	case len(b) < proxyHead+length:
		return p, 0, nil
	}
	body := b[proxyHead : proxyHead+length]
	n = proxyHead + length
	if command == 0 { // LOCAL
		return p, n, nil
	}
	p.Source, err = proxySource(family, body)
	if err != nil {
		return p, 0, err
	}
	return p, n, nil
}

// Families and transports of version 2 that have an address for us.
const (
	proxyTCP4 = 0x11
	proxyTCP6 = 0x21
)

func proxySource(family byte, body []byte) (netip.AddrPort, error) {
	size := map[byte]int{proxyTCP4: 4, proxyTCP6: 16}[family]
	if size == 0 { // unspecified, UDP, a Unix socket
		return netip.AddrPort{}, nil
	}
	if len(body) < 2*size+4 {
		return netip.AddrPort{}, fmt.Errorf("PROXY header with %d bytes of addresses", len(body))
	}
	ip, _ := netip.AddrFromSlice(body[:size])
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(body[2*size:])), nil
}

// ReadProxy reads the header from a connection. What came behind it is read first
// from the connection that it returns.
func ReadProxy(c net.Conn) (net.Conn, Proxied, error) {
	buf := make([]byte, 0, 256)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		p, size, perr := ParseProxy(buf)
		switch {
		case perr != nil:
			return nil, p, perr
		case size > 0:
			return ahead(c, buf[size:]), p, nil
		case err != nil:
			return nil, p, fmt.Errorf("read PROXY header: %w", err)
		}
	}
}

// ahead gives a connection from which rest is read first.
func ahead(c net.Conn, rest []byte) net.Conn {
	if len(rest) == 0 {
		return c
	}
	return &aheadConn{Conn: c, rest: rest}
}

type aheadConn struct {
	net.Conn
	rest []byte
}

func (c *aheadConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}
