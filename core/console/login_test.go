package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const theToken = "a token of 24 characters"

// guarded is the handler of a console with a token.
func guarded(t *testing.T) http.Handler {
	t.Helper()
	c := New(Config{
		Token: theToken, Snapshot: showing(example(), nil).cfg.Snapshot,
		Command: func(_ context.Context, bridge, _, verb string) (string, error) { return verb + " " + bridge, nil },
	})
	return c.Handler()
}

func ask(h http.Handler, method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestAdminPlaneC20(t *testing.T) {
	h := guarded(t)
	bearer := "Bearer " + theToken
	for name, tc := range map[string]struct {
		method, target, body string
		header               []string
		want                 int
	}{
		"token":                   {"GET", "/api/v1/status", "", []string{"Authorization", bearer}, 200},
		"no token":                {"GET", "/api/v1/status", "", nil, 401},
		"no token, events":        {"GET", "/api/v1/events", "", nil, 401},
		"no token, metrics":       {"GET", "/metrics", "", nil, 401},
		"no token, page":          {"GET", "/app.js", "", nil, 401},
		"no token, command":       {"POST", "/api/v1/bridges/cloud/pause", "", nil, 401},
		"wrong token":             {"GET", "/api/v1/status", "", []string{"Authorization", "Bearer x"}, 401},
		"half a token":            {"GET", "/api/v1/status", "", []string{"Authorization", bearer[:len(bearer)-1]}, 401},
		"token as a user":         {"GET", "/api/v1/status", "", []string{"Authorization", "Basic " + theToken}, 401},
		"made-up cookie":          {"GET", "/api/v1/status", "", []string{"Cookie", "weir=x"}, 401},
		"empty cookie":            {"GET", "/api/v1/status", "", []string{"Cookie", "weir="}, 401},
		"a person":                {"GET", "/", "", nil, 303},
		"page of logins":          {"GET", "/login", "", nil, 200},
		"health":                  {"GET", "/healthz", "", nil, 200},
		"command":                 {"POST", "/api/v1/bridges/cloud/pause", "", []string{"Authorization", bearer}, 200},
		".. as a name":            {"POST", "/api/v1/bridges/%2e%2e/pause", "", []string{"Authorization", bearer}, 400},
		"slash in a name":         {"POST", "/api/v1/bridges/a%2f..%2fb/pause", "", []string{"Authorization", bearer}, 400},
		"header in a name":        {"POST", "/api/v1/bridges/a%0d%0aX-Evil:%201/pause", "", []string{"Authorization", bearer}, 400},
		"zero in a name":          {"POST", "/api/v1/bridges/a%00/pause", "", []string{"Authorization", bearer}, 400},
		"10 MiB":                  {"POST", "/api/v1/bridges/cloud/pause", strings.Repeat("x", 10<<20), []string{"Authorization", bearer}, 413},
		"10 MiB to log in":        {"POST", "/login", strings.Repeat("x", 10<<20), nil, 413},
		"cross-site":              {"POST", "/api/v1/bridges/cloud/pause", "", []string{"Authorization", bearer, "Sec-Fetch-Site", "cross-site"}, 403},
		"another origin":          {"POST", "/api/v1/bridges/cloud/pause", "", []string{"Authorization", bearer, "Origin", "https://evil.example"}, 403},
		"cross-site login":        {"POST", "/login", theToken, []string{"Origin", "https://evil.example"}, 403},
		"cross-site logout":       {"POST", "/logout", "", []string{"Authorization", bearer, "Sec-Fetch-Site", "cross-site"}, 403},
		"logout of nobody":        {"POST", "/logout", "", nil, 401},
		"logout by a link":        {"GET", "/logout", "", []string{"Authorization", bearer}, 404},
		"wrong token at log in":   {"POST", "/login", "wrong", nil, 401},
		"GET is no command":       {"GET", "/api/v1/bridges/cloud/pause", "", []string{"Authorization", bearer}, 404},
		"another method":          {"DELETE", "/api/v1/status", "", []string{"Authorization", bearer}, 405},
		"files beside the page":   {"GET", "/..%2fconsole.go", "", []string{"Authorization", bearer}, 404},
		"names of the logins":     {"GET", "/login.html", "", nil, 401},
		"files of the login page": {"GET", "/login.js", "", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			h := h
			if strings.Contains(name, "wrong") || strings.Contains(name, "half") {
				h = guarded(t)
			}
			resp := ask(h, tc.method, tc.target, tc.body, tc.header...)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.want {
				t.Errorf("got %s: %s", resp.Status, body)
			}
			if strings.Contains(string(body), theToken) || strings.Contains(strings.ToLower(strings.Join(headerLines(resp), "")), "evil") {
				t.Errorf("a secret, or what was injected: %s", body)
			}
		})
	}
}

func headerLines(r *http.Response) (lines []string) {
	for k, v := range r.Header {
		lines = append(lines, k+strings.Join(v, ""))
	}
	return lines
}

