package bridge

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// refusal is the upstream's no, in a CONNACK or DISCONNECT.
type refusal struct {
	in     packet.Type
	reason packet.Reason
	text   string // the upstream's own words, if it has any
}

func (r *refusal) Error() string {
	what := "the upstream refused the connection"
	if r.in == packet.DISCONNECT {
		what = "the upstream ended the connection"
	}
	s := fmt.Sprintf("%s: %s (0x%02X)", what, r.reason, byte(r.reason))
	if hint := r.hint(); hint != "" {
		s += ": " + hint
	}
	if r.text != "" {
		s += fmt.Sprintf("; it says %q", r.text)
	}
	return s
}

func (r *refusal) hint() string {
	switch r.reason {
	case packet.BadUserNameOrPassword:
		return "check username and password"
	case packet.ClientIdentifierNotValid:
		return "check client_id"
	case packet.SessionTakenOver:
		return "another client uses the same client_id"
	case packet.UseAnotherServer, packet.ServerMoved:
		return "configure that server's url"
	case packet.UnsupportedProtocolVersion:
		return "set protocol to the one that it speaks"
	}
	return ""
}

// What the bridge itself ends a connection for.
var (
	errNoConnack  = errors.New("the upstream closed the connection instead of answering CONNECT")
	errHTTP       = errors.New("HTTP answers there, not MQTT: if it is MQTT over WebSocket, url begins with ws://")
	errTLS        = errors.New("TLS answers there: url begins with mqtts:// or wss://")
	errSilent     = errors.New("the upstream gives no sign of life")
	errStuck      = errors.New("the upstream lives, but acknowledges nothing")
	errStore      = errors.New("the local store could not keep what the uplink needs")
	errAskAgain   = errors.New("connecting anew for messages that could not be taken before")
	errFailBack   = errors.New("going back to the first server")
	errRenew      = errors.New("connecting anew with a new password")
	errRetryLater = errors.New("the upstream cannot take messages now")
)

// slow says whether dialling again soon is of no use.
func slow(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.reason {
	case packet.BadUserNameOrPassword, packet.ClientIdentifierNotValid, packet.Banned, packet.BadAuthenticationMethod,
		packet.SessionTakenOver, packet.UnsupportedProtocolVersion, packet.UseAnotherServer, packet.ServerMoved:
		return true
	case packet.NotAuthorized: // later on it is about a message
		return r.in == packet.CONNACK
	}
	return false
}

// explain says in plain words what is wrong, for people who look at the status.
func explain(err error, now core.Stamp) string {
	if text := explainTLS(err, now); text != "" {
		return text
	}
	var proxy *proxyError
	if errors.As(err, &proxy) {
		return fmt.Sprintf("proxy %s: %s", proxy.address, cmp.Or(explainNetwork(proxy.err, "it", "proxy"), proxy.err.Error()))
	}
	return cmp.Or(explainNetwork(err, "the upstream", "broker"), err.Error())
}

// explainNetwork is about a peer, the upstream or the proxy before it, and its kind.
func explainNetwork(err error, peer, kind string) string {
	var dns *net.DNSError
	where := peer
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		where = op.Addr.String()
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("DNS does not know the name %s", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("DNS gave no answer for %s: is the network up?", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: no %s listens on %s", kind, where)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("no route to %s: is the network up?", where)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Sprintf("connection to %s was reset", where)
	case errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Sprintf("connection to %s was lost: it acknowledges nothing any more", where)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer from %s in time", where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return peer + " closed the connection"
	}
	return ""
}

func explainTLS(err error, now core.Stamp) string {
	var (
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		authority x509.UnknownAuthorityError
		header    tls.RecordHeaderError
		alert     *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainExpired(invalid.Cert, now)
	case errors.As(err, &host):
		return "TLS: " + host.Error() + ": check url and tls.server_name"
	case errors.As(err, &authority):
		return "TLS: the upstream's certificate is signed by an authority that is not trusted: check tls.ca"
	case errors.As(err, &header):
		return "TLS: the upstream does not speak TLS on this port"
	case errors.As(err, &alert) && alert.Op == "remote error": // so crypto/tls marks the other side's alerts
		return fmt.Sprintf("TLS: the upstream refused the handshake: %v: check tls.cert and tls.key", alert.Err)
	}
	return ""
}

// explainExpired tells a certificate that is over from a clock that is wrong: a
// Pi without a battery wakes up in the past.
func explainExpired(cert *x509.Certificate, now core.Stamp) string {
	const day = "2006-01-02 15:04"
	clock := now.Time().UTC().Format(day)
	if now.Time().Before(cert.NotBefore) {
		return fmt.Sprintf("TLS: the upstream's certificate is valid from %s UTC, but the clock here says %s: is it right?",
			cert.NotBefore.UTC().Format(day), clock)
	}
	text := fmt.Sprintf("TLS: the upstream's certificate expired on %s UTC", cert.NotAfter.UTC().Format(day))
	if !now.Synced || now.Time().Sub(cert.NotAfter) > 10*365*24*time.Hour {
		text += fmt.Sprintf("; the clock here says %s: is it right?", clock)
	}
	return text
}
