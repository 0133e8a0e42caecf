package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/packet"
)

// bench is an authenticator in a bubble of synctest.
type bench struct {
	*Auth
	t *testing.T
}

// in runs f with an authenticator.
func in(t *testing.T, cfg Config, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := New(cfg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		f(&bench{a, t})
		stop()
		<-done
	})
}

// from is an address of the n-th network.
func from(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// login is a CONNECT with user name and password.
func login(n int, user, password string) broker.Credentials {
	return broker.Credentials{From: from(n), HasUsername: true, Username: user, HasPassword: true, Password: []byte(password)}
}

// ask waits for the verdict.
func (b *bench) ask(c broker.Credentials) broker.Verdict {
	b.t.Helper()
	verdict := make(chan broker.Verdict, 1)
	b.Authenticate(c, func(v broker.Verdict) { verdict <- v })
	return <-verdict
}

// want is ask with what is expected: a result as it is counted.
func (b *bench) want(c broker.Credentials, result string) broker.Verdict {
	b.t.Helper()
	before := b.Status().Logins[result]
	v := b.ask(c)
	if b.Status().Logins[result] != before+1 {
		b.t.Errorf("%s at %s: %+v, want %s; counted %v", c.Username, c.From, v, result, b.Status().Logins)
	}
	if ok := result == accepted || result == remembered; v.OK != ok {
		b.t.Errorf("%s: OK is %v", result, v.OK)
	}
	return v
}

func rulesOf(t testing.TB, users ...string) Rules {
	t.Helper()
	return Rules{Users: readUsers(t, users...)}
}

// TestPasswords. C12: a missing password is not an empty one, and neither opens
// anything; every refusal of a password has the same reason.
func TestPasswords(t *testing.T) {
	empty := cheap("") // as other programs would write it
	rules := rulesOf(t, "alice:"+cheap("secret"), "bob:"+newScramKeys([]byte("secret"), minScramIterations).String(),
		"carol:"+mosquitto6, "dave:"+mosquitto7, "empty:"+empty)
	for name, tc := range map[string]struct {
		login broker.Credentials
		want  string
	}{
		"argon2id":         {login(1, "alice", "secret"), accepted},
		"SCRAM":            {login(1, "bob", "secret"), accepted},
		"mosquitto 6":      {login(1, "carol", "secret"), accepted},
		"mosquitto 7":      {login(1, "dave", "secret"), accepted},
		"wrong password":   {login(1, "alice", "Secret"), wrong},
		"another's":        {login(1, "alice", "alice"), wrong},
		"unknown user":     {login(1, "eve", "secret"), wrong},
		"no user name":     {broker.Credentials{HasPassword: true, Password: []byte("secret")}, missing},
		"empty user name":  {login(1, "", "secret"), wrong},
		"no password":      {broker.Credentials{HasUsername: true, Username: "alice"}, missing},
		"empty password":   {login(1, "alice", ""), missing},
		"both empty":       {login(1, "empty", ""), missing},
		"NUL in the name":  {login(1, "alice\x00", "secret"), wrong},
		"C8 name is #":     {login(1, "#", "secret"), wrong},
		"C8 name is +":     {login(1, "+", "secret"), wrong},
		"C8 name is a/b":   {login(1, "a/b", "secret"), wrong},
		"64 KiB":           {login(1, "alice", strings.Repeat("x", 65535)), wrong},
		"64 KiB of a name": {login(1, strings.Repeat("x", 65535), "secret"), wrong},
		"unknown method":   {broker.Credentials{Method: "PLAIN"}, badMethod},
		"tokens not taken": {broker.Credentials{Method: MethodToken}, badMethod},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Config{Rules: rules}, func(b *bench) {
				v := b.want(tc.login, tc.want)
				switch {
				case v.OK && (v.Identity != tc.login.Username || !v.Holds()):
					t.Errorf("%+v", v)
				case !v.OK && tc.login.Method == "" && v.Reason != packet.BadUserNameOrPassword:
					t.Errorf("reason %s", v.Reason)
				}
			})
		})
	}
}

// TestNobodyToAsk: without users and keys the listener decides.
func TestNobodyToAsk(t *testing.T) {
	in(t, Config{}, func(b *bench) {
		if v := b.ask(login(1, "alice", "x")); !v.Anonymous || v.OK {
			t.Errorf("%+v", v)
		}
		if b.Status() != nil {
			t.Error("a state of nothing")
		}
	})
}

