package transport

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	tcp4      = signature + "\x21\x11\x00\x0c" + "\xc0\x00\x02\x01\xc0\x00\x02\x02\xc3\x50\x07\x5b"
)

// proxyHeaders are headers with what is to be read from them; "" is an error.
var proxyHeaders = map[string]struct {
	header string
	source string // "": an error; "own": that of the socket
}{
	"v1 TCP4":           {"PROXY TCP4 192.0.2.1 192.0.2.2 50000 1883\r\n", "192.0.2.1:50000"},
	"v1 TCP6":           {"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1"},
	"v1 UNKNOWN":        {"PROXY UNKNOWN\r\n", "own"},
	"v1 UNKNOWN, more":  {"PROXY UNKNOWN ff:: ff:: 1 2\r\n", "own"},
	"v1 family":         {"PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n", ""},
	"v1 port":           {"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", ""},
	"v1 port with zero": {"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", ""},
	"v1 destination":    {"PROXY TCP4 192.0.2.1 x 1 2\r\n", ""},
	"v1 fields":         {"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", ""},
	"v1 two spaces":     {"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", ""},
	"v1 zone":           {"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", ""},
	"v1 UDP":            {"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", ""},
	"v1 without an end": {"PROXY TCP4 " + strings.Repeat("1", 200), ""},
	"v2 TCP4":           {tcp4, "192.0.2.1:50000"},
	"v2 TCP6":           {signature + "\x21\x21\x00\x24" + strings.Repeat("\x20\x01", 16) + "\x00\x01\x00\x02", "[2001:2001:2001:2001:2001:2001:2001:2001]:1"},
	"v2 fields behind":  {signature + "\x21\x11\x00\x10" + tcp4[16:] + "\x04\x00\x01x", "192.0.2.1:50000"},
	"v2 LOCAL":          {signature + "\x20\x00\x00\x00", "own"},
	"v2 unix":           {signature + "\x21\x31\x00\x02ab", "own"},
	"v2 command":        {signature + "\x22\x11\x00\x00", ""},
	"v2 version":        {signature + "\x31\x11\x00\x00", ""},
	"v2 short":          {signature + "\x21\x11\x00\x04abcd", ""},
	"v2 too long":       {signature + "\x21\x11\x08\x00", ""},
	"MQTT":              {"\x10\x0c\x00\x04MQTT", ""},
}

func TestProxyHeader(t *testing.T) {
	for name, tc := range proxyHeaders {
		t.Run(name, func(t *testing.T) {
			p, n, err := ParseProxy([]byte(tc.header + "MQTT"))
			if tc.source == "" {
				if err == nil {
					t.Fatalf("accepted as %+v", p)
				}
				return
			}
			want := Proxied{}
			if tc.source != "own" {
				want.Source = netip.MustParseAddrPort(tc.source)
			}
			if err != nil || p != want || n != len(tc.header) {
				t.Errorf("got %+v, %d bytes, %v", p, n, err)
			}
			for i := range tc.header { // every beginning is incomplete
				if _, n, err := ParseProxy([]byte(tc.header[:i])); n != 0 || err != nil {
					t.Fatalf("%d bytes: %d, %v", i, n, err)
				}
			}
		})
	}
}

// TestReadProxy: what comes behind the header, in the same piece or not, is for who
// reads on.
func TestReadProxy(t *testing.T) {
	for _, pieces := range [][]string{{tcp4 + "hello"}, {tcp4, "hello"}, {tcp4[:7], tcp4[7:] + "he", "llo"}} {
		near, far := net.Pipe()
		go func() {
			defer near.Close()
			for _, p := range pieces {
				io.WriteString(near, p)
			}
		}()
		c, p, err := ReadProxy(far)
		if err != nil || p.Source.Port() != 50000 {
			t.Fatalf("%+v, %v", p, err)
		}
		if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	near, far := net.Pipe()
	go func() { io.WriteString(near, tcp4[:20]); near.Close() }()
	if _, _, err := ReadProxy(far); err == nil {
		t.Error("half a header was accepted")
	}
}

func FuzzParseProxy(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, n, err := ParseProxy(b)
		if n > len(b) || n > proxyHead+maxProxyBody || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, %v", n, len(b), err)
		}
		if n == 0 && err == nil && len(b) > proxyHead+maxProxyBody {
			t.Fatal("never complete")
		}
		if p.Source.IsValid() && n == 0 {
			t.Fatal("an address from half a header")
		}
		if again, m, _ := ParseProxy(b[:n]); n > 0 && (again != p || m != n) {
			t.Fatal("what comes behind the header matters")
		}
	})
}
