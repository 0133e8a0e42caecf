package transport

import "net/netip"

// Network is what counts as one address where somebody could have many: of IPv6
// everybody has a whole /64.
func Network(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a.Unmap()
}
