package broker_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// hybrid is a broker whose TLS listener takes certificates, and passwords from those
// who have none.
func hybrid(t *testing.T) (*brokertest.Server, *authority) {
	t.Helper()
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("localhost", nil)
	a.revoke("crl.pem")
	return brokertest.Start(t, broker.Config{
		Auth: users{"alice": "secret", "bob": "secret"},
		Listeners: []broker.Listener{{
			Name: "tls", Address: "127.0.0.1:0",
			TLS: &transport.TLSFiles{
				Cert: a.file("cert-of-localhost.pem"), Key: a.file("key-of-localhost.pem"),
				ClientCA: a.file("ca.pem"), CRL: a.file("crl.pem"), ClientOptional: true,
			},
		}},
	}), a
}

// dialTLS connects, with a certificate or without.
func dialTLS(t *testing.T, s *brokertest.Server, a *authority, certs ...tls.Certificate) *brokertest.Client {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr("tls").String(), &tls.Config{RootCAs: a.pool(), ServerName: "localhost", Certificates: certs})
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.NewClient(t, c)
}

// TestCertificateIsTheUser: it does not matter how a user has shown who it is; and a
// certificate says who it is, whatever CONNECT says.
func TestCertificateIsTheUser(t *testing.T) {
	s, a := hybrid(t)
	alice, bob := a.issue("alice", nil), a.issue("bob", nil)
	first := dialTLS(t, s, a, alice)
	first.Connect(as(packet.V5, "bob", "wrong", "c", false)) // is alice all the same
	if got := s.Clients(); len(got) != 1 || got[0].User != "alice" {
		t.Fatalf("%+v", got)
	}
	for name, tc := range map[string]struct {
		certs   []tls.Certificate
		connect packet.Connect
		want    packet.Reason
		present bool
	}{
		"another's certificate": {[]tls.Certificate{bob}, as(packet.V5, "alice", "secret", "c", false), packet.NotAuthorized, false},
		"another's password":    {nil, as(packet.V5, "bob", "secret", "c", false), packet.NotAuthorized, false},
		"neither":               {nil, packet.Connect{Version: packet.V5, ClientID: []byte("c")}, packet.NotAuthorized, false},
		"her password":          {nil, as(packet.V5, "alice", "secret", "c", false), packet.Success, true},
	} {
		c := dialTLS(t, s, a, tc.certs...)
		if ack := c.TryConnect(tc.connect); ack == nil || ack.Reason != tc.want || ack.SessionPresent != tc.present {
			t.Errorf("%s: %+v", name, ack)
		}
		c.Close()
	}
}

// TestCertificateWithMethod: with an enhanced authentication both must name the same
// user.
func TestCertificateWithMethod(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("localhost", nil)
	s := brokertest.Start(t, broker.Config{Auth: new(asking), Listeners: []broker.Listener{{
		Name: "tls", Address: "127.0.0.1:0",
		TLS: &transport.TLSFiles{Cert: a.file("cert-of-localhost.pem"), Key: a.file("key-of-localhost.pem"), ClientCA: a.file("ca.pem")},
	}}})
	alice := a.issue("alice", nil)
	for name, want := range map[string]packet.Reason{"alice": packet.Success, "bob": packet.NotAuthorized} {
		c := dialTLS(t, s, a, alice)
		c.Speak(packet.V5)
		p := hello("ask", name)
		c.Send(&p)
		c.Expect(authPacket(packet.ContinueAuthentication, "ask", "again"))
		c.Send(authPacket(packet.ContinueAuthentication, "ask", name))
		if ack, ok := c.Next().(*packet.Connack); !ok || ack.Reason != want {
			t.Errorf("%s: %+v", name, ack)
		}
		c.Close()
	}
}

// TestCertificateRevoked: a certificate that is good no longer ends its connection,
// too.
func TestCertificateRevoked(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(a *authority, serial int64)
		ends   bool
	}{
		"nothing has changed":   {func(*authority, int64) {}, false},
		"another was revoked":   {func(a *authority, serial int64) { a.revoke("crl.pem", serial+1) }, false},
		"it was revoked":        {func(a *authority, serial int64) { a.revoke("crl.pem", serial) }, true},
		"its authority is gone": {func(a *authority, _ int64) { other := newAuthority(t, a.dir, "ca"); other.revoke("crl.pem") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := hybrid(t)
			var serial int64
			cert := a.issue("alice", func(c *x509.Certificate) { serial = c.SerialNumber.Int64() })
			c, other := dialTLS(t, s, a, cert), dialTLS(t, s, a)
			c.Connect(packet.Connect{ClientID: []byte("c")})
			other.Connect(as(packet.V5, "bob", "secret", "other", true))
			tc.change(a, serial)
			if err := s.Reload(); err != nil {
				t.Fatal(err)
			}
			s.Recheck()
			if tc.ends {
				c.ExpectReason(packet.NotAuthorized)
			} else {
				c.ExpectNothing()
			}
			other.ExpectNothing()
		})
	}
}
