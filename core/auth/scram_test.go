package auth

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
)

// scramClient is the client's side of an exchange.
type scramClient struct{ user, password, header, nonce, said string }

func (c *scramClient) first() []byte {
	c.header, c.nonce = "n,,", "abc"
	c.said = "n=" + c.user + ",r=" + c.nonce
	return []byte(c.header + c.said)
}

// last answers a challenge; signature is what the server must show then.
func (c *scramClient) last(t testing.TB, challenge []byte) (message []byte, signature string) {
	t.Helper()
	fields := map[byte]string{}
	for f := range strings.SplitSeq(string(challenge), ",") {
		fields[f[0]] = f[2:]
	}
	salt, err := base64.StdEncoding.DecodeString(fields['s'])
	if err != nil {
		t.Fatal(err)
	}
	iterations, err := strconv.Atoi(fields['i'])
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, c.password, salt, iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(c.header)) + ",r=" + fields['r']
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	all := c.said + "," + string(challenge) + "," + without
	proof := xor(key, mac(stored[:], all))
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(proof)), "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), all))
}

// TestScramVector is the example of RFC 7677.
func TestScramVector(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	k := &scramKeys{iterations: 4096, salt: salt}
	k.stored, k.serverKey = k.derive("pencil")
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	s := &scram{
		keys: k, known: true, header: "n,,", nonce: nonce,
		said: "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	}
	proof, ok := s.finish([]byte("c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if !ok || string(proof) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("%s %v", proof, ok)
	}
}

// TestPrepared: what looks the same is the same, however it is typed or kept.
func TestPrepared(t *testing.T) {
	const composed, decomposed = "J\u00fcrgen", "Ju\u0308rgen"
	const password = "p\u00adass\u00a0w\u00f6rd" // soft hyphen, space that does not break
	forms := []string{password, "pass wo\u0308rd", "pass w\u00f6rd"}
	for _, kept := range []string{composed, decomposed} {
		keys := newScramKeys([]byte(password), minScramIterations)
		users := readUsers(t, kept+":"+keys.String())
		for _, name := range []string{composed, decomposed} {
			c := &scramClient{user: name, password: "pass w\u00f6rd"} // as SASLprep makes it
			s, challenge, err := beginScram(users, []byte("key"), c.first())
			if err != nil {
				t.Fatal(err)
			}
			last, _ := c.last(t, challenge)
			if _, ok := s.finish(last); !ok || s.user != kept {
				t.Errorf("%q is kept, %q logs in as %q: %v", kept, name, s.user, ok)
			}
		}
		for _, form := range forms {
			if !keys.matches([]byte(form)) {
				t.Errorf("%q is another password", form)
			}
		}
		if keys.matches([]byte("pass word")) {
			t.Error("another letter is the same")
		}
	}
	old := &scramKeys{iterations: minScramIterations, salt: random(saltSize)}
	old.stored, old.serverKey = old.derive(password)
	if !old.matches([]byte(password)) {
		t.Error("keys from before are worth nothing")
	}
	for _, odd := range []string{"\U0001f511", "\u00ad", "\u0627x", "a\tb"} { // too young, nothing left, mixed directions, control
		if prepared(odd) != odd {
			t.Errorf("%q becomes %q", odd, prepared(odd))
		}
	}
}

func TestScram(t *testing.T) {
	users := readUsers(t,
		"alice:"+newScramKeys([]byte("secret"), minScramIterations).String(),
		"a,b=c:"+newScramKeys([]byte("secret"), minScramIterations).String(),
		"bob:"+cheap("secret"))
	for name, tc := range map[string]struct {
		user, password string
		spoil          func(last []byte) []byte
		want           bool
	}{
		"good":              {"alice", "secret", nil, true},
		"escaped name":      {"a=2Cb=3Dc", "secret", nil, true},
		"wrong password":    {"alice", "Secret", nil, false},
		"empty password":    {"alice", "", nil, false},
		"unknown user":      {"eve", "secret", nil, false},
		"user of argon2":    {"bob", "secret", nil, false},
		"proof cut":         {"alice", "secret", func(m []byte) []byte { return m[:len(m)-4] }, false},
		"no proof":          {"alice", "secret", func(m []byte) []byte { return m[:bytes.Index(m, []byte(",p="))] }, false},
		"empty":             {"alice", "secret", func([]byte) []byte { return nil }, false},
		"other nonce":       {"alice", "secret", func(m []byte) []byte { return bytes.Replace(m, []byte("r=abc"), []byte("r=abd"), 1) }, false},
		"other channel":     {"alice", "secret", func(m []byte) []byte { return bytes.Replace(m, []byte("biws"), []byte("eSws"), 1) }, false},
		"more in the proof": {"alice", "secret", func(m []byte) []byte { return append(m, ",p="...) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &scramClient{user: tc.user, password: tc.password}
			s, challenge, err := beginScram(users, []byte("key"), c.first())
			if err != nil {
				t.Fatal(err)
			}
			last, signature := c.last(t, challenge)
			if tc.spoil != nil {
				last = tc.spoil(last)
			}
			proof, ok := s.finish(last)
			if ok != tc.want || ok && string(proof) != signature || !ok && proof != nil {
				t.Errorf("%v, %s", ok, proof)
			}
		})
	}
}

func TestScramMalformed(t *testing.T) {
	users := readUsers(t)
	for name, message := range map[string]string{
		"empty":            "",
		"no header":        "n=a,r=b",
		"channel binding":  "p=tls-exporter,,n=a,r=b",
		"for another":      "n,a=root,n=a,r=b",
		"extension":        "n,,m=x,n=a,r=b",
		"no name":          "n,,n=,r=b",
		"no nonce":         "n,,n=a,r=",
		"only a name":      "n,,n=a",
		"wrong escape":     "n,,n=a=2D,r=b",
		"space in a nonce": "n,,n=a,r=b c",
		"NUL":              "n,,n=a\x00,r=b",
		"not UTF-8":        "n,,n=a\xff,r=b",
		"a name too long":  "n,,n=" + strings.Repeat("a", 257) + ",r=b",
		"no name of ours":  "n,,n=a/b,r=b",
		"too long":         "n,,n=a,r=" + strings.Repeat("b", maxScram),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := beginScram(users, nil, []byte(message)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestScramStranger: a user that does not exist has a salt, which stays, and which
// looks like the others'. C14.
func TestScramStranger(t *testing.T) {
	users := readUsers(t, "alice:"+newScramKeys([]byte("secret"), 5000).String())
	ask := func(user, secret string) (salt string) {
		_, challenge, err := beginScram(users, []byte(secret), []byte("n,,n="+user+",r=x"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(challenge), ",s=")
		salt, iterations, _ := strings.Cut(rest, ",i=")
		if iterations != "5000" {
			t.Errorf("%s: %s iterations", user, iterations)
		}
		return salt
	}
	eve, alice := ask("eve", "k"), ask("alice", "k")
	if eve != ask("eve", "k") || eve == ask("mallory", "k") || eve == ask("eve", "l") || len(eve) != len(alice) {
		t.Error("it can be told who exists")
	}
}

// FuzzScram: no message of a client ends in a yes that is not a proof, or in a
// panic.
func FuzzScram(f *testing.F) {
	users := readUsers(f, "alice:"+newScramKeys([]byte("secret"), minScramIterations).String())
	f.Add([]byte("n,,n=alice,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add([]byte("y,,n=a=2Cb,r=~"), []byte(",p="))
	f.Fuzz(func(t *testing.T, first, last []byte) {
		s, challenge, err := beginScram(users, []byte("k"), first)
		if err != nil {
			return
		}
		if !strings.HasPrefix(string(challenge), "r=") {
			t.Fatalf("challenge %q", challenge)
		}
		if _, ok := s.finish(last); ok {
			t.Fatal("let in without a password")
		}
	})
}
