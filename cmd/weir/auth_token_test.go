package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// TestTokenRenewed: by the method OAUTH2-JWT a client renews its token without a new
// connection, and is disconnected when it does not, at the end of the last one.
func TestTokenRenewed(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "hs.secret")
	const secret = "a secret of more than 32 bytes, for HS256"
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, "data_dir: %DATA%\nlisteners: [{address: \"%MQTT%\", anonymous: false}]\nconsole: {address: \"%CONSOLE%\"}\n"+
		"auth: {acl: [{allow: [publish, subscribe], topics: \"#\"}], jwt: {secret_file: "+secretFile+", leeway: 0s, unknown_clock: trust}}\n")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	send := func(p packet.Packet) {
		t.Helper()
		if _, err := conn.Write(p.AppendTo(nil, packet.V5)); err != nil {
			t.Fatal(err)
		}
	}
	with := func(token string) *packet.Properties {
		return &packet.Properties{AuthMethod: []byte("OAUTH2-JWT"), AuthData: []byte(token)}
	}
	next := func() packet.Packet {
		t.Helper()
		head, err := in.Peek(2)
		if err != nil {
			t.Fatal(err)
		}
		h, n, err := packet.ReadHeader(head)
		if err != nil || n == 0 {
			t.Fatalf("% x: %v", head, err)
		}
		b := make([]byte, n+h.Length)
		if _, err := io.ReadFull(in, b); err != nil {
			t.Fatal(err)
		}
		p, err := packet.Parse(h, b[n:], packet.V5)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const life = 5 * time.Second
	first, firstEnds := tokenOf(secret, "app", life), time.Now().Add(life)
	send(&packet.Connect{Version: packet.V5, CleanStart: true, ClientID: []byte("c"), Properties: with(first)})
	if ack, ok := next().(*packet.Connack); !ok || ack.Reason != 0 || string(ack.Properties.AuthMethod) != "OAUTH2-JWT" {
		t.Fatalf("%+v", ack)
	}
	send(&packet.Auth{Reason: packet.ReAuthenticate, Properties: with(tokenOf(secret, "app", life+3*time.Second))})
	if p, ok := next().(*packet.Auth); !ok || p.Reason != packet.Success {
		t.Fatalf("not renewed: %+v", p)
	}
	if p, ok := next().(*packet.Disconnect); !ok || p.Reason != packet.NotAuthorized {
		t.Fatalf("%+v", p)
	}
	if time.Now().Before(firstEnds.Add(time.Second)) { // a token's end is told in whole seconds
		t.Error("ended with the first token")
	}
}
