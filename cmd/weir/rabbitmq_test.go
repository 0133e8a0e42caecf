package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// rabbit is Debian's RabbitMQ with its MQTT plug-in, as a node of its own in a
// temporary directory.
type rabbit struct {
	*process
	t    testing.TB
	dir  string
	port int
	epmd int
	dist int
}

const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// prepareRabbit makes the directory and starts the node's own name server; nothing of
// a RabbitMQ that the machine may run is touched.
func prepareRabbit(t testing.TB) *rabbit {
	t.Helper()
	need(t, "rabbitmq-server", "epmd")
	r := &rabbit{t: t, dir: t.TempDir(), port: freePort(t), epmd: freePort(t), dist: freePort(t)}
	for name, text := range map[string]string{
		"plugins":       "[rabbitmq_mqtt].\n",
		"rabbitmq.conf": fmt.Sprintf("listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:%d\nmqtt.allow_anonymous = true\n", r.port),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, lookPeer("epmd"), "-port", strconv.Itoa(r.epmd), "-address", "127.0.0.1")
	return r
}

// start runs the node, with what it kept, until it takes connections.
func (r *rabbit) start() {
	r.t.Helper()
	at := func(name string) string { return filepath.Join(r.dir, name) }
	r.process = start(r.t, "/usr/bin/env",
		"HOME="+r.dir, "RABBITMQ_NODENAME=weir-test@localhost", "ERL_EPMD_PORT="+strconv.Itoa(r.epmd), "RABBITMQ_DIST_PORT="+strconv.Itoa(r.dist),
		"RABBITMQ_MNESIA_BASE="+at("mnesia"), "RABBITMQ_LOG_BASE="+at("log"), "RABBITMQ_LOGS=-", "RABBITMQ_CONFIG_FILE="+at("rabbitmq"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+at("plugins"), "RABBITMQ_CONF_ENV_FILE="+at("none"), "RABBITMQ_FEATURE_FLAGS_FILE="+at("flags"),
		"RABBITMQ_PID_FILE="+at("pid"),
		// The script gives its process to the node, which then gets our signals.
		"RABBITMQ_ALLOW_INPUT=1", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput",
		rabbitServer)
	eventually(r.t, 90*time.Second, "RabbitMQ is up", func() bool { return listening(r.port) })
}

// TestRabbitMQ: what is published before, during and after an outage of RabbitMQ, and
// over a kill of the gateway, arrives in order; and probe knows what it speaks to.
func TestRabbitMQ(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	r := prepareRabbit(t)
	r.start()
	subscribe := func(more ...string) *process { // in a session that lasts
		args := []string{"-p", strconv.Itoa(r.port), "-V", "311", "-c", "-i", "audit", "-q", "1", "-t", "site7/#", "-W", "30"}
		return start(t, lookPeer("mosquitto_sub"), append(args, more...)...)
	}
	if code := subscribe("-E").wait(30 * time.Second); code != 0 {
		t.Fatalf("subscribe: exit code %d", code)
	}
	expect(t, 0, []string{"bridge", "probe", fmt.Sprintf("mqtt://127.0.0.1:%d", r.port)}, "answered with PUBACK", "preset: rabbitmq", "qos: 1, retain: keep")

	g := startGateway(t, fmt.Sprintf(`
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    preset: rabbitmq
    client_id: gw-1
    backoff: {min: 100ms, max: 500ms}
    out: [{filter: "plant/#", qos: 2, remote_prefix: "site7/"}]
`, r.port))
	g.connected()
	settled := func() bool { return g.status().Bridges[0].Owed == 0 }
	publish(t, g.port, "plant/a", "1")
	publish(t, g.port, "plant/a", "2")
	eventually(t, 10*time.Second, "settled", settled)
	r.stop()
	publish(t, g.port, "plant/a", "3")
	g.kill()
	g.start()
	publish(t, g.port, "plant/a", "4")
	r.start()
	g.connected()
	publish(t, g.port, "plant/a", "5")
	eventually(t, 10*time.Second, "settled after the outage", settled)
	sub := subscribe("-C", "5")
	if code := sub.wait(40 * time.Second); code != 0 || sub.out.String() != "1\n2\n3\n4\n5\n" {
		t.Errorf("exit code %d, arrived %q", code, sub.out)
	}
}