// TestRefusalsTakeTheSame: a refusal leaves at the same time, whoever it was. C14.
func TestRefusalsTakeTheSame(t *testing.T) {
	in(t, Config{Rules: rulesOf(t, "alice:"+cheap("secret"), "carol:"+mosquitto6)}, func(b *bench) {
		for i, user := range []string{"alice", "carol", "eve"} {
			began := time.Now()
			b.want(login(i, user, "wrong"), wrong)
			if took := time.Since(began); took != refusalAfter {
				t.Errorf("%s: %v", user, took)
			}
		}
	})
}

// TestBackoff: after a few wrong passwords an address is held off, without a check,
// and so is a name from everywhere; who is known is neither.
func TestBackoff(t *testing.T) {
	rules := rulesOf(t, "alice:"+cheap("secret"), "bob:"+cheap("secret"))
	cfg := Config{Rules: rules, Backoff: Backoff{After: 3, Min: time.Second, Max: 4 * time.Second}}
	in(t, cfg, func(b *bench) {
		b.want(login(1, "bob", "secret"), accepted)
		for range 3 {
			b.want(login(1, "alice", "wrong"), wrong)
		}
		b.want(login(1, "alice", "secret"), heldOff)
		b.want(login(1, "eve", "x"), heldOff)         // the address
		b.want(login(1, "bob", "secret"), remembered) // known there
		b.want(login(2, "bob", "secret"), accepted)   // another address
		if v := b.ask(login(1, "alice", "secret")); v.Reason != packet.ConnectionRateExceeded {
			t.Errorf("reason %s", v.Reason)
		}
		if n := b.Status().HeldOff; n != 2 {
			t.Errorf("%d held off", n)
		}
		for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			time.Sleep(pause - refusalAfter - time.Millisecond)
			b.want(login(1, "alice", "x"), heldOff)
			time.Sleep(time.Millisecond)
			b.want(login(1, "alice", "wrong"), wrong)
		}
		time.Sleep(4 * time.Second)
		b.want(login(1, "alice", "secret"), accepted)
		b.want(login(3, "alice", "secret"), accepted) // the name is free again
		time.Sleep(forgetAfter*4*time.Second + time.Second)
		b.want(login(1, "eve", "wrong"), wrong)
		b.want(login(1, "mallory", "wrong"), wrong) // it began anew
	})
}

// TestNameHeldOff: a name is held off where it was tried in vain, and nowhere else:
// nobody can keep a user out from afar.
func TestNameHeldOff(t *testing.T) {
	cfg := Config{Rules: rulesOf(t, "alice:"+cheap("secret")), Backoff: Backoff{After: 3, Min: time.Minute}}
	in(t, cfg, func(b *bench) {
		for n := range 3 {
			b.want(login(n, "alice", "wrong"), wrong)
		}
		b.want(login(1, "alice", "secret"), heldOff) // after one try from there
		b.want(login(3, "alice", "wrong"), wrong)
		b.want(login(3, "alice", "secret"), heldOff)
		b.want(login(4, "alice", "secret"), accepted)
		b.want(login(1, "alice", "secret"), accepted) // her success has cleared the name
	})
}

// TestUnixSocket: everybody on a socket has the same address, which is none.
func TestUnixSocket(t *testing.T) {
	cfg := Config{Rules: rulesOf(t, "alice:"+cheap("secret")), Backoff: Backoff{After: 1, Min: time.Minute}}
	in(t, cfg, func(b *bench) {
		local := func(user, password string) broker.Credentials {
			c := login(0, user, password)
			c.From = netip.Addr{}
			return c
		}
		b.want(local("eve", "wrong"), wrong)
		b.want(local("alice", "secret"), accepted)
	})
}

// TestKnownIsNotForGuessing: one wrong password, and a user is known no longer.
func TestKnownIsNotForGuessing(t *testing.T) {
	cfg := Config{Rules: rulesOf(t, "alice:"+cheap("secret")), Backoff: Backoff{After: 1, Min: time.Minute}}
	in(t, cfg, func(b *bench) {
		b.want(login(1, "alice", "secret"), accepted)
		b.want(login(1, "alice", "secret"), remembered)
		b.want(login(1, "alice", "wrong"), wrong)
		b.want(login(1, "alice", "secret"), heldOff)
	})
}

