package auth

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"runtime"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// job is a login that waits for its check.
type job struct {
	from    netip.Addr
	user    string
	token   bool // secret is one
	secret  []byte
	came    time.Time
	past    int // failures of the address
	verdict func(broker.Verdict)
}

// check is the work of Run.
func (a *Auth) check(j job) {
	switch rules := a.rules.Load(); {
	case time.Since(j.came) > maxWait:
		j.verdict(a.refuse(tooLate, packet.ServerBusy))
	case j.token:
		a.checkToken(rules, j)
	default:
		a.checkPassword(rules, j)
	}
}

func (a *Auth) checkPassword(rules *Rules, j job) {
	who, stored := acquaintance{j.from, j.user}, rules.Users.stored(j.user)
	if a.held(who) { // since it began to wait
		j.verdict(a.refuse(heldOff, packet.ConnectionRateExceeded))
		return
	}
	good := rules.Users != nil && rules.Users.matches(j.user, j.secret)
	// The memory of this check is for the next one: without a collection a flood of
	// logins costs 29 MiB, with it 2, for an eighth more time. It is this goroutine
	// that waits.
	runtime.GC()
	if good {
		a.succeeded(who, a.trace(who, stored, j.secret))
		a.count(accepted)
		j.verdict(a.accept(j.user, stored))
		return
	}
	a.failed(who)
	refusal := a.refuse(wrong, packet.BadUserNameOrPassword)
	// The next check need not wait for it.
	time.AfterFunc(max(0, refusalAfter-time.Since(j.came)), func() { j.verdict(refusal) })
}

func (a *Auth) checkToken(rules *Rules, j job) {
	tokens := rules.Tokens
	if tokens == nil { // they have gone meanwhile
		j.verdict(a.refuse(badToken, packet.NotAuthorized))
		return
	}
	g, err := tokens.check(j.secret, time.Now(), a.clock.Synced())
	if err == nil {
		a.count(accepted)
		j.verdict(broker.Verdict{OK: true, Identity: g.user, Until: g.until, Holds: func() bool {
			now := a.rules.Load().Tokens
			return now.trusts(g.key) && now.same(tokens)
		}})
		return
	}
	why := badToken
	switch {
	case errors.Is(err, errNoClock): // nobody's fault
		why = noClock
	case errors.Is(err, errTokenExpired):
		why = expired
	default:
		a.failed(acquaintance{from: j.from})
	}
	v := a.refuse(why, packet.NotAuthorized)
	v.Why = err.Error()
	j.verdict(v)
}

// scram does the two steps of an exchange. They are cheap for a server, so that
// they need not wait.
func (a *Auth) scram(rules *Rules, c broker.Credentials, verdict func(broker.Verdict)) {
	s, challenge, err := beginScram(rules.Users, a.secret, c.Data)
	if err != nil {
		verdict(a.refuse(badExchange, packet.NotAuthorized))
		return
	}
	who := acquaintance{transport.Network(c.From), s.user}
	if a.held(who) { // who renews its login may, too, be guessing another's password; it is known itself
		verdict(a.refuse(heldOff, packet.ConnectionRateExceeded))
		return
	}
	stored := rules.Users.stored(s.user)
	verdict(broker.Verdict{Data: challenge, Next: func(data []byte, verdict func(broker.Verdict)) {
		if a.held(who) { // by others that began when it did
			verdict(a.refuse(heldOff, packet.ConnectionRateExceeded))
			return
		}
		proof, ok := s.finish(data)
		if !ok {
			a.failed(who)
			verdict(a.refuse(wrongProof, packet.BadUserNameOrPassword))
			return
		}
		a.succeeded(who, [sha256.Size]byte{})
		a.count(accepted)
		v := a.accept(s.user, stored)
		v.Data = proof
		verdict(v)
	}})
}
