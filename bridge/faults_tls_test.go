package bridge_test

import (
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/bridge"
)

// tlsFault lets the upstream show a bad certificate for a minute: one that is valid
// between two moments from then, by an authority that is trusted or by another one.
// Nothing is sent to whoever shows it.
func tlsFault(name string, from, to time.Duration, trusted bool, why string) faultCase {
	var shown atomic.Pointer[tls.Certificate]
	var a *authority
	return faultCase{
		name: name, heals: 20 * time.Second, // twice the longest pause, and what piled up
		setUp: func(w *world) {
			a = newAuthority(w.t)
			good, _, _ := a.issue(-time.Hour, 24*time.Hour)
			shown.Store(&good)
			server := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil }}
			w.net.Listen("cloud:8883", func(c net.Conn) { w.up.Serve(tls.Server(c, server)) })
			w.cfg.URLs = []string{"mqtts://cloud"}
			w.cfg.TLS = bridge.TLS{CA: a.file, ServerName: "localhost"}
		},
		do: func(w *world) {
			signer := a
			if !trusted {
				signer = newAuthority(w.t)
			}
			good := shown.Load()
			bad, _, _ := signer.issue(from, to)
			shown.Store(&bad)
			w.net.Cut()
			time.Sleep(time.Second)
			connects := len(w.up.Connects())
			time.Sleep(time.Minute)
			if s := w.bridge.Status(); s.State != "refused" && s.State != "waiting" || !strings.Contains(s.Error, why) {
				w.t.Errorf("state %s: %s", s.State, s.Error)
			}
			if n := len(w.up.Connects()); n != connects {
				w.t.Errorf("%d CONNECTs were sent to a server with that certificate", n-connects)
			}
			shown.Store(good)
		},
	}
}
