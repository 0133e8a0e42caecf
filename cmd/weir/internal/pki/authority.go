package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/replace"
)

// The names of the files that each authority has.
const (
	caName     = "ca"
	ServerName = "server"
	revoked    = "revoked.pem"
)

// How long certificates last. That of a gateway is as long as browsers and phones
// accept; clients are in cabinets, where nobody comes by every two years.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	ServerLife    = 825 * 24 * time.Hour
	ClientLife    = 10 * 365 * 24 * time.Hour
)

// sane is before any clock that is right: a certificate of an earlier day would be
// over before it is used.
var sane = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Authority issues certificates.
type Authority struct {
	dir  string
	now  time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Create makes an authority in a folder that has none.
func Create(dir, name string, now time.Time) (*Authority, error) {
	if now.Before(sane) {
		return nil, fmt.Errorf("the clock says %s, and certificates of that day would be over already: set it first", now.Format(time.DateOnly))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := vacant(dir, caName); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, now: now}
	template := a.template(pkix.Name{CommonName: name, Organization: []string{"Weir"}}, authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.key = key
	if err := a.write(caName, der, key); err != nil {
		return nil, err
	}
	return a, a.writeList(nil)
}

// Open reads the authority of a folder. Without one the error is
// [fs.ErrNotExist].
func Open(dir string, now time.Time) (*Authority, error) {
	cert, err := ReadCertificate(certFile(dir, caName))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(keyFile(dir, caName))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no key", keyFile(dir, caName))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile(dir, caName), err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", keyFile(dir, caName), certFile(dir, caName))
	}
	return &Authority{dir: dir, now: now, cert: cert, key: ec}, nil
}

// Server issues the certificate of the gateway, for names and addresses.
func (a *Authority) Server(hosts []string, life time.Duration) (*x509.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("the gateway's certificate needs a name or an address")
	}
	t := a.template(pkix.Name{CommonName: hosts[0]}, life)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
			continue
		}
		if err := checkHost(h); err != nil {
			return nil, err
		}
		t.DNSNames = append(t.DNSNames, h)
	}
	return a.issue(ServerName, t)
}

// checkHost refuses what no client could look up.
func checkHost(name string) error {
	if len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool {
		return r > 127 || r <= ' ' || strings.ContainsRune(`/\:@,;"'*+`, r)
	}) {
		return fmt.Errorf("%q is neither the name of a host nor an address", name)
	}
	return nil
}

// Client issues the certificate of a client, whose user name is name.
func (a *Authority) Client(name string, life time.Duration) (*x509.Certificate, error) {
	if err := transport.CheckIdentity(name, false); err != nil {
		return nil, fmt.Errorf("the name %q %w", name, err)
	}
	if name == caName || name == ServerName || name == strings.TrimSuffix(revoked, ".pem") || strings.ContainsAny(name, `\`) || name[0] == '.' {
		return nil, fmt.Errorf("a client cannot be called %q here, because of the files", name)
	}
	t := a.template(pkix.Name{CommonName: name}, life)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(name, t)
}

// issue makes a key and its certificate, which are not there yet.
func (a *Authority) issue(name string, t *x509.Certificate) (*x509.Certificate, error) {
	if err := vacant(a.dir, name); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.sign(name, t, key.Public())
	if err != nil {
		return nil, err
	}
	return cert, a.write(name, cert.Raw, key)
}

// Renew issues a certificate again, for the same key and names, and the time that it
// was made for. The old one stays valid until its end.
func (a *Authority) Renew(name string) (*x509.Certificate, error) {
	file := certFile(a.dir, name)
	old, err := ReadCertificate(file)
	if err != nil {
		return nil, err
	}
	if err := old.CheckSignatureFrom(a.cert); err != nil {
		return nil, fmt.Errorf("%s is not of this authority: %w", file, err)
	}
	t := a.template(old.Subject, old.NotAfter.Sub(old.NotBefore)-backdate)
	t.ExtKeyUsage, t.DNSNames, t.IPAddresses = old.ExtKeyUsage, old.DNSNames, old.IPAddresses
	cert, err := a.sign(name, t, old.PublicKey)
	if err != nil {
		return nil, err
	}
	return cert, replace.Public(file, encode("CERTIFICATE", cert.Raw))
}

// backdate lets clients in whose clocks are a little behind.
const backdate = time.Hour

func (a *Authority) template(subject pkix.Name, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject: subject, NotBefore: a.now.Add(-backdate).UTC(), NotAfter: a.now.Add(life).UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// sign issues what the template says, for no longer than the authority lasts. It is
// noted before anybody has it: what is not noted could not be revoked.
func (a *Authority) sign(name string, t *x509.Certificate, key any) (*x509.Certificate, error) {
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	if !t.NotAfter.After(a.now) {
		return nil, fmt.Errorf("the authority ended on %s: make a new one in another folder", a.cert.NotAfter.Format(time.DateOnly))
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return cert, a.note(name, cert.SerialNumber)
}

// write keeps the key first: a certificate without its key is of no use.
func (a *Authority) write(name string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := replace.Secret(keyFile(a.dir, name), encode("PRIVATE KEY", der)); err != nil {
		return err
	}
	return replace.Public(certFile(a.dir, name), encode("CERTIFICATE", cert))
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
