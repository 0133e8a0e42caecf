package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const secret32 = "0123456789abcdef0123456789abcdef"

// issuer has a key of each kind, made once.
var issuer = sync.OnceValue(func() (i struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
},
) {
	var errs [3]error
	i.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	i.ec, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, i.ed, errs[2] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return i
})

// moment is when the tests check tokens.
var moment = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// claimsFor are those of a good token, with changes.
func claimsFor(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "meter-7", "iss": "https://issuer.example", "aud": "weir", "exp": moment.Add(time.Hour).Unix()}
	for k, v := range changes {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pemOf(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// keySet is a JSON Web Key Set of the issuer's keys, with ids.
func keySet(t testing.TB) []byte {
	t.Helper()
	i := issuer()
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"keys": []map[string]any{
		{"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": b64(i.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(i.ed.Public().(ed25519.PublicKey))},
		{"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(i.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "kid": "p384", "crv": "P-384", "x": "AA", "y": "AA"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tokens makes rules of key files with these contents.
func tokens(t testing.TB, cfg TokenConfig, files ...[]byte) (*Tokens, error) {
	t.Helper()
	for _, data := range files {
		f, err := os.CreateTemp(t.TempDir(), "keys")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		f.Close()
		cfg.KeyFiles = append(cfg.KeyFiles, f.Name())
	}
	return NewTokens(cfg)
}

func TestTokens(t *testing.T) {
	i := issuer()
	rules, err := tokens(t, TokenConfig{Secret: secret32, Issuer: "https://issuer.example", Audience: "weir", Leeway: 10 * time.Second}, keySet(t))
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pemOf(t, &i.rsa.PublicKey)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := claimsFor(nil)
	at := func(d time.Duration) int64 { return moment.Add(d).Unix() }
	unsigned := b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{"sub":"meter-7"}`)) + "."
	for name, tc := range map[string]struct {
		token string
		want  error // nil: it is good
	}{
		"HS256":               {sign(t, jwt.SigningMethodHS256, []byte(secret32), nil, good), nil},
		"RS256":               {sign(t, jwt.SigningMethodRS256, i.rsa, nil, good), nil},
		"RS256 with its id":   {sign(t, jwt.SigningMethodRS256, i.rsa, map[string]any{"kid": "r"}, good), nil},
		"ES256":               {sign(t, jwt.SigningMethodES256, i.ec, map[string]any{"kid": "e"}, good), nil},
		"EdDSA":               {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, good), nil},
		"several audiences":   {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"aud": []string{"a", "weir"}})), nil},
		"within the leeway":   {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"exp": at(-5 * time.Second), "nbf": at(5 * time.Second)})), nil},
		"expired":             {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"exp": at(-11 * time.Second)})), errTokenExpired},
		"not yet":             {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"nbf": at(time.Minute)})), errToken},
		"never expires":       {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"exp": nil})), errToken},
		"another issuer":      {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"iss": "https://issuer.example.evil"})), errToken},
		"no issuer":           {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"iss": nil})), errToken},
		"another audience":    {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"aud": "mail"})), errToken},
		"no audience":         {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"aud": nil})), errToken},
		"no user":             {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"sub": nil})), errToken},
		"user is a number":    {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"sub": 7})), errToken},
		"C8 user is #":        {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"sub": "#"})), errToken},
		"C8 user is a/b":      {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"sub": "a/b"})), errToken},
		"C8 user is empty":    {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"sub": ""})), errToken},
		"unknown extension":   {sign(t, jwt.SigningMethodEdDSA, i.ed, map[string]any{"crit": []string{"x"}}, good), errToken},
		"another's key":       {sign(t, jwt.SigningMethodES256, other, nil, good), errToken},
		"id of another key":   {sign(t, jwt.SigningMethodRS256, i.rsa, map[string]any{"kid": "enc"}, good), errToken},
		"public key as HMAC":  {sign(t, jwt.SigningMethodHS256, rsaPEM, nil, good), errToken},
		"HS512 by the secret": {sign(t, jwt.SigningMethodHS512, []byte(secret32), nil, good), errToken},
		"PS256 by the key":    {sign(t, jwt.SigningMethodPS256, i.rsa, nil, good), errToken},
		"RS512 by the key":    {sign(t, jwt.SigningMethodRS512, i.rsa, nil, good), errToken},
		"none":                {unsigned, errToken},
		"none, in capitals":   {strings.Replace(unsigned, b64([]byte(`{"alg":"none"}`)), b64([]byte(`{"alg":"NONE"}`)), 1), errToken},
		"signature gone":      {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, good)[:100], errToken},
		"empty":               {"", errToken},
		"dots":                {"..", errToken},
		"too long":            {sign(t, jwt.SigningMethodEdDSA, i.ed, nil, claimsFor(jwt.MapClaims{"x": strings.Repeat("x", maxToken)})), errToken},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := rules.check([]byte(tc.token), moment, true)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && (g.user != "meter-7" || !rules.trusts(g.key) || g.until.Before(moment)) {
				t.Errorf("%+v", g)
			}
		})
	}
	t.Run("altered", func(t *testing.T) {
		token := []byte(sign(t, jwt.SigningMethodEdDSA, i.ed, nil, good))
		for at := range token {
			spoilt := append([]byte(nil), token...)
			spoilt[at] ^= 1
			if _, err := rules.check(spoilt, moment, true); err == nil {
				t.Errorf("byte %d may be another", at)
			}
		}
	})
}

func TestUnknownClock(t *testing.T) {
	token := []byte(sign(t, jwt.SigningMethodHS256, []byte(secret32), nil, claimsFor(nil)))
	for trust, want := range map[bool]error{false: errNoClock, true: nil} {
		rules, err := tokens(t, TokenConfig{Secret: secret32, TrustClock: trust})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.check(token, moment, false); !errors.Is(err, want) {
			t.Errorf("trust %v: %v", trust, err)
		}
		if _, err := rules.check(token, moment, true); err != nil {
			t.Error(err)
		}
	}
}

func TestClaim(t *testing.T) {
	rules, err := tokens(t, TokenConfig{Secret: secret32, Claim: "client_id"})
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, jwt.SigningMethodHS256, []byte(secret32), nil, claimsFor(jwt.MapClaims{"client_id": "app"}))
	if g, err := rules.check([]byte(token), moment, true); err != nil || g.user != "app" {
		t.Errorf("%+v %v", g, err)
	}
}

func TestKeyFiles(t *testing.T) {
	i := issuer()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // a runtime that makes no such keys
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(i.ec)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pemOf(t, &i.ec.PublicKey), pemOf(t, i.ed.Public())...)
	for name, tc := range map[string]struct {
		data []byte
		keys int
		want string // in the error
	}{
		"key set":      {keySet(t), 3, ""},
		"PEM":          {both, 2, ""},
		"weak":         {pemOf(t, &weak.PublicKey), 0, "1024 bits"},
		"other curve":  {pemOf(t, &curve.PublicKey), 0, "P-256"},
		"private":      {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0, "private key"},
		"private set":  {[]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`), 0, "secret_file"},
		"empty":        {nil, 0, "no key"},
		"empty set":    {[]byte(`{"keys":[]}`), 0, "no key"},
		"no set":       {[]byte(`{"keys":7}`), 0, "no JSON Web Key Set"},
		"off curve":    {[]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`), 0, "no point"},
		"no number":    {[]byte(`{"keys":[{"kty":"RSA","n":"","e":"AQAB"}]}`), 0, "number of the key"},
		"big exponent": {[]byte(`{"keys":[{"kty":"RSA","n":"` + b64(i.rsa.N.Bytes()) + `","e":"AQABAQABAQAB"}]}`), 0, "exponent"},
		"short key":    {[]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`), 0, "Ed25519"},
		"text":         {[]byte("hello"), 0, "neither PEM nor"},
		"other block":  {pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{1}}), 0, "no public key"},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := tokens(t, TokenConfig{}, tc.data)
			switch {
			case tc.want == "" && (err != nil || rules.Len() != tc.keys):
				t.Errorf("%d keys, %v", rules.Len(), err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := NewTokens(TokenConfig{KeyFiles: []string{filepath.Join(t.TempDir(), "none")}, Secret: "short"}); err == nil ||
		!strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("not everything at once: %v", err)
	}
}

// FuzzToken: nobody without a key gets in, whatever the header says.
func FuzzToken(f *testing.F) {
	rules, err := tokens(f, TokenConfig{Secret: secret32}, keySet(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"alg":"none"}`, `{"sub":"a","exp":9999999999}`, []byte{})
	f.Add(`{"alg":"HS256","kid":"r"}`, `{"sub":"a","exp":9999999999}`, []byte("x"))
	f.Add(`{"alg":"RS256","crit":["b64"],"b64":false}`, `{}`, []byte("x"))
	f.Fuzz(func(t *testing.T, header, claims string, signature []byte) {
		token := b64([]byte(header)) + "." + b64([]byte(claims)) + "." + b64(signature)
		if g, err := rules.check([]byte(token), moment, true); err == nil {
			t.Fatalf("let in as %q", g.user)
		}
		if g, err := rules.check([]byte(header+"."+claims+"."), moment, true); err == nil {
			t.Fatalf("let in as %q", g.user)
		}
	})
}

// FuzzKeys: a file of keys is taken or refused, and a key that is taken is one.
func FuzzKeys(f *testing.F) {
	f.Add(keySet(f))
	f.Add(pemOf(f, issuer().ed.Public()))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys(data)
		if err != nil {
			return
		}
		for _, k := range keys {
			if k.alg == "" || k.value == nil {
				t.Fatalf("%+v", k)
			}
		}
	})
}
