package transport

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Client is a client's certificate that was good when it was shown.
type Client struct {
	Identity string

	tls   *TLS
	chain []*x509.Certificate
	good  *tls.Config // by which it is
}

// ClientOf is the certificate of the peer of a finished handshake, which went by a
// configuration; nil where the peer has shown none.
func (t *TLS) ClientOf(s tls.ConnectionState, by *tls.Config) *Client {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	identity, err := t.files.Identity.Of(s.PeerCertificates[0])
	if err != nil {
		return nil // the handshake would have failed
	}
	return &Client{Identity: identity, tls: t, chain: s.PeerCertificates, good: by}
}

// Holds says whether the certificate is good by the authorities and the revocation
// list of now. It costs something only when these have been read again.
func (c *Client) Holds() bool {
	c.tls.mu.Lock()
	now := c.tls.loaded
	c.tls.mu.Unlock()
	if c.good == now.config {
		return true
	}
	if !now.admits(c.chain, c.tls.now()) {
		return false
	}
	c.good = now.config
	return true
}

// admits says whether a chain leads to an authority and nothing in it is revoked.
func (l *loadedTLS) admits(chain []*x509.Certificate, at time.Time) bool {
	if l.config.ClientCAs == nil {
		return false // the system's authorities are nobody here
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{
		Roots: l.config.ClientCAs, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return false
	}
	for _, chain := range chains {
		if l.revoked.check(chain) != nil {
			return false
		}
	}
	return true
}
