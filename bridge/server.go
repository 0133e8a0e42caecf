package bridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// server is one of the upstream's addresses.
type server struct {
	url     string // as configured, without credentials
	host    string
	address string // host:port
	tls     bool
	web     bool // MQTT over WebSocket

	// old: it has said that it does not speak MQTT 5. Owned by Run.
	old bool
}

func parseServer(raw string) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL: it should look like mqtts://broker.example:8883", raw)
	}
	s := &server{host: u.Hostname()}
	port := "1883"
	switch u.Scheme {
	case "mqtt":
	case "mqtts":
		s.tls, port = true, "8883"
	case "ws":
		s.web, port = true, "80"
	case "wss":
		s.web, s.tls, port = true, true, "443"
	default:
		return nil, fmt.Errorf("%s must begin with mqtt://, mqtts://, ws:// or wss://", u.Redacted())
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%s: user name and password belong into fields of their own", u.Redacted())
	case s.host == "":
		return nil, fmt.Errorf("%s has no host", u.Redacted())
	case u.Fragment != "", !s.web && (u.Path != "" && u.Path != "/" || u.RawQuery != ""):
		return nil, fmt.Errorf("%s has something behind the port", u.Redacted())
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("%s has a port that is not between 1 and 65535", u.Redacted())
		}
		port = p
	}
	s.address = net.JoinHostPort(s.host, port)
	s.url = u.Scheme + "://" + s.address
	if s.web {
		s.url += u.RequestURI()
	}
	return s, nil
}

// looksSecure says whether the port is one for TLS, and it is dialled without.
func (s *server) looksSecure() bool {
	return !s.tls && (strings.HasSuffix(s.address, ":8883") || strings.HasSuffix(s.address, ":443"))
}

// load makes the configuration of a connection to host from the files.
func (t TLS) load(host string) (*tls.Config, error) {
	if t.ServerName != "" {
		host = t.ServerName
	}
	c := &tls.Config{
		ServerName:         host,
		NextProtos:         t.ALPN,
		InsecureSkipVerify: t.Insecure,
		MinVersion:         tls.VersionTLS12,
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate in PEM form", t.CA)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, errors.New("cert and key must be given together")
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
