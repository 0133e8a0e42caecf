package console

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy lets the page load what comes with it, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard answers nothing to a foreign Host, and sends the headers that keep a
// browser from doing more with the answers than to show them.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if c.loopback && !localHost(r.Host) {
			http.Error(w, "this console answers to localhost only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded reads what a request brings, which is little, before it is acted upon: so
// that too much of it has done nothing.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the request is too large or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// localHost says whether a Host header names the loopback.
func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// actionHeader must be on every request that changes something. A browser does
// not send it to another site without asking first, and is refused then.
const actionHeader = "Weir-Action"

// trusted lets through who may see payloads and change what is owed, and asked for it
// with more than a link.
func (c *Console) trusted(known bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !c.mayAct():
			http.Error(w, noToken, http.StatusForbidden)
		case r.Header.Get(actionHeader) == "":
			http.Error(w, "the header "+actionHeader+" is missing", http.StatusForbidden)
		case !known:
			http.Error(w, "this gateway does not do that", http.StatusNotImplemented)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
