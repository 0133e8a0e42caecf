package transport

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IdentityField is the part of a client's certificate that names it.
type IdentityField string

// The fields.
const (
	IdentityCN  IdentityField = "cn"    // the common name of the subject; the default
	IdentityDNS IdentityField = "dns"   // the DNS name among the alternative names
	IdentityURI IdentityField = "uri"   // the URI there
	IdentityEM  IdentityField = "email" // the e-mail address there
)

// Of is the identity in a certificate. Rules put it into topics, so what would
// widen them or cannot be told from another (wildcards, levels, control characters,
// two names) is no identity.
func (f IdentityField) Of(c *x509.Certificate) (string, error) {
	var names []string
	switch f {
	case IdentityDNS:
		names = c.DNSNames
	case IdentityEM:
		names = c.EmailAddresses
	case IdentityURI:
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
	default:
		names = commonNames(c)
	}
	if len(names) != 1 {
		return "", fmt.Errorf("certificate of %s has %d names to go by, not one", c.Subject, len(names))
	}
	if err := CheckIdentity(names[0], f == IdentityURI); err != nil {
		return "", fmt.Errorf("certificate of %s: the name %q %w", c.Subject, names[0], err)
	}
	return names[0], nil
}

// commonNames are all of them: Subject.CommonName is only the last.
func commonNames(c *x509.Certificate) (all []string) {
	commonName := asn1.ObjectIdentifier{2, 5, 4, 3}
	for _, a := range c.Subject.Names {
		if s, ok := a.Value.(string); ok && a.Type.Equal(commonName) {
			all = append(all, s)
		}
	}
	return all
}

const maxIdentity = 256

// CheckIdentity says what is wrong with a name of who connects, wherever it comes
// from: what may stand in a topic as one level of it cannot widen a rule.
func CheckIdentity(name string, slashes bool) error {
	switch {
	case name == "" || len(name) > maxIdentity:
		return fmt.Errorf("is not of 1 to %d bytes", maxIdentity)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("has characters that cannot be shown")
	case strings.ContainsAny(name, "+#") || !slashes && strings.Contains(name, "/"):
		return errors.New("has a character with a meaning in topics")
	}
	return nil
}
