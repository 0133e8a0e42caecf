package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/weir-edge/weir/core/broker/transport"
)

// Limits of logins.
const (
	cookieName  = "weir"
	stayFor     = 12 * time.Hour
	maxStays    = 64 // the oldest gives way
	wrongFree   = 5  // wrong tokens at once from an address, and then
	wrongAgain  = time.Second
	maxWrong    = 1024 // addresses
	maxPassword = 4 << 10
)

// logins are who has shown the token. A program shows it with each request
// (Authorization: Bearer). A browser shows it once, on the page of logins, and gets a
// cookie that no script reads and that is sent with requests of this site only. What
// is behind the cookie is forgotten with the process.
type logins struct {
	token [sha256.Size]byte // its hash, so that comparing says nothing of its length
	on    bool

	mu    sync.Mutex
	stays map[string]stay // by cookie
	// Until when the wrong tokens of late would last, one each wrongAgain: of each
	// address, as nobody is to lock the others out.
	wrong map[netip.Addr]time.Time
}

// stay is a login of a browser. Whatever it asked for ends with it, streams included.
type stay struct {
	until time.Time
	ctx   context.Context
	end   context.CancelFunc
}

func newLogins(token string) *logins {
	return &logins{token: sha256.Sum256([]byte(token)), on: token != "", stays: make(map[string]stay), wrong: make(map[netip.Addr]time.Time)}
}

func (l *logins) right(token string) bool {
	hash := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], l.token[:]) == 1
}

// open says what is shown to everybody: whether the gateway works, and what the page of
// logins is made of.
func openToAll(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/login", "/login.js", "/style.css", "/icon.svg":
		return true
	}
	return false
}

// known says whether a request shows the token, or the cookie for it. Then ctx ends when
// the login does.
func (l *logins) known(r *http.Request) (ctx context.Context, ok bool) {
	if token, shown := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); shown {
		return context.Background(), l.try(r, token) == nil
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.stays[c.Value]
	return s.ctx, ok && time.Now().Before(s.until)
}

// Why a token is not taken.
var (
	errWrong   = errors.New("that is not the token of this console")
	errTooMany = errors.New("too many wrong tokens: wait a few seconds")
)

// try looks at a token, unless too many wrong ones came from the address.
func (l *logins) try(r *http.Request, token string) error {
	from := network(r.RemoteAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch until := l.wrong[from]; {
	case until.Sub(now) >= wrongFree*wrongAgain:
		return errTooMany
	case l.right(token):
		return nil
	case until.Before(now):
		l.forgetWrong(now)
		l.wrong[from] = now.Add(wrongAgain)
	default:
		l.wrong[from] = until.Add(wrongAgain)
	}
	return errWrong
}

// forgetWrong makes room for one more address; mu is held.
func (l *logins) forgetWrong(now time.Time) {
	if len(l.wrong) < maxWrong {
		return
	}
	maps.DeleteFunc(l.wrong, func(_ netip.Addr, until time.Time) bool { return until.Before(now) })
	for from := range l.wrong { // any one
		if len(l.wrong) < maxWrong {
			return
		}
		delete(l.wrong, from)
	}
}

// network is whose mistakes a wrong token is: nobody's in particular on a Unix socket.
func network(remote string) netip.Addr {
	at, _ := netip.ParseAddrPort(remote)
	return transport.Network(at.Addr())
}

// stay makes a cookie.
func (l *logins) stay() *http.Cookie {
	id := rand.Text()
	s := stay{until: time.Now().Add(stayFor)}
	s.ctx, s.end = context.WithDeadline(context.Background(), s.until)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stays) >= maxStays {
		oldest := ""
		for other, o := range l.stays {
			if oldest == "" || o.until.Before(l.stays[oldest].until) {
				oldest = other
			}
		}
		l.leaveLocked(oldest)
	}
	l.stays[id] = s
	return &http.Cookie{Name: cookieName, Value: id, Path: "/", MaxAge: int(stayFor / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// leave ends the login behind the cookie of a request, if there is one.
func (l *logins) leave(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaveLocked(c.Value)
}

func (l *logins) leaveLocked(id string) bool {
	s, ok := l.stays[id]
	if ok {
		s.end()
		delete(l.stays, id)
	}
	return ok
}

// admit lets through who is known. A person is sent to the page of logins, a program
// is told what is missing.
func (c *Console) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.logins.on || openToAll(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		login, ok := c.logins.known(r)
		switch {
		case ok:
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(login, cancel)()
			next.ServeHTTP(w, r.WithContext(ctx))
		case r.URL.Path == "/" && r.Method == http.MethodGet:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "this console wants its token: Authorization: Bearer …", http.StatusUnauthorized)
		}
	})
}

// servePageOfLogins is GET /login.
func (c *Console) servePageOfLogins(w http.ResponseWriter, r *http.Request) {
	if !c.logins.on {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	r.SetPathValue("file", "login.html")
	c.serveAsset(w, r)
}

// serveLogin is POST /login, with the token as its body.
func (c *Console) serveLogin(w http.ResponseWriter, r *http.Request) {
	token, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPassword))
	if err != nil {
		http.Error(w, "that is no token", http.StatusRequestEntityTooLarge)
		return
	}
	switch err := c.logins.try(r, strings.TrimSpace(string(token))); {
	case errors.Is(err, errTooMany):
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case err != nil:
		c.note("console login refused", "address", r.RemoteAddr)
		http.Error(w, err.Error(), http.StatusUnauthorized)
	default:
		c.note("console login", "address", r.RemoteAddr)
		http.SetCookie(w, c.logins.stay())
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveLogout is POST /logout. The login ends here, and not only in the browser: its
// cookie is good for nothing any more, and the streams that it has opened end.
func (c *Console) serveLogout(w http.ResponseWriter, r *http.Request) {
	if c.logins.leave(r) {
		c.note("console logout", "address", r.RemoteAddr)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

// note is for the audit.
func (c *Console) note(event string, args ...any) {
	if c.cfg.Audit != nil {
		c.cfg.Audit(event, args...)
	}
}
