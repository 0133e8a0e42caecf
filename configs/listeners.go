package configs

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
	"github.com/weir-edge/weir/storage"
)

func (c *Config) readListeners(m *strict.Map) {
	var names strict.Names
	m.ListOrOne("listeners", func(m *strict.Map) {
		l := broker.Listener{Name: "default", Address: "127.0.0.1:1883"}
		m.String("name", &l.Name)
		l.Name = m.Unique("name", l.Name, &names)
		m.String("address", &l.Address)
		c.claimAddress(m, l.Address, "listener "+l.Name)
		readProtocol(m, &l)
		m.Map("tls", func(m *strict.Map) { l.TLS = readServerTLS(m) })
		l.Anonymous = isLocal(l.Address)
		m.Bool("anonymous", &l.Anonymous)
		if !l.Anonymous {
			certified := l.TLS != nil && l.TLS.ClientCA != ""
			c.doors = append(c.doors, door{m: m, name: l.Name, certified: certified, clear: l.TLS == nil && !isLocal(l.Address)})
		}
		readProxyProtocol(m, &l)
		readVersions(m, &l)
		readListenerPromise(m, &l)
		strict.Int(m, "max_connections", &l.MaxConnections, 0, 1_000_000)
		packet := int64(0)
		m.Size("max_packet", &packet, kib, 256*mib)
		l.MaxPacket = int(packet)
		if all := c.Limits.MaxPacket; l.MaxPacket > all {
			m.Problem("max_packet", fmt.Sprintf("max_packet (%s) is more than any listener may allow: %s", strict.FormatSize(packet), strict.FormatSize(int64(all))), "limits: {max_packet: "+strict.FormatSize(packet)+"} allows it")
		}
		readManners(m, &l)
		c.Listeners = append(c.Listeners, l)
	})
}

// readManners reads what is special about the topics of a listener, and where it
// sends its clients.
func readManners(m *strict.Map, l *broker.Listener) {
	m.String("mount_point", &l.MountPoint)
	if p := l.MountPoint; p != "" && (topic.ValidName(p) != nil || !strings.HasSuffix(p, "/") || strings.HasPrefix(p, "$")) {
		m.Problem("mount_point", "mount_point ("+p+") must be a topic that ends in \"/\", without wildcards and not of $SYS", "such as site-a/")
	}
	m.String("answers", &l.Answers)
	if a := l.Answers; a != "" && topic.ValidName(a) != nil {
		m.Problem("answers", "answers ("+a+") must be a topic without wildcards", "{client} in it stands for the client id: answers/{client}")
	}
	m.String("redirect", &l.Redirect.To)
	m.Bool("moved", &l.Redirect.Moved)
	if l.Redirect.Moved && l.Redirect.To == "" {
		m.Problem("moved", "moved says nothing without redirect", "redirect: other.example:1883 says where the clients are to go")
	}
}

// readListenerPromise reads what is promised to the clients of a listener, where that
// is not what storage.promise says for all.
func readListenerPromise(m *strict.Map, l *broker.Listener) {
	var p storage.Promise
	strict.Choice(m, "promise", &p, storage.Synced, storage.Written, storage.Memory)
	if l.Promise = p.Level(); p == storage.Written || p == storage.Memory {
		m.Warn("promise", "what is acknowledged to clients of listener "+l.Name+" may be lost in a power cut (promise: "+string(p)+")", "the default, that of storage, synced, keeps it")
	}
}

// readProtocol reads what is below MQTT: nothing, or WebSocket.
func readProtocol(m *strict.Map, l *broker.Listener) {
	protocol := "mqtt"
	strict.Choice(m, "protocol", &protocol, "mqtt", "ws")
	if protocol != "ws" {
		if m.Has("origins") {
			m.Problem("origins", "origins belongs to protocol: ws", "only browsers have an origin")
		}
		return
	}
	l.WebSocket = new(transport.WebSocket)
	m.OneOrMore("origins", &l.WebSocket.Origins)
	for i, o := range l.WebSocket.Origins {
		if _, err := path.Match(o, ""); err != nil || o == "" {
			m.Problem(fmt.Sprintf("origins[%d]", i), fmt.Sprintf("origin (%s) must be a host, or a pattern of hosts", o), "such as panel.example, *.example, https://panel.example or *")
		}
	}
}

// readServerTLS reads the certificates of a listener. The broker reads the files.
func readServerTLS(m *strict.Map) *transport.TLSFiles {
	t := &transport.TLSFiles{Identity: transport.IdentityCN}
	m.Require("cert", "key")
	m.File("cert", &t.Cert)
	m.File("key", &t.Key)
	m.File("client_ca", &t.ClientCA)
	m.Bool("client_optional", &t.ClientOptional)
	m.File("crl", &t.CRL)
	strict.Choice(m, "identity", &t.Identity, transport.IdentityCN, transport.IdentityDNS, transport.IdentityURI, transport.IdentityEM)
	version := "1.2"
	if strict.Choice(m, "min_version", &version, "1.2", "1.3"); version == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	for _, key := range []string{"client_optional", "crl"} {
		if !m.Has("client_ca") && m.Has(key) {
			m.Problem(key, key+" has no meaning without client_ca", "name the authority whose certificates clients show")
		}
	}
	return t
}

// readProxyProtocol reads who may say that it speaks for somebody else.
func readProxyProtocol(m *strict.Map, l *broker.Listener) {
	on, from := false, []string{}
	m.Bool("proxy_protocol", &on)
	m.OneOrMore("proxy_from", &from)
	switch {
	case !on && len(from) > 0:
		m.Problem("proxy_from", "proxy_from has no meaning without proxy_protocol: true", "")
		return
	case !on:
		return
	case len(from) == 0:
		from = []string{"127.0.0.0/8", "::1"}
	}
	for i, text := range from {
		prefix, err := parsePrefix(text)
		if err != nil {
			m.Problem(fmt.Sprintf("proxy_from[%d]", i), fmt.Sprintf("proxy_from (%s) must be an address or a network", text), "such as 10.0.0.5 or 10.0.0.0/24")
		}
		l.ProxyFrom = append(l.ProxyFrom, prefix)
	}
}

func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func readVersions(m *strict.Map, l *broker.Listener) {
	known := map[string]packet.Version{"3.1": packet.V31, "3.1.1": packet.V311, "5": packet.V5}
	var names []string
	m.OneOrMore("versions", &names)
	for i, name := range names {
		v, ok := known[name]
		if !ok {
			m.Problem(fmt.Sprintf("versions[%d]", i), fmt.Sprintf("version (%s) must be 3.1, 3.1.1 or 5", name), "")
		}
		l.Versions = append(l.Versions, v)
	}
}

// readAuth reads who may connect, and what they may do then.
func (c *Config) readAuth(m *strict.Map) {
	c.readUsers(m)
	c.readAccess(m)
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
	if socket, isUnix := strings.CutPrefix(address, unixScheme); isUnix {
		if !filepath.IsAbs(socket) || strings.HasSuffix(socket, "/") {
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
