package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// clientTLS are the flags of TLS, named as those of mosquitto_pub.
type clientTLS struct {
	ca, cert, key string
	system        bool // the authorities that the system trusts
	insecure      bool
}

func (t *clientTLS) flags(f *pflag.FlagSet) {
	f.StringVar(&t.ca, "cafile", "", "TLS: file with the authorities that may have certified the broker")
	f.BoolVar(&t.system, "tls-use-os-certs", false, "TLS: the authorities that this system trusts")
	f.StringVar(&t.cert, "cert", "", "TLS: file with our certificate, if the broker asks for one")
	f.StringVar(&t.key, "key", "", "TLS: file with its key")
	f.BoolVar(&t.insecure, "insecure", false, "TLS: take a certificate of another name, too; for tests only")
}

func (t *clientTLS) wanted() bool { return t.ca != "" || t.system }

// config is nil where TLS is not wanted.
func (t *clientTLS) config(host string) (*tls.Config, error) {
	switch {
	case !t.wanted() && (t.cert != "" || t.insecure):
		return nil, errors.New("TLS needs --cafile or --tls-use-os-certs")
	case (t.cert == "") != (t.key == ""):
		return nil, errors.New("--cert and --key belong together")
	case !t.wanted():
		return nil, nil
	}
	c := &tls.Config{ServerName: host}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("--cafile: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--cafile: %s has no certificate", t.ca)
		}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.insecure {
		anyName(c)
	}
	return c, nil
}

// anyName takes every name in the broker's certificate, but no other authority.
func anyName(c *tls.Config) {
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: c.RootCAs, Intermediates: between})
		return err
	}
}

// connect dials the broker.
func (o *clientOptions) connect(ctx context.Context) (net.Conn, error) {
	config, err := o.tls.config(o.host)
	if err != nil {
		return nil, usageError{err}
	}
	port := o.port
	if port == 0 {
		port = 1883
		if config != nil {
			port = 8883
		}
	}
	address := net.JoinHostPort(o.host, strconv.Itoa(port))
	d := net.Dialer{Timeout: 10 * time.Second}
	if config == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", address)
}
