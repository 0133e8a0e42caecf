package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of logins.
const (
	cookieName  = "weir"
	stayFor     = 12 * time.Hour
	maxStays    = 64 // the oldest gives way
	wrongFree   = 5  // wrong tokens at once, and then
	wrongAgain  = time.Second
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
	stays map[string]time.Time // until when, by cookie
	wrong time.Time            // until when the wrong tokens of late would last, one each wrongAgain
}

func newLogins(token string) *logins {
	return &logins{token: sha256.Sum256([]byte(token)), on: token != "", stays: make(map[string]time.Time)}
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

// known says whether a request shows the token, or the cookie for it.
func (l *logins) known(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return l.allowed() && (l.right(token) || l.mistake())
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.stays[c.Value])
}

// allowed says whether a token is looked at now: not after too many wrong ones.
func (l *logins) allowed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.wrong) < wrongFree*wrongAgain
}

// mistake counts a wrong token. It is false.
func (l *logins) mistake() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.wrong.Before(now) {
		l.wrong = now
	}
	l.wrong = l.wrong.Add(wrongAgain)
	return false
}

// stay makes a cookie.
func (l *logins) stay() *http.Cookie {
	id := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stays) >= maxStays {
		oldest := ""
		for other, until := range l.stays {
			if oldest == "" || until.Before(l.stays[oldest]) {
				oldest = other
			}
		}
		delete(l.stays, oldest)
	}
	l.stays[id] = time.Now().Add(stayFor)
	return &http.Cookie{Name: cookieName, Value: id, Path: "/", MaxAge: int(stayFor / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

func (l *logins) leave(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.stays, c.Value)
	}
}

// admit lets through who is known. A person is sent to the page of logins, a program
// is told what is missing.
func (c *Console) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !c.logins.on, openToAll(r.URL.Path), c.logins.known(r):
			next.ServeHTTP(w, r)
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
	l := c.logins
	switch {
	case err != nil:
		http.Error(w, "that is no token", http.StatusRequestEntityTooLarge)
	case !l.allowed():
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many wrong tokens: wait a few seconds", http.StatusTooManyRequests)
	case !l.right(strings.TrimSpace(string(token))):
		l.mistake()
		c.note("console login refused", "address", r.RemoteAddr)
		http.Error(w, "that is not the token of this console", http.StatusUnauthorized)
	default:
		c.note("console login", "address", r.RemoteAddr)
		http.SetCookie(w, l.stay())
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveLogout is POST /logout.
func (c *Console) serveLogout(w http.ResponseWriter, r *http.Request) {
	c.logins.leave(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

// note is for the audit.
func (c *Console) note(event string, args ...any) {
	if c.cfg.Audit != nil {
		c.cfg.Audit(event, args...)
	}
}
