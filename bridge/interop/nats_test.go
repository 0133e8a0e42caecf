package interop

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// nats is a nats-server in this process. What it keeps outlives a restart.
type nats struct {
	t      *testing.T
	dir    string
	port   string
	server *server.Server
}

func startNATS(t *testing.T) *nats {
	t.Helper()
	n := &nats{t: t, dir: t.TempDir(), port: freePort(t)}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *nats) start() {
	n.t.Helper()
	port, err := strconv.Atoi(n.port)
	if err != nil {
		n.t.Fatal(err)
	}
	n.server, err = server.NewServer(&server.Options{
		ServerName: "upstream", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: n.dir,
		MQTT: server.MQTTOpts{Host: "127.0.0.1", Port: port},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.server.Start()
	if !n.server.ReadyForConnections(2 * time.Minute) {
		n.t.Fatal("nats-server is not ready")
	}
}

func (n *nats) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// subscriber is a session upstream that lasts, with a subscription of QoS 2.
type subscriber struct {
	n      *nats
	filter string
}

func (n *nats) subscriber(filter string) subscriber {
	s := subscriber{n, filter}
	c, out := weir(n.t, s.args("-W", "1")...) // it ends without a message: the session stays
	if err := c.Wait(); c.ProcessState.ExitCode() != 27 {
		n.t.Fatalf("subscribe: %v\n%s", err, out)
	}
	return s
}

func (s subscriber) args(more ...string) []string {
	return append([]string{"sub", "-p", s.n.port, "-V", "311", "-c", "-i", "audit", "-q", "2", "-v", "-t", s.filter}, more...)
}

// want takes what is waiting and what comes.
func (s subscriber) want(lines ...string) {
	s.n.t.Helper()
	got := must(s.n.t, s.args("-C", strconv.Itoa(len(lines)), "-W", "120")...)
	if want := strings.Join(lines, "\n") + "\n"; got != want {
		s.n.t.Errorf("arrived\n%swant\n%s", got, want)
	}
}

// TestNATS: the preset against a real one: QoS 0, 1 and 2, retained state, commands, a
// restart of the upstream and a kill of the gateway in the outage, all in order; and
// what NATS cannot express is set aside instead of ending the connection for ever.
func TestNATS(t *testing.T) {
	n := startNATS(t)
	audit := n.subscriber("site7/plant/a")
	g := startGateway(t, fmt.Sprintf(`
  - name: cloud
    url: mqtt://127.0.0.1:%s
    preset: nats
    client_id: gw-1
    backoff: {min: 100ms, max: 500ms}
    out: [{filter: "plant/#", qos: 2, remote_prefix: "site7/"}]
    in: [{filter: "cmd/#", qos: 1, local_prefix: "cloud/"}]
`, n.port))
	g.is("connected", 0)
	if u, _ := g.uplink(); u.Protocol != "3.1.1" {
		t.Errorf("protocol %s", u.Protocol)
	}
	for qos := 1; qos <= 2; qos++ {
		g.publish("plant/a", strconv.Itoa(qos), fmt.Sprint("QoS ", qos))
		g.is("connected", 0)
	}
	audit.want("site7/plant/a QoS 1", "site7/plant/a QoS 2")
	comes(t, n.port, "site7/#", "site7/plant/b QoS 0", func() { g.publish("plant/b", "0", "QoS 0") })

	must(t, "pub", "-p", g.port, "-t", "plant/state", "-q", "1", "-r", "-m", "on")
	g.is("connected", 0)
	if got := must(t, "sub", "-p", n.port, "-V", "311", "-t", "site7/plant/state", "-C", "1", "-W", "120"); got != "on\n" {
		t.Errorf("retained upstream: %q", got)
	}

	g.publish("plant/a b", "1", "with a space")
	g.is("connected", 0)
	if u, _ := g.uplink(); u.Quarantined != 1 {
		t.Errorf("%d in quarantine", u.Quarantined)
	}

	// NATS hands on QoS 2 with its PUBREL, so that QoS 1 may overtake it there.
	for _, qos := range []string{"1", "2"} {
		n.stop()
		var want []string
		for i := range 40 {
			g.publish("plant/a", qos, strconv.Itoa(i))
			want = append(want, fmt.Sprint("site7/plant/a ", i))
			if i == 20 {
				g.kill()
				g.start()
			}
		}
		n.start()
		g.is("connected", 0)
		audit.want(want...)
	}

	comes(t, g.port, "cloud/#", "cloud/cmd/x start", func() {
		must(t, "pub", "-p", n.port, "-V", "311", "-t", "cmd/x", "-q", "1", "-m", "start")
	})
}

// comes publishes until a subscriber of this moment has got it: of a subscription
// nothing is to be seen from here.
func comes(t *testing.T, port, filter, want string, publish func()) {
	t.Helper()
	sub, out := weir(t, "sub", "-p", port, "-V", "311", "-t", filter, "-v", "-C", "1", "-R", "-W", "120")
	eventually(t, want, func() bool {
		publish()
		return out.String() != ""
	})
	if err := sub.Wait(); err != nil || out.String() != want+"\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// TestNATSProbe: the probe recognises it.
func TestNATSProbe(t *testing.T) {
	n := startNATS(t)
	got := must(t, "bridge", "probe", "mqtt://127.0.0.1:"+n.port)
	t.Log(got)
	if !strings.Contains(got, "preset: nats") {
		t.Errorf("no preset in\n%s", got)
	}
}
