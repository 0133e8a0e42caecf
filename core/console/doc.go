// Package console shows the gateway over HTTP: whether it is healthy, what it
// counts, and a page for people.
//
//	/healthz         the process answers
//	/readyz          configuration, store and listeners work; a bridge that is
//	                 down is not unready, since being offline is normal
//	/metrics         for Prometheus
//	/api/v1/status   core.Status as JSON
//	/api/v1/events   the same once a second, as server-sent events
//	/api/v1/adapters/NAME/trace
//	                 the transactions of a line as they happen, a JSON document
//	                 a line
//	/                one page, made from these events
//
// The console owns no state of the gateway. Everything it says is made from one
// core.Status that it asks for when somebody asks it, so that an idle console
// costs nothing. While several listen to the events one snapshot a second is made
// and encoded for all of them.
//
// # Safety
//
// By default it is bound to the loopback, where the Host header must name the loopback
// too: else a page from elsewhere could read it under a name that it lets point here
// (DNS rebinding). Where others reach it, everybody must show its token, and without
// one it changes nothing there. What changes something is a POST of this site; a
// cookie is worth nothing to others (HttpOnly, SameSite=Strict). Connections, listeners
// of events, headers, bodies, logins, wrong tokens and all waiting are bounded. The
// page brings everything it needs with it, and its policy forbids to load or to run
// anything else.
package console
