package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
)

// The algorithms of tokens. Which one a token may have is fixed by the kind of the
// key, never by the token.
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

// key verifies tokens.
type key struct {
	id    string // of the key set; "": none
	alg   string
	value any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	print [sha256.Size]byte
}

const (
	minRSABits  = 2048
	minSecret   = 32 // bytes, for HS256 (RFC 7518 3.2)
	maxKeyFile  = 1 << 20
	maxKeyCount = 64
)

// newKey takes a public key for what it is.
func newKey(id string, public any) (key, error) {
	k := key{id: id, value: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSABits || p.E < 3 {
			return k, fmt.Errorf("an RSA key has %d bits; it must have %d", p.N.BitLen(), minRSABits)
		}
		k.alg = algRS256
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return k, errors.New("an EC key is not of the curve P-256")
		}
		k.alg = algES256
	case ed25519.PublicKey:
		k.alg = algEdDSA
	default:
		return k, fmt.Errorf("a key of kind %T is not taken: RSA, EC P-256 and Ed25519 are", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return k, err
	}
	k.print = sha256.Sum256(der)
	return k, nil
}

// newSecretKey is the key of HS256.
func newSecretKey(secret []byte) (key, error) {
	if len(secret) < minSecret {
		return key{}, fmt.Errorf("the secret has %d bytes; for HS256 it must have %d", len(secret), minSecret)
	}
	return key{alg: algHS256, value: bytes.Clone(secret), print: sha256.Sum256(append([]byte("secret\x00"), secret...))}, nil
}

// readKeys reads a file of public keys: PEM (keys or certificates), or a JSON Web
// Key Set.
func readKeys(file string) ([]key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s is no file of keys", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(keys) == 0:
		return nil, fmt.Errorf("%s has no key that can verify a token (RSA, EC P-256 or Ed25519)", file)
	case len(keys) > maxKeyCount:
		return nil, fmt.Errorf("%s has %d keys, more than %d", file, len(keys), maxKeyCount)
	}
	return keys, nil
}

func parseKeys(data []byte) ([]key, error) {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '{' {
		return parseKeySet(data)
	}
	return parsePEM(data)
}

func parsePEM(data []byte) (keys []key, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		var public any
		switch {
		case block.Type == "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = c.PublicKey
			}
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, errors.New("this is a private key, which only the issuer of tokens should have: give the public one")
		default:
			return nil, fmt.Errorf("a block %q is no public key", block.Type)
		}
		if err != nil {
			return nil, err
		}
		k, err := newKey("", public)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return nil, errors.New("it is neither PEM nor a JSON Web Key Set")
	}
	return keys, nil
}

// webKey is a member of a key set (RFC 7517, 7518, 8037).
type webKey struct {
	Kind  string   `json:"kty"`
	Use   string   `json:"use"`
	Ops   []string `json:"key_ops"`
	Alg   string   `json:"alg"`
	ID    string   `json:"kid"`
	Curve string   `json:"crv"`
	N     string   `json:"n"`
	E     string   `json:"e"`
	X     string   `json:"x"`
	Y     string   `json:"y"`
	// Private parts.
	D string `json:"d"`
	K string `json:"k"`
}

// parseKeySet takes what can verify tokens here. Keys of other kinds and for other
// purposes are in many sets, and left alone.
func parseKeySet(data []byte) (keys []key, err error) {
	var set struct {
		Keys []webKey `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("it is no JSON Web Key Set: %w", err)
	}
	for i, w := range set.Keys {
		if w.D != "" || w.K != "" {
			return nil, fmt.Errorf("keys[%d] has a private part: a key set is public; the secret of HS256 belongs into a secret_file", i)
		}
		public, err := w.public()
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		if public == nil || w.Use != "" && w.Use != "sig" {
			continue
		}
		k, err := newKey(w.ID, public)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		if w.Alg == "" || w.Alg == k.alg {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// public is the key itself; nil is one of a kind that is not used here.
func (w webKey) public() (crypto.PublicKey, error) {
	switch {
	case w.Kind == "RSA":
		n, err1 := number(w.N)
		e, err2 := number(w.E)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if e.BitLen() > 31 {
			return nil, errors.New("the exponent is too large")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case w.Kind == "EC" && w.Curve == "P-256":
		x, err1 := number(w.X)
		y, err2 := number(w.Y)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return pointP256(x, y)
	case w.Kind == "OKP" && w.Curve == "Ed25519":
		x, err := base64.RawURLEncoding.DecodeString(w.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x is no key of Ed25519")
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, nil
}

// pointP256 makes a key of a point that is on the curve.
func pointP256(x, y *big.Int) (*ecdsa.PublicKey, error) {
	if x.BitLen() > 256 || y.BitLen() > 256 {
		return nil, errors.New("x, y is no point of P-256")
	}
	raw := make([]byte, 65)
	raw[0] = 4
	x.FillBytes(raw[1:33])
	y.FillBytes(raw[33:])
	if _, err := ecdh.P256().NewPublicKey(raw); err != nil {
		return nil, errors.New("x, y is no point of P-256")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
}

func number(text string) (*big.Int, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b) > 1<<10 {
		return nil, errors.New("a number of the key is missing or not base64url")
	}
	return new(big.Int).SetBytes(b), nil
}