// TestReplace: a login holds as long as its user's line is the same.
func TestReplace(t *testing.T) {
	alice, bob := "alice:"+cheap("secret"), "bob:"+cheap("secret")
	for name, tc := range map[string]struct {
		next  Rules
		holds bool
	}{
		"the same":         {rulesOf(t, alice), true},
		"others added":     {rulesOf(t, bob, alice), true},
		"removed":          {rulesOf(t, bob), false},
		"another password": {rulesOf(t, "alice:"+cheap("secret")), false},
		"no users":         {Rules{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Config{Rules: rulesOf(t, alice)}, func(b *bench) {
				v := b.ask(login(1, "alice", "secret"))
				b.Replace(tc.next)
				if v.Holds() != tc.holds {
					t.Errorf("holds: %v", !tc.holds)
				}
				if tc.holds {
					b.want(login(1, "alice", "secret"), remembered)
				}
			})
		})
	}
}

func TestTokenLogins(t *testing.T) {
	rules, err := tokens(t, TokenConfig{Secret: secret32})
	if err != nil {
		t.Fatal(err)
	}
	clock := core.NewClock()
	clock.SetSynced(true)
	cfg := Config{Rules: Rules{Users: readUsers(t, "alice:"+cheap("secret")), Tokens: rules}, Clock: clock, Backoff: Backoff{After: 2}}
	in(t, cfg, func(b *bench) {
		token := func(exp time.Duration) string {
			return sign(t, jwt.SigningMethodHS256, []byte(secret32), nil, jwt.MapClaims{"sub": "app", "exp": time.Now().Add(exp).Unix()})
		}
		good := token(time.Hour)
		for _, c := range []broker.Credentials{
			login(1, "whatever", good),
			{From: from(1), HasPassword: true, Password: []byte(good)},
			{From: from(1), Method: MethodToken, Data: []byte(good)},
		} {
			v := b.want(c, accepted)
			if v.Identity != "app" || !v.Until.Equal(time.Now().Add(time.Hour)) || !v.Holds() {
				t.Errorf("%+v", v)
			}
		}
		b.want(login(1, "alice", "secret"), accepted) // a password beside
		b.want(login(1, "app", good+strings.Repeat("x", maxToken)), badToken)
		if v := b.want(login(1, "app", token(-time.Hour)), expired); v.Reason != packet.NotAuthorized {
			t.Errorf("reason %s", v.Reason)
		}
		clock.SetSynced(false)
		b.want(login(1, "app", good), noClock)
		clock.SetSynced(true)
		b.want(login(1, "app", good[:len(good)-4]), badToken)
		b.want(login(1, "app", good[:len(good)-4]), badToken)
		b.want(login(1, "app", good), heldOff)
		b.want(broker.Credentials{From: from(1), Method: MethodToken, Data: []byte(good), Renews: true}, accepted)
		b.want(login(2, "app", good), accepted)

		v := b.ask(login(2, "app", good))
		other, err := tokens(t, TokenConfig{Secret: secret32 + "x"})
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			next  *Tokens
			holds bool
		}{"the same": {rules, true}, "another key": {other, false}, "none": {nil, false}} {
			b.Replace(Rules{Tokens: tc.next})
			if v.Holds() != tc.holds {
				t.Errorf("%s: holds %v", name, !tc.holds)
			}
		}
	})
}

func TestScramLogins(t *testing.T) {
	rules := rulesOf(t, "alice:"+newScramKeys([]byte("secret"), minScramIterations).String())
	in(t, Config{Rules: rules, Backoff: Backoff{After: 2}}, func(b *bench) {
		prove := func(n int, user, password string) broker.Verdict {
			c := &scramClient{user: user, password: password}
			v := b.ask(broker.Credentials{From: from(n), Method: MethodScram, Data: c.first()})
			if v.Next == nil {
				return v
			}
			last, signature := c.last(t, v.Data)
			answer := make(chan broker.Verdict, 1)
			v.Next(last, func(v broker.Verdict) { answer <- v })
			v = <-answer
			if v.OK && string(v.Data) != signature {
				t.Error("the server has proved nothing")
			}
			return v
		}
		if v := prove(1, "alice", "secret"); !v.OK || v.Identity != "alice" || !v.Holds() {
			t.Errorf("%+v", v)
		}
		for _, user := range []string{"alice", "eve"} {
			if v := prove(2, user, "wrong"); v.OK || v.Reason != packet.BadUserNameOrPassword {
				t.Errorf("%s: %+v", user, v)
			}
		}
		if v := prove(2, "alice", "secret"); v.Reason != packet.ConnectionRateExceeded {
			t.Errorf("not held off: %+v", v)
		}
		if v := prove(1, "alice", "secret"); !v.OK {
			t.Errorf("who is known is held off: %+v", v)
		}
		b.want(broker.Credentials{From: from(3), Method: MethodScram, Data: []byte("n,,")}, badExchange)
	})
}

