package interop

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/xdg-go/scram"
)

const scramMethod = "SCRAM-SHA-256"

// scramClient is a client of MQTT 5 by paho that logs in by xdg-go's SCRAM: neither
// knows anything of ours.
type scramClient struct {
	*paho.Client
	t        *testing.T
	user     string
	talk     *scram.ClientConversation
	finished chan struct{}
	ended    chan *paho.Disconnect
}

// Authenticate answers the server's challenge.
func (c *scramClient) Authenticate(a *paho.Auth) *paho.Auth {
	answer, err := c.talk.Step(string(a.Properties.AuthData))
	if err != nil {
		c.t.Errorf("the server says %q: %v", a.Properties.AuthData, err)
	}
	return &paho.Auth{ReasonCode: 0x18, Properties: &paho.AuthProperties{AuthMethod: scramMethod, AuthData: []byte(answer)}}
}

// Authenticated is told of each login that went well.
func (c *scramClient) Authenticated() { c.finished <- struct{}{} }

// begin is the client's first message of a login with a password.
func (c *scramClient) begin(password string) []byte {
	c.t.Helper()
	client, err := scram.SHA256.NewClient(c.user, password, "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.talk = client.NewConversation()
	first, err := c.talk.Step("")
	if err != nil {
		c.t.Fatal(err)
	}
	return []byte(first)
}

// proven wants the server to have shown that it knows the user, too.
func (c *scramClient) proven(final []byte) {
	c.t.Helper()
	if _, err := c.talk.Step(string(final)); err != nil || !c.talk.Valid() {
		c.t.Errorf("the server says %q: %v", final, err)
	}
	c.done()
}

// done wants the login to have ended well.
func (c *scramClient) done() {
	c.t.Helper()
	select {
	case <-c.finished:
	case <-time.After(time.Minute):
		c.t.Error("not authenticated")
	}
}

// scramLogin connects; the answer is there when it was a refusal, too.
func (g *gateway) scramLogin(ctx context.Context, user, password string) (*scramClient, *paho.Connack, error) {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &scramClient{t: g.t, user: user, finished: make(chan struct{}, 1), ended: make(chan *paho.Disconnect, 1)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: conn, AuthHandler: c,
		OnServerDisconnect: func(d *paho.Disconnect) { c.ended <- d },
	})
	ack, err := c.Connect(ctx, &paho.Connect{
		ClientID: user, KeepAlive: 30, CleanStart: true,
		Properties: &paho.ConnectProperties{AuthMethod: scramMethod, AuthData: c.begin(password), RequestProblemInfo: true},
	})
	return c, ack, err
}

// startWithUsers runs a gateway for users of SCRAM, by name and password.
func startWithUsers(t *testing.T, passwords map[string]string) *gateway {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users.txt")
	for name, password := range passwords {
		add := exec.Command(binary, "user", "add", name, "--file", users, "--scram", "--iterations", "4096", "--password-file", "-")
		add.Stdin = strings.NewReader(password + "\n")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("add user %s: %v %s", name, err, out)
		}
	}
	return startGateway(t, ", anonymous: false",
		fmt.Sprintf("auth: {users: %s, acl: [{allow: [publish, subscribe], topics: \"#\"}], backoff: {after: 100}}\n", users))
}

// TestScram: login and renewal by clients and libraries of others.
func TestScram(t *testing.T) {
	passwords := map[string]string{
		"alice": "secret", "jürgen=,": "pässword €",
		"jo\u0308rg": "p\u00adass\u00a0wo\u0308rd", // which xdg-go prepares: a soft hyphen, another space, letters in two parts
	}
	g := startWithUsers(t, passwords)
	for user, password := range passwords {
		t.Run("login and renewal of "+user, func(t *testing.T) {
			ctx := patience(t)
			c, ack, err := g.scramLogin(ctx, user, password)
			if err != nil {
				t.Fatal(err)
			}
			if ack.Properties.AuthMethod != scramMethod {
				t.Errorf("CONNACK has the method %q", ack.Properties.AuthMethod)
			}
			c.proven(ack.Properties.AuthData)
			for range 2 {
				answer, err := c.Client.Authenticate(ctx, &paho.Auth{ReasonCode: 0x19, Properties: &paho.AuthProperties{AuthMethod: scramMethod, AuthData: c.begin(password)}})
				if err != nil || !answer.Success {
					t.Fatalf("renewal: %+v %v", answer, err)
				}
				c.done() // paho does not show what the server has proven
			}
			if _, err := c.Publish(ctx, &paho.Publish{Topic: "t", QoS: 1, Payload: []byte("x")}); err != nil {
				t.Errorf("after the renewals: %v", err)
			}
		})
	}
	for name, tc := range map[string]struct{ user, password string }{
		"a wrong password":    {"alice", "wrong"},
		"nobody of that name": {"eve", "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, ack, err := g.scramLogin(patience(t), tc.user, tc.password)
			if err == nil || ack == nil || ack.ReasonCode != 0x86 {
				t.Errorf("%+v %v", ack, err)
			}
		})
	}
	t.Run("a wrong password in a renewal", func(t *testing.T) {
		ctx := patience(t)
		c, ack, err := g.scramLogin(ctx, "alice", "secret")
		if err != nil {
			t.Fatal(err)
		}
		c.proven(ack.Properties.AuthData)
		go c.Client.Authenticate(ctx, &paho.Auth{ReasonCode: 0x19, Properties: &paho.AuthProperties{AuthMethod: scramMethod, AuthData: c.begin("wrong")}})
		select {
		case d := <-c.ended: // [MQTT-4.12.1-2]
			if d.ReasonCode != 0x86 && d.ReasonCode != 0x87 {
				t.Errorf("DISCONNECT with 0x%x", d.ReasonCode)
			}
			t.Logf("DISCONNECT with 0x%x", d.ReasonCode)
		case <-ctx.Done():
			t.Error("the connection stays")
		}
	})
}
