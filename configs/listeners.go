package configs

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/broker"
)

// noUsers says what to do where only users would be let in.
const noUsers = "listen on 127.0.0.1 or on a unix socket, or write \"anonymous: true\" if everybody in that network may publish and subscribe"

func (c *Config) readListeners(m *strict.Map) {
	var names strict.Names
	m.ListOrOne("listeners", func(m *strict.Map) {
		l := broker.Listener{Name: "default", Address: "127.0.0.1:1883"}
		m.String("name", &l.Name)
		l.Name = m.Unique("name", l.Name, &names)
		m.String("address", &l.Address)
		c.claimAddress(m, l.Address, "listener "+l.Name)
		readProtocol(m)
		m.Unavailable("tls", "use a listener on 127.0.0.1 and a TLS terminator in front of it")
		l.Anonymous = isLocal(l.Address)
		m.Bool("anonymous", &l.Anonymous)
		if !l.Anonymous {
			m.Problem("address", fmt.Sprintf("nobody could connect to listener %s: it takes users only, and this version has none", l.Name), noUsers)
		}
		refuseTrue(m, "proxy_protocol")
		c.Listeners = append(c.Listeners, l)
	})
}

func readProtocol(m *strict.Map) {
	protocol := "mqtt"
	if strict.Choice(m, "protocol", &protocol, "mqtt", "ws"); protocol == "ws" {
		m.Problem("protocol", "protocol (ws) is not available in this version", "remove it: mqtt is the default")
	}
}

// refuseTrue takes a switch that has no effect yet, as long as it is off.
func refuseTrue(m *strict.Map, key string) {
	on := false
	if m.Bool(key, &on); on {
		m.Unavailable(key, "remove it")
	}
}

// readAuth refuses the whole section: it must never look as if it did something.
func readAuth(m *strict.Map) {
	m.Unavailable("users", noUsers)
	m.Unavailable("acl", "remove it: everybody who connects may publish and subscribe everywhere")
}

// claimAddress checks an address and that nothing else has it.
func (c *Config) claimAddress(m *strict.Map, address, what string) {
	if err := checkAddress(address); err != nil {
		m.Problem("address", fmt.Sprintf("address (%s) %v", address, err), "such as 127.0.0.1:1883, 0.0.0.0:1883 or unix:///run/weir/mqtt.sock")
		return
	}
	if other, taken := c.used[address]; taken {
		m.Problem("address", fmt.Sprintf("address (%s) belongs to %s already", address, other), "give each its own port")
		return
	}
	if !strings.HasSuffix(address, ":0") { // the system chooses another one each time
		c.used[address] = what
	}
}

// checkAddress says what is wrong with host:port or unix:///path.
func checkAddress(address string) error {
	if path, isUnix := strings.CutPrefix(address, unixScheme); isUnix {
		if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
			return fmt.Errorf("must name a socket by its whole path")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("must be host:port or unix:///path")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port == "0" && n != 0 {
		return fmt.Errorf("has a port (%s) that is not between 0 and 65535", port)
	}
	if strings.ContainsAny(host, "/ @") {
		return fmt.Errorf("has no valid host")
	}
	return nil
}

const unixScheme = "unix://"

// isLocal says whether only this machine reaches an address.
func isLocal(address string) bool {
	if strings.HasPrefix(address, unixScheme) {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // wrong, and said so
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