// TestScramAtOnce: exchanges that all begin before the first has failed are no way to
// guess at any speed, and neither are those of somebody who is connected and renews his
// login as another.
func TestScramAtOnce(t *testing.T) {
	rules := rulesOf(t, "alice:"+newScramKeys([]byte("secret"), minScramIterations).String())
	for name, renews := range map[string]bool{"logins": false, "renewals": true} {
		t.Run(name, func(t *testing.T) {
			in(t, Config{Rules: rules, Backoff: Backoff{After: 3, Min: time.Minute}}, func(b *bench) {
				begun := make([]broker.Verdict, 20)
				for i := range begun {
					c := &scramClient{user: "alice"}
					begun[i] = b.ask(broker.Credentials{From: from(1), Method: MethodScram, Data: c.first(), Renews: renews})
				}
				for _, v := range begun {
					v.Next([]byte("c=biws,r=x,p="), func(broker.Verdict) {})
				}
				if n := b.Status().Logins[wrongProof]; n != 3 {
					t.Errorf("%d proofs were looked at", n)
				}
			})
		})
	}
}

// TestQueue: the lines of the addresses take turns, and the longest gives way.
func TestQueue(t *testing.T) {
	q := newQueue()
	push := func(n int, user string) *job { return q.push(job{from: from(n), user: user}) }
	for i := range maxWaiting {
		if gone := push(1, fmt.Sprint("flood ", i)); gone != nil {
			t.Fatalf("%s had to go", gone.user)
		}
	}
	if gone := push(1, "one more"); gone == nil || gone.user != "one more" {
		t.Errorf("%+v", gone)
	}
	for n, user := range []string{"alice", "bob"} {
		if gone := push(2+n, user); gone == nil || gone.from != from(1) {
			t.Errorf("%+v had to go for %s", gone, user)
		}
	}
	q.push(job{from: from(9), user: "mallory", past: 3})
	var order []string
	for range 5 {
		j, _ := q.pop()
		order = append(order, j.user)
	}
	// The fourth turn is the flood's all the same.
	if got := strings.Join(order, ", "); got != "alice, bob, mallory, flood 0, flood 1" {
		t.Errorf("order: %s", got)
	}
	for q.len() > 0 {
		q.pop()
	}
	if _, ok := q.pop(); ok || len(q.lines) != 0 || len(q.turns) != 0 {
		t.Error("not empty")
	}
	for i := range maxWaiting {
		push(i, "each from elsewhere")
	}
	if gone := push(maxWaiting, "late"); gone == nil || gone.user != "late" {
		t.Errorf("%+v", gone)
	}
}

// TestFlood: a flood of wrong logins from one address costs a few checks, and a
// login from elsewhere waits for one of them.
func TestFlood(t *testing.T) {
	cfg := Config{Rules: rulesOf(t, "alice:"+cheap("secret"))}
	in(t, cfg, func(b *bench) {
		const flood = 3 * maxWaiting
		verdicts := make(chan broker.Verdict, flood)
		for i := range flood {
			b.Authenticate(login(1, fmt.Sprint("user", i), "wrong"), func(v broker.Verdict) { verdicts <- v })
		}
		b.want(login(2, "alice", "secret"), accepted)
		for range flood {
			if v := <-verdicts; v.OK {
				t.Fatal("let in")
			}
		}
		if n := b.Status().Logins[wrong]; n != 5 {
			t.Errorf("%d checks for the flood", n)
		}
	})
}

// TestBounds: what is remembered of strangers has a bound.
func TestBounds(t *testing.T) {
	a := New(Config{Rules: rulesOf(t, "alice:"+cheap("x"))})
	for i := range maxSuspects + maxKnown {
		a.failed(acquaintance{from(i), fmt.Sprint("user", i)})
		a.succeeded(acquaintance{from(i), "alice"}, [32]byte{})
	}
	if len(a.failures.of) > maxSuspects+1 || len(a.known) > maxKnown {
		t.Errorf("%d suspects, %d known", len(a.failures.of), len(a.known))
	}
}
