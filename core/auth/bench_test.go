package auth

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-edge/weir/core/broker"
)

// BenchmarkLogin is what a good login costs, by its kind.
func BenchmarkLogin(b *testing.B) {
	credential := newArgonHash([]byte("secret")).String()
	users := readUsers(b, "alice:"+credential, "bob:"+newScramKeys([]byte("secret"), ScramIterations).String())
	tokens, err := tokens(b, TokenConfig{Secret: secret32, TrustClock: true}, keySet(b))
	if err != nil {
		b.Fatal(err)
	}
	claims := jwt.MapClaims{"sub": "app", "exp": time.Now().Add(time.Hour).Unix()}
	es256 := []byte(sign(b, jwt.SigningMethodES256, issuer().ec, nil, claims))
	rs256 := []byte(sign(b, jwt.SigningMethodRS256, issuer().rsa, nil, claims))
	a := New(Config{Rules: Rules{Users: users, Tokens: tokens}})
	good := func(v broker.Verdict) {
		if !v.OK {
			b.Fatalf("%+v", v)
		}
	}
	pop := func(c broker.Credentials) {
		a.Authenticate(c, good)
		if j, ok := a.queue.pop(); ok {
			a.check(j)
		}
	}
	b.Run("argon2id", func(b *testing.B) {
		for b.Loop() {
			clear(a.known)
			pop(login(1, "alice", "secret"))
		}
	})
	b.Run("the same again", func(b *testing.B) {
		pop(login(1, "alice", "secret"))
		for b.Loop() {
			pop(login(1, "alice", "secret"))
		}
	})
	b.Run("SCRAM", func(b *testing.B) {
		c := &scramClient{user: "bob", password: "secret"}
		first := c.first()
		for b.Loop() { // without the client's proof, which costs the client
			s, _, err := beginScram(users, a.secret, first)
			if err != nil {
				b.Fatal(err)
			}
			s.finish([]byte("c=biws,r=" + s.nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
		}
	})
	for name, token := range map[string][]byte{"ES256": es256, "RS256": rs256} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				pop(broker.Credentials{From: from(1), Method: MethodToken, Data: token})
			}
		})
	}
}
