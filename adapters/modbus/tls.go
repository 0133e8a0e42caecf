package modbus

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// TLS is the security of a tls:// line: Modbus TCP within TLS, where the device
// usually wants to see a certificate too. Names are those of the configuration
// file.
type TLS struct {
	CA         string // file of PEM certificates; default: those of the system
	Cert, Key  string // files of PEM
	ServerName string // default: the host in the URL
	Insecure   bool   // any certificate is good
}

func (t TLS) validate(scheme string) error {
	switch {
	case scheme != schemeTLS && t != TLS{}:
		return fmt.Errorf("tls: only a line tls://host is encrypted, and this one is %s", scheme)
	case (t.Cert == "") != (t.Key == ""):
		return errors.New("tls: cert and key must be given together")
	}
	return nil
}

// config reads the files anew each time, so that certificates can be renewed.
func (t TLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         cmp.Or(t.ServerName, host),
		InsecureSkipVerify: t.Insecure, //nolint:gosec // asked for, and warned of
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// dialTLS connects and shakes hands, within timeout.
func (l Line) dialTLS(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(l.Address)
	config, err := l.TLS.config(host)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := tls.Dialer{NetDialer: new(net.Dialer), Config: config}
	return d.DialContext(ctx, "tcp", l.Address)
}
