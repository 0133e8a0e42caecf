package transport

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	for a, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := Network(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %s", a, got)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("a Unix socket has an address")
	}
}
