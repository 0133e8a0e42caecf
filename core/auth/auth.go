package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// Rules are who may connect. Nil is none of that kind.
type Rules struct {
	Users  *Users
	Tokens *Tokens
}

// Config is what an [Auth] is made from.
type Config struct {
	Rules
	Backoff Backoff
	Clock   *core.Clock // says whether the wall clock is known; default: it is not
	// Secret makes up what a SCRAM exchange shows of users that do not exist. It
	// should be the same after a restart; default: drawn.
	Secret []byte
}

// Auth is an authenticator of the broker. Its methods may be called from any
// goroutine; Run must run for passwords and tokens to be checked.
type Auth struct {
	// Static.
	clock  *core.Clock
	secret []byte
	cache  []byte // key of what is remembered
	queue  *queue

	rules atomic.Pointer[Rules]

	mu       sync.Mutex
	failures failures
	known    map[acquaintance][sha256.Size]byte
	results  map[string]uint64
}

var _ broker.Authenticator = (*Auth)(nil)

// acquaintance is a user at an address.
type acquaintance struct {
	from netip.Addr
	user string
}

const (
	maxKnown = 8 << 10
	// maxPassword bounds a password that is not a token.
	maxPassword = 1 << 10
	// maxWait is how long a login may wait: nobody is there any more after that.
	maxWait = 5 * time.Second
	// refusalAfter is when a password is refused, counted from when it came:
	// longer than a check takes, so that nothing can be learned from it.
	refusalAfter = 250 * time.Millisecond
)

// The results of logins, as they are counted.
const (
	accepted     = "accepted"
	wrong        = "wrong password"
	missing      = "no password"
	heldOff      = "held off"
	tooMany      = "too many at once"
	badToken     = "token not valid"
	expired      = "token expired"
	noClock      = "clock not known"
	badMethod    = "unknown method"
	wrongProof   = "wrong proof"
	remembered   = "accepted without a check"
	tooLate      = "waited too long"
	badExchange  = "exchange not well formed"
	tokenMissing = "no token"
)

// New makes an authenticator.
func New(cfg Config) *Auth {
	a := &Auth{
		clock: cfg.Clock, secret: cfg.Secret, cache: random(sha256.Size), queue: newQueue(),
		failures: failures{Backoff: cfg.Backoff.withDefaults(), of: make(map[suspect]failure)},
		known:    make(map[acquaintance][sha256.Size]byte),
		results:  make(map[string]uint64),
	}
	if len(a.secret) == 0 {
		a.secret = random(sha256.Size)
	}
	if a.clock == nil {
		a.clock = core.NewClock()
	}
	a.rules.Store(&cfg.Rules)
	return a
}

// Replace puts other rules in force. Those whose logins they do not allow are found
// by the broker's Recheck.
func (a *Auth) Replace(r Rules) { a.rules.Store(&r) }

// Authenticate implements broker.Authenticator.
func (a *Auth) Authenticate(c broker.Credentials, verdict func(broker.Verdict)) {
	rules := a.rules.Load()
	switch {
	case c.Method == MethodScram && rules.Users != nil:
		a.scram(rules, c, verdict)
	case c.Method == MethodToken && rules.Tokens != nil:
		a.token(c, c.Data, verdict)
	case c.Method != "":
		verdict(a.refuse(badMethod, packet.BadAuthenticationMethod)) // [MQTT-4.12.0-1]
	case rules.Users == nil && rules.Tokens == nil:
		verdict(broker.Verdict{Anonymous: true})
	case rules.Tokens != nil && looksLikeToken(c.Password):
		a.token(c, c.Password, verdict)
	case rules.Users == nil:
		verdict(a.refuse(tokenMissing, packet.BadUserNameOrPassword))
	default:
		a.password(rules, c, verdict)
	}
}

// password lets the check of a password wait for its turn, unless it is not worth
// one.
func (a *Auth) password(rules *Rules, c broker.Credentials, verdict func(broker.Verdict)) {
	who, stored := acquaintance{transport.Network(c.From), c.Username}, rules.Users.stored(c.Username)
	switch {
	case !c.HasUsername || !c.HasPassword || len(c.Password) == 0: // a missing password is not an empty one, and neither is one
		verdict(a.refuse(missing, packet.BadUserNameOrPassword))
	case len(c.Password) > maxPassword || CheckName(c.Username) != nil:
		verdict(a.refuse(wrong, packet.BadUserNameOrPassword))
	case a.remembers(who, a.trace(who, stored, c.Password)):
		a.count(remembered)
		verdict(a.accept(c.Username, stored))
	case a.held(who):
		verdict(a.refuse(heldOff, packet.ConnectionRateExceeded))
	default:
		a.push(job{from: who.from, user: c.Username, secret: c.Password, came: time.Now(), verdict: verdict})
	}
}

