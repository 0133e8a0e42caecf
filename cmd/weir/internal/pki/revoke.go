package pki

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-edge/weir/core/replace"
)

// Revoke puts all certificates of a client on the list, and says how many there are.
func (a *Authority) Revoke(name string) (int, error) {
	serials, err := a.issued(name)
	if err != nil {
		return 0, err
	}
	if len(serials) == 0 {
		return 0, fmt.Errorf("no certificate was issued to %q here", name)
	}
	list, err := a.list()
	if err != nil {
		return 0, err
	}
	known := make(map[string]bool)
	for _, e := range list {
		known[e.SerialNumber.String()] = true
	}
	for _, s := range serials {
		if !known[s.String()] {
			list = append(list, x509.RevocationListEntry{SerialNumber: s, RevocationTime: a.now.UTC()})
		}
	}
	return len(serials), a.writeList(list)
}

func (a *Authority) issuedFile() string { return filepath.Join(a.dir, "issued.txt") }

// note remembers a certificate: a line is a serial number in hex, and a name.
func (a *Authority) note(name string, serial *big.Int) error {
	text, err := os.ReadFile(a.issuedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replace.Secret(a.issuedFile(), fmt.Appendf(text, "%x %s\n", serial, name))
}

// issued are the serial numbers of a name.
func (a *Authority) issued(name string) (serials []*big.Int, err error) {
	text, err := os.ReadFile(a.issuedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		hex, of, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		serial, ok := new(big.Int).SetString(hex, 16)
		if !ok {
			return nil, fmt.Errorf("%s:%d: %q is no serial number", a.issuedFile(), number, hex)
		}
		if of == name {
			serials = append(serials, serial)
		}
	}
	return serials, nil
}

// list is what is revoked so far.
func (a *Authority) list() ([]x509.RevocationListEntry, error) {
	text, err := os.ReadFile(filepath.Join(a.dir, revoked))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no revocation list", revoked)
	}
	l, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", revoked, err)
	}
	return l.RevokedCertificateEntries, l.CheckSignatureFrom(a.cert)
}

func (a *Authority) writeList(entries []x509.RevocationListEntry) error {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(a.now.UnixMilli()), ThisUpdate: a.now.UTC(), NextUpdate: a.cert.NotAfter, RevokedCertificateEntries: entries,
	}, a.cert, a.key)
	if err != nil {
		return err
	}
	return replace.Public(filepath.Join(a.dir, revoked), encode("X509 CRL", der))
}