func TestLoginAndOut(t *testing.T) {
	h := guarded(t)
	resp := ask(h, "POST", "/login", theToken+"\n")
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusNoContent || len(cookies) != 1 {
		t.Fatalf("got %s", resp.Status)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || len(c.Value) < 20 {
		t.Errorf("cookie: %+v", c)
	}
	cookie := []string{"Cookie", c.Name + "=" + c.Value}
	if resp := ask(h, "GET", "/api/v1/status", "", cookie...); resp.StatusCode != 200 {
		t.Errorf("with the cookie: %s", resp.Status)
	}
	if resp := ask(guarded(t), "GET", "/api/v1/status", "", cookie...); resp.StatusCode != 401 {
		t.Errorf("the cookie of another process: %s", resp.Status)
	}
	ask(h, "POST", "/logout", "", cookie...)
	if resp := ask(h, "GET", "/api/v1/status", "", cookie...); resp.StatusCode != 401 {
		t.Errorf("after the logout: %s", resp.Status)
	}
}

// TestLogoutEndsEverything: with a login ends what it has opened, on the server, and not
// what another has. It is in the audit.
func TestLogoutEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var noted []string
		c := New(Config{
			Token: theToken, Snapshot: showing(example(), nil).cfg.Snapshot,
			Audit: func(event string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				noted = append(noted, event)
			},
		})
		h := c.Handler()
		ctx, stop := context.WithCancel(t.Context())
		var children sync.WaitGroup
		var cookies [3]string
		var ended [3]atomic.Bool
		for i := range cookies {
			time.Sleep(time.Second)
			cookies[i] = ask(h, "POST", "/login", theToken).Cookies()[0].Value
			r := httptest.NewRequest("GET", "/api/v1/events", nil).WithContext(ctx)
			r.Header.Set("Cookie", "weir="+cookies[i])
			children.Go(func() {
				h.ServeHTTP(&patient{httptest.NewRecorder()}, r)
				ended[i].Store(true)
			})
		}
		want := func(when string, first, second, third bool) {
			t.Helper()
			synctest.Wait()
			if ended[0].Load() != first || ended[1].Load() != second || ended[2].Load() != third {
				t.Errorf("%s: ended: %v, %v, %v", when, ended[0].Load(), ended[1].Load(), ended[2].Load())
			}
		}
		want("at first", false, false, false)
		if resp := ask(h, "POST", "/logout", "", "Cookie", "weir="+cookies[0], "Origin", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("another site logs out: %s", resp.Status)
		}
		want("after another site", false, false, false)
		resp := ask(h, "POST", "/logout", "", "Cookie", "weir="+cookies[0])
		if resp.StatusCode != http.StatusNoContent || len(resp.Cookies()) != 1 || resp.Cookies()[0].MaxAge >= 0 {
			t.Errorf("%s %v", resp.Status, resp.Cookies())
		}
		want("after the logout", true, false, false)
		ask(h, "POST", "/login", theToken)
		for range maxStays - 2 { // with these the second is one too many
			time.Sleep(time.Minute)
			ask(h, "POST", "/login", theToken)
		}
		want("after too many", true, true, false)
		time.Sleep(stayFor)
		want("after its time", true, true, true)
		stop()
		children.Wait()
		if n := len(noted); n != 3+1+maxStays-1 || noted[3] != "console logout" {
			t.Errorf("%d in the audit: %q", n, noted[:min(n, 5)])
		}
	})
}

// patient is a recorder that has deadlines, as a connection does.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// TestNobodyIsLockedOut: wrong tokens from one address do not keep the others out, and
// those of ever new addresses take bounded memory.
func TestNobodyIsLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Token: theToken, Snapshot: showing(example(), nil).cfg.Snapshot})
		h := c.Handler()
		from := func(address, token string) int {
			r := httptest.NewRequest("GET", "/api/v1/status", nil)
			r.RemoteAddr = address
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		for range 100 {
			from("10.0.0.1:1", "wrong")
			from("[2001:db8::1]:1", "wrong")
		}
		for address, want := range map[string]int{
			"10.0.0.1:2": 401, "10.0.0.2:1": 200, "[2001:db8::2]:1": 401, "[2001:db8:0:1::1]:1": 200, "@": 200,
		} {
			if got := from(address, theToken); got != want {
				t.Errorf("%s: %d", address, got)
			}
		}
		for i := range 3 * maxWrong {
			from(fmt.Sprintf("10.%d.%d.1:1", 1+i/256, i%256), "wrong")
		}
		if n := len(c.logins.wrong); n > maxWrong {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

// TestWrongTokens: they cannot be tried at any speed, and the right one works again
// after a while.
func TestWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		tried := 0
		for range 100 {
			if resp := ask(h, "POST", "/login", "wrong"); resp.StatusCode == http.StatusUnauthorized {
				tried++
			}
		}
		if tried != wrongFree {
			t.Errorf("%d were looked at", tried)
		}
		if resp := ask(h, "POST", "/login", theToken); resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("got %s", resp.Status)
		}
		time.Sleep(2 * time.Second)
		if resp := ask(h, "POST", "/login", theToken); resp.StatusCode != http.StatusNoContent {
			t.Errorf("got %s", resp.Status)
		}
		time.Sleep(stayFor)
	})
}

func TestStaysEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		first := ask(h, "POST", "/login", theToken).Cookies()[0]
		for range maxStays {
			time.Sleep(time.Minute)
			ask(h, "POST", "/login", theToken)
		}
		if resp := ask(h, "GET", "/api/v1/status", "", "Cookie", "weir="+first.Value); resp.StatusCode != 401 {
			t.Errorf("the oldest of too many: %s", resp.Status)
		}
		last := ask(h, "POST", "/login", theToken).Cookies()[0]
		time.Sleep(stayFor)
		if resp := ask(h, "GET", "/api/v1/status", "", "Cookie", "weir="+last.Value); resp.StatusCode != 401 {
			t.Errorf("after its time: %s", resp.Status)
		}
	})
}

func TestCommandsNeedATokenFromElsewhere(t *testing.T) {
	c := New(Config{Snapshot: showing(example(), nil).cfg.Snapshot, Command: func(context.Context, string, string, string) (string, error) { return "", nil }})
	if resp := ask(c.Handler(), "POST", "/api/v1/bridges/cloud/pause", ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %s", resp.Status)
	}
}