// token does the same for a token. Whom it names is not believed before. Who is
// connected and renews its login is not held off for what others have done.
func (a *Auth) token(c broker.Credentials, token []byte, verdict func(broker.Verdict)) {
	from := transport.Network(c.From)
	switch {
	case len(token) > maxToken: // those that wait must not take more than a few MiB together
		verdict(a.refuse(badToken, packet.NotAuthorized))
		return
	case !c.Renews && a.held(acquaintance{from: from}):
		verdict(a.refuse(heldOff, packet.ConnectionRateExceeded))
		return
	}
	a.push(job{from: from, token: true, secret: token, came: time.Now(), verdict: verdict})
}

func (a *Auth) push(j job) {
	a.mu.Lock()
	j.past = a.failures.of[suspect{from: j.from}].times
	a.mu.Unlock()
	if gone := a.queue.push(j); gone != nil {
		gone.verdict(a.refuse(tooMany, packet.ServerBusy))
	}
}

// remembers says whether this very password has let this user in from this address.
func (a *Auth) remembers(who acquaintance, trace [sha256.Size]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.known[who]
	return known && subtle.ConstantTimeCompare(before[:], trace[:]) == 1
}

// held says whether a login is held off: for what its address has done wrong, or for
// what was done wrong in its name, if its address has any part in it. So nobody is
// kept out by what others elsewhere do in his name; and who is known is not held off
// at all.
func (a *Auth) held(who acquaintance) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if _, known := a.known[who]; known {
		return false
	}
	address := suspect{from: who.from}
	return a.failures.held(address, now) ||
		a.failures.held(suspect{user: who.user}, now) && a.failures.of[address].times > 0
}

// trace is what is remembered of a good password. It is worth nothing without a key
// that is in memory only, nor after the user's line in the file has changed.
func (a *Auth) trace(who acquaintance, stored string, password []byte) [sha256.Size]byte {
	address, _ := who.from.MarshalBinary() // never fails
	text := make([]byte, 0, 512)
	for _, part := range [][]byte{address, []byte(who.user), []byte(stored), password} {
		text = append(append(text, byte(len(part)>>8), byte(len(part))), part...)
	}
	return [sha256.Size]byte(mac(a.cache, string(text)))
}

// succeeded remembers a login, failed a failure.
func (a *Auth) succeeded(who acquaintance, trace [sha256.Size]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failures.of, suspect{user: who.user})
	if _, known := a.known[who]; !known && len(a.known) >= maxKnown {
		for other := range a.known { // any one
			delete(a.known, other)
			break
		}
	}
	a.known[who] = trace
}

func (a *Auth) failed(who acquaintance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	delete(a.known, who)
	if who.from.IsValid() { // a Unix socket is everybody's
		a.failures.add(suspect{from: who.from}, now)
	}
	if who.user != "" {
		a.failures.add(suspect{user: who.user}, now)
	}
}

// accept is a yes that holds for as long as the user's line in the file is the same.
func (a *Auth) accept(user, stored string) broker.Verdict {
	return broker.Verdict{OK: true, Identity: user, Holds: func() bool {
		return stored != "" && a.rules.Load().Users.stored(user) == stored
	}}
}

func (a *Auth) refuse(why string, r packet.Reason) broker.Verdict {
	a.count(why)
	return broker.Verdict{Reason: r, Why: why}
}

func (a *Auth) count(result string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.results[result]++
}

// Status is for the console; nil when there is nobody who may log in.
func (a *Auth) Status() *core.AuthStatus {
	rules := a.rules.Load()
	if rules.Users == nil && rules.Tokens == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return &core.AuthStatus{
		Users: rules.Users.Len(), TokenKeys: rules.Tokens.Len(), Logins: maps.Clone(a.results), Waiting: a.queue.len(), HeldOff: a.failures.heldOff(time.Now()),
	}
}

// Run checks one login after the other until ctx ends.
func (a *Auth) Run(ctx context.Context) error {
	for {
		j, ok := a.queue.pop()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-a.queue.ready:
			}
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		a.check(j)
	}
}
