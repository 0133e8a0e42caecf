package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func certFile(dir, name string) string { return filepath.Join(dir, name+".pem") }
func keyFile(dir, name string) string  { return filepath.Join(dir, name+".key") }

// vacant says that neither file of a name is there.
func vacant(dir, name string) error {
	for _, file := range []string{certFile(dir, name), keyFile(dir, name)} {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("%s is there already, and stays as it is", file)
		}
	}
	return nil
}

// ReadCertificate reads the first certificate of a file.
func ReadCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return cert, nil
	}
	return nil, fmt.Errorf("%s has no certificate", file)
}

// Names are those of the certificates in a folder, that of the authority first.
func Names(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, f := range files {
		if base := filepath.Base(f); base != revoked {
			names = append(names, strings.TrimSuffix(base, ".pem"))
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(order(a), order(b)) })
	return names, nil
}

func order(name string) string {
	switch name {
	case caName:
		return "\x00"
	case ServerName:
		return "\x01"
	}
	return name
}
