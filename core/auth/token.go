package auth

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-edge/weir/core/broker/transport"
)

// MethodToken is the name of the enhanced authentication by token. With it a client
// can renew its token without a new connection; without it a token stands in the
// place of the password.
const MethodToken = "OAUTH2-JWT"

// TokenConfig says which tokens are taken.
type TokenConfig struct {
	KeyFiles []string // public keys: PEM, or JSON Web Key Sets
	Secret   string   // of HS256; "": no such tokens
	Issuer   string   // that tokens must have; "": any
	Audience string   // that tokens must be for; "": any
	Claim    string   // that names the user; default sub
	Leeway   time.Duration
	// TrustClock takes tokens even while the clock is not known to be right, so that
	// nobody can say whether they have expired.
	TrustClock bool
}

// Tokens are the rules for JSON Web Tokens. They do not change once they are made.
type Tokens struct {
	cfg  TokenConfig
	keys []key
}

// NewTokens reads the keys.
func NewTokens(cfg TokenConfig) (*Tokens, error) {
	t := &Tokens{cfg: cfg}
	t.cfg.Claim = cmp.Or(cfg.Claim, "sub")
	var errs []error
	for _, file := range cfg.KeyFiles {
		keys, err := readKeys(file)
		t.keys, errs = append(t.keys, keys...), append(errs, err)
	}
	if cfg.Secret != "" {
		k, err := newSecretKey([]byte(cfg.Secret))
		t.keys, errs = append(t.keys, k), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// Len is how many keys there are.
func (t *Tokens) Len() int {
	if t == nil {
		return 0
	}
	return len(t.keys)
}

// maxToken bounds a token.
const maxToken = 8 << 10

// looksLikeToken tells a token from a password: its header is a JSON object in
// base64url, and dots divide it.
func looksLikeToken(secret []byte) bool {
	return bytes.HasPrefix(secret, []byte("eyJ")) && bytes.Count(secret, []byte(".")) == 2
}

// The reasons for which a token is refused.
var (
	errNoClock      = errors.New("the clock is not known to be right, so that nobody can say whether a token has expired")
	errTokenExpired = errors.New("the token has expired")
	errToken        = errors.New("the token is not valid")
)

// grant is what a good token gives.
type tokenGrant struct {
	user  string
	until time.Time
	key   [sha256.Size]byte
}

// check verifies a token at a moment of the wall clock. The key decides about the
// algorithm; the token can only choose among the keys.
func (t *Tokens) check(token []byte, now time.Time, synced bool) (g tokenGrant, err error) {
	if !synced && !t.cfg.TrustClock {
		return g, errNoClock
	}
	if len(token) > maxToken {
		return g, fmt.Errorf("%w: it is longer than %d bytes", errToken, maxToken)
	}
	options := []jwt.ParserOption{
		jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithLeeway(t.cfg.Leeway), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
	}
	if t.cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(t.cfg.Issuer))
	}
	if t.cfg.Audience != "" {
		options = append(options, jwt.WithAudience(t.cfg.Audience))
	}
	parser := jwt.NewParser(options...)
	unverified, _, err := parser.ParseUnverified(string(token), jwt.MapClaims{})
	if err != nil {
		return g, fmt.Errorf("%w: %w", errToken, err)
	}
	if _, critical := unverified.Header["crit"]; critical { // RFC 7515 4.1.11
		return g, fmt.Errorf("%w: it wants extensions that are not known here", errToken)
	}
	for _, k := range t.candidates(unverified) {
		claims := jwt.MapClaims{}
		_, err := parser.ParseWithClaims(string(token), claims, func(*jwt.Token) (any, error) { return k.value, nil })
		switch {
		case errors.Is(err, jwt.ErrTokenSignatureInvalid):
			continue
		case errors.Is(err, jwt.ErrTokenExpired):
			return g, errTokenExpired
		case err != nil:
			return g, fmt.Errorf("%w: %w", errToken, err)
		}
		return t.grant(claims, k)
	}
	return g, fmt.Errorf("%w: no key has signed it", errToken)
}

// candidates are the keys that may have signed a token: those of its algorithm, and
// of its key id where both have one.
func (t *Tokens) candidates(token *jwt.Token) (keys []key) {
	id, _ := token.Header["kid"].(string)
	for _, k := range t.keys {
		if k.alg == token.Method.Alg() && (id == "" || k.id == "" || k.id == id) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (t *Tokens) grant(claims jwt.MapClaims, k key) (g tokenGrant, err error) {
	user, ok := claims[t.cfg.Claim].(string)
	if !ok {
		return g, fmt.Errorf("%w: it has no %s that names a user", errToken, t.cfg.Claim)
	}
	if err := transport.CheckIdentity(user, false); err != nil {
		return g, fmt.Errorf("%w: its %s %q %w", errToken, t.cfg.Claim, user, err)
	}
	until, err := claims.GetExpirationTime()
	if err != nil {
		return g, fmt.Errorf("%w: %w", errToken, err)
	}
	return tokenGrant{user: user, until: until.Add(t.cfg.Leeway), key: k.print}, nil
}

// trusts says whether a key is still one of those that count.
func (t *Tokens) trusts(print [sha256.Size]byte) bool {
	if t == nil {
		return false
	}
	for _, k := range t.keys {
		if k.print == print {
			return true
		}
	}
	return false
}

// same says whether a token that one has taken is taken by the other, but for keys.
func (t *Tokens) same(other *Tokens) bool {
	return t != nil && other != nil && t.cfg.Issuer == other.cfg.Issuer && t.cfg.Audience == other.cfg.Audience && t.cfg.Claim == other.cfg.Claim
}
