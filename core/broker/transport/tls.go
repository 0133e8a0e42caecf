package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// TLSFiles says where the certificates of a listener are, and what it asks of its
// clients. Files are PEM.
type TLSFiles struct {
	Cert, Key string
	// ClientCA has the authorities whose certificates clients must show; "" asks
	// clients for none.
	ClientCA string
	// ClientOptional lets clients without a certificate in as well, who then need
	// another identity.
	ClientOptional bool
	// CRL lists client certificates that were revoked, PEM or DER; "" is no list.
	CRL string
	// Identity is what of a client's certificate becomes its identity.
	Identity IdentityField
	// MinVersion is tls.VersionTLS12 (the default) or tls.VersionTLS13.
	MinVersion uint16
}

// TLS has what the files say, and reads them again when they have changed: a
// certificate that is renewed in place is used from the next connection on. What
// cannot be read leaves what was there in force.
type TLS struct {
	files TLSFiles
	now   func() time.Time

	mu      sync.Mutex
	loaded  *loadedTLS
	stamps  []stamp // of the files, when they were last read
	checked time.Time
	failed  error // why what is in the files now is not in force
}

// loadedTLS is static.
type loadedTLS struct {
	config  *tls.Config
	revoked *revocations
	expires time.Time // of the server's certificate
}

// stamp tells two states of a file apart.
type stamp struct {
	size int64
	time time.Time
}

// checkEvery is how often files are looked at, at most.
const checkEvery = time.Second

// LoadTLS reads the files.
func LoadTLS(files TLSFiles) (*TLS, error) {
	t := &TLS{files: files, now: time.Now}
	return t, t.Reload()
}

// Reload reads the files again, whether they have changed or not.
func (t *TLS) Reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reloadLocked()
}

func (t *TLS) reloadLocked() error {
	t.stamps = t.stampsNow() // first: what changes from here on is seen
	t.checked = t.now()
	loaded, err := t.files.load()
	if t.failed = err; err != nil {
		return err
	}
	// A new configuration has new keys for session tickets: who resumes a session
	// is checked against the authorities of today.
	t.loaded = loaded
	return nil
}

// Config is the configuration for the next connection. changed says that files
// were read again for it, err that they could not be used and the ones before
// still are.
func (t *TLS) Config() (c *tls.Config, changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.now(); now.Sub(t.checked) >= checkEvery {
		t.checked = now
		if !equal(t.stamps, t.stampsNow()) {
			changed, err = true, t.reloadLocked()
		}
	}
	return t.loaded.config, changed, err
}

// Expires is when the server's certificate ends; err says why what is in the files
// now is not in force.
func (t *TLS) Expires() (at time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded.expires, t.failed
}

func (t *TLS) stampsNow() []stamp {
	var all []stamp
	for _, path := range []string{t.files.Cert, t.files.Key, t.files.ClientCA, t.files.CRL} {
		var s stamp
		if info, err := os.Stat(path); path != "" && err == nil {
			s = stamp{info.Size(), info.ModTime()}
		}
		all = append(all, s)
	}
	return all
}

func equal(a, b []stamp) bool {
	for i := range a {
		if a[i].size != b[i].size || !a[i].time.Equal(b[i].time) {
			return false
		}
	}
	return len(a) == len(b)
}

// load reads everything or nothing.
func (f TLSFiles) load() (*loadedTLS, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, explainPair(f, err)
	}
	l := &loadedTLS{config: &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(f.MinVersion, tls.VersionTLS12),
	}, expires: pair.Leaf.NotAfter}
	if f.ClientCA == "" {
		return l, nil
	}
	authorities, pool, err := readAuthorities(f.ClientCA)
	if err != nil {
		return nil, err
	}
	if l.revoked, err = readCRL(f.CRL, authorities); err != nil {
		return nil, err
	}
	l.config.ClientCAs = pool
	l.config.ClientAuth = tls.RequireAndVerifyClientCert
	if f.ClientOptional {
		l.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// Called for resumed sessions as well, unlike VerifyPeerCertificate.
	l.config.VerifyConnection = func(s tls.ConnectionState) error { return f.verify(l, s) }
	return l, nil
}

// verify refuses a client within the handshake, so that it is told.
func (f TLSFiles) verify(l *loadedTLS, s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	for _, chain := range s.VerifiedChains {
		if err := l.revoked.check(chain); err != nil {
			return err
		}
	}
	_, err := f.Identity.Of(s.PeerCertificates[0])
	return err
}

func explainPair(f TLSFiles, err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError
	}
	return fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
}

// readAuthorities refuses a file without any certificate: an empty pool must not
// look like "no authority asked for".
func readAuthorities(path string) ([]*x509.Certificate, *x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var all []*x509.Certificate
	pool := x509.NewCertPool()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("authority in %s: %w", path, err)
		}
		all = append(all, c)
		pool.AddCert(c)
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("%s has no certificate of an authority", path)
	}
	return all, pool, nil
}

// revocations are the serial numbers that an authority has revoked, by the
// authority's name as it stands in certificates.
type revocations struct{ serials map[string]map[string]bool }

// readCRL reads lists that authorities have signed. A list that is out of date is
// used all the same: what it revokes stays revoked.
func readCRL(path string, authorities []*x509.Certificate) (*revocations, error) {
	r := &revocations{serials: map[string]map[string]bool{}}
	if path == "" {
		return r, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lists := crlBlocks(data)
	if len(lists) == 0 {
		return nil, fmt.Errorf("%s has no revocation list", path)
	}
	for _, der := range lists {
		if err := r.add(der, authorities); err != nil {
			return nil, fmt.Errorf("revocation list in %s: %w", path, err)
		}
	}
	return r, nil
}

func crlBlocks(data []byte) (lists [][]byte) {
	if !bytes.Contains(data, []byte("-----BEGIN")) && len(data) > 0 {
		return [][]byte{data}
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			lists = append(lists, block.Bytes)
		}
	}
	return lists
}

func (r *revocations) add(der []byte, authorities []*x509.Certificate) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	for _, a := range authorities {
		if !bytes.Equal(a.RawSubject, list.RawIssuer) || list.CheckSignatureFrom(a) != nil {
			continue
		}
		of := r.serials[string(a.RawSubject)]
		if of == nil {
			of = map[string]bool{}
			r.serials[string(a.RawSubject)] = of
		}
		for _, e := range list.RevokedCertificateEntries {
			of[e.SerialNumber.String()] = true
		}
		return nil
	}
	return fmt.Errorf("none of the authorities has signed it (it is from %s)", list.Issuer)
}

// check looks at every certificate of a chain but its end, the authority itself.
func (r *revocations) check(chain []*x509.Certificate) error {
	for i, c := range chain[:max(len(chain)-1, 0)] {
		if r.serials[string(chain[i+1].RawSubject)][c.SerialNumber.String()] {
			return fmt.Errorf("certificate %s of %s was revoked", c.SerialNumber, c.Subject)
		}
	}
	return nil
}
