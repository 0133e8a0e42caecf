package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	authorityDays = 10 * 365
	maxDays       = authorityDays
	// early is for devices whose clock is behind.
	early = 24 * time.Hour
)

// authority signs the certificates of a folder.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// certWish is a certificate to make: of a client, by its name, or of the gateway.
type certWish struct {
	name  string // of the client; "": the gateway's
	hosts []string
	days  int
}

func (w certWish) file() string {
	if w.name == "" {
		return serverFile
	}
	return w.name
}

// openAuthority is that of a folder, made when there is none.
func openAuthority(folder string) (a *authority, made bool, err error) {
	certFile, keyFile := filepath.Join(folder, authorityFile+".pem"), filepath.Join(folder, authorityFile+".key")
	if !fileExists(certFile) && !fileExists(keyFile) {
		a, err = newAuthority(folder)
		return a, err == nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, false, fmt.Errorf("the authority in %s cannot be used: %w", folder, err)
	}
	if !pair.Leaf.IsCA || time.Now().After(pair.Leaf.NotAfter) {
		return nil, false, fmt.Errorf("%s is no authority, or has expired", certFile)
	}
	return &authority{cert: pair.Leaf, key: pair.PrivateKey.(crypto.Signer)}, false, nil // all keys of certificates sign
}

func newAuthority(folder string) (*authority, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	template := template(authorityDays)
	// The end of the serial number tells the authorities of one machine apart.
	template.Subject = pkix.Name{CommonName: fmt.Sprintf("Weir authority of %s %x", host, template.SerialNumber.Bytes()[:2])}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a := &authority{cert: template}
	a.cert, err = a.sign(folder, authorityFile, template)
	return a, err
}

// template is what all certificates have in common.
func template(days int) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails
	serial[0] = serial[0]&0x7F | 0x40
	t := &x509.Certificate{NotBefore: time.Now().Add(-early), NotAfter: time.Now().AddDate(0, 0, days)}
	t.SerialNumber = new(big.Int).SetBytes(serial)
	return t
}

// issue makes a certificate and its key.
func (a *authority) issue(folder string, want certWish) (*x509.Certificate, error) {
	t := template(want.days)
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if want.name != "" {
		t.Subject.CommonName = want.name
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		return a.sign(folder, want.name, t)
	}
	t.Subject.CommonName = want.hosts[0]
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range want.hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return a.sign(folder, serverFile, t)
}

// sign makes a key and writes both: the key first, so that who looks at the
// certificate finds its key. An authority without a key signs itself.
func (a *authority) sign(folder, file string, t *x509.Certificate) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if a.key == nil {
		a.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return cert, errors.Join(
		replaceFile(filepath.Join(folder, file+".key"), 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		replaceFile(filepath.Join(folder, file+".pem"), 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	)
}

// replaceFile writes a file as a whole or not at all. Where root writes into somebody's
// folder the file is that somebody's.
func replaceFile(path string, mode os.FileMode, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), ownedByFolder(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) // the error that counts is there
	}
	return err
}

// ownedByFolder gives a file to the owner of its folder, if it is ours to give.
func ownedByFolder(f *os.File) error {
	info, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}

// namesOf are the names of a certificate: those of a host, or its subject.
func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{cert.Subject.CommonName}
	}
	return names
}

// ownNames are the names and addresses of this machine.
func ownNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append([]string{host, host + ".local"}, names...)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	return names
}
