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
	eventually(r.t, patience, "RabbitMQ is up", func() bool { return listening(r.port) })
}

// TestRabbitMQ: what is published before, during and after an outage of RabbitMQ, and
// over a kill of the gateway, arrives in order, and so do commands that were published
// there meanwhile; retained state stays, and probe knows what it speaks to.
func TestRabbitMQ(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	r := prepareRabbit(t)
	r.start()
	expect(t, 0, []string{"bridge", "probe", fmt.Sprintf("mqtt://127.0.0.1:%d", r.port)}, "answered with PUBACK", "preset: rabbitmq", "qos: 1, retain: keep")
	rec := record(t, r.port, "audit", "site7/plant/n/#")
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
    in: [{filter: "cmd/#", qos: 2}]
`, r.port))
	g.connected()
	commands := record(t, g.port, "valve", "cmd/#")
	publish(t, r.port, "cmd/valve", `{"n":0}`)
	eventually(t, patience, "a command", func() bool { return commands.count() == 1 })
	src := publishNumbered(t, g, "auditor", 2, 5*time.Millisecond, "plant/n/a", "plant/n/b")
	src.grown(t, 200)
	if out, err := run(t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(g.port), "-t", "plant/state", "-q", "2", "-r", "-m", "on"); err != nil {
		t.Fatal(err, out)
	}
	r.stop()
	src.grown(t, 200)
	g.kill()
	r.start()
	publish(t, r.port, "cmd/valve", `{"n":1}`) // nobody is there
	g.start()
	src.grown(t, 200)
	src.end()
	v := settle(t, rec, g, src.source)
	t.Logf("%+v", v)
	if v.Reversed > 0 || v.Duplicates > 2*window311 {
		t.Errorf("verdict: %+v", v)
	}
	eventually(t, patience, "the command for who was away", func() bool { return commands.count() >= 2 })
	if got, err := run(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(r.port), "-V", "311", "-t", "site7/plant/state", "-C", "1", "-W", "120"); err != nil || got != "on\n" {
		t.Errorf("retained: %q, %v", got, err)
	}
}

// window311 is the bridge's where the upstream cannot say how much it takes.
const window311 = 100
