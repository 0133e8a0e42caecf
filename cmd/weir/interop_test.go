package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const loopbackConfig = `
data_dir: %DATA%
listeners: [{name: lan, address: "%MQTT%"}]
console: {address: "%CONSOLE%"}
`

// TestMosquittoClients: publish and subscribe at every QoS and version, retained
// messages, wills and persistent sessions, with Debian's own clients.
func TestMosquittoClients(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	g := startGateway(t, loopbackConfig)
	port := strconv.Itoa(g.port)
	pub := func(args ...string) {
		t.Helper()
		if out, err := run(t, lookPeer("mosquitto_pub"), append([]string{"-p", port}, args...)...); err != nil {
			t.Fatalf("mosquitto_pub %v: %v\n%s", args, err, out)
		}
	}
	// Who has just exited may be there for a moment still, and would be counted.
	nobody := func() {
		t.Helper()
		eventually(t, patience, "those before to be gone", func() bool { return g.status().Broker.Connections == 0 })
	}
	sub := func(args ...string) *process {
		t.Helper()
		before := g.status().Broker.Subscriptions
		p := start(t, lookPeer("mosquitto_sub"), append([]string{"-p", port, "-W", "120"}, args...)...)
		eventually(t, patience, "subscribed", func() bool { return g.status().Broker.Subscriptions > before })
		return p
	}
	expect := func(p *process, want string) {
		t.Helper()
		if code := p.wait(patience); code != 0 || strings.TrimSpace(p.out.String()) != want {
			t.Errorf("exit code %d, got %q, want %q", code, p.out, want)
		}
	}
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run(version+"/qos="+qos, func(t *testing.T) {
				nobody()
				s := sub("-V", version, "-q", qos, "-t", "a/+/c", "-C", "1", "-v")
				pub("-V", version, "-q", qos, "-t", "a/b/c", "-m", "hello")
				expect(s, "a/b/c hello")
			})
		}
	}
	t.Run("retained", func(t *testing.T) {
		pub("-t", "r/x", "-m", "kept", "-r", "-q", "1")
		expect(start(t, lookPeer("mosquitto_sub"), "-p", port, "-t", "r/#", "-C", "1", "-W", "120"), "kept")
		pub("-t", "r/x", "-n", "-r", "-q", "1")
		p := start(t, lookPeer("mosquitto_sub"), "-p", port, "-t", "r/#", "-C", "1", "-W", "1")
		if code := p.wait(patience); code != 27 {
			t.Errorf("after clearing: exit code %d, output %q", code, p.out)
		}
	})
	t.Run("will", func(t *testing.T) {
		nobody()
		s := sub("-t", "will/#", "-C", "1", "-q", "1")
		dying := sub("-t", "nothing", "--will-topic", "will/x", "--will-payload", "gone", "--will-qos", "1")
		dying.kill()
		expect(s, "gone")
	})
	t.Run("persistent session through SIGKILL", func(t *testing.T) {
		first := start(t, lookPeer("mosquitto_sub"), "-p", port, "-c", "-i", "keeper", "-q", "2", "-t", "keep/#", "-E")
		if code := first.wait(patience); code != 0 {
			t.Fatalf("exit code %d: %s", code, first.out)
		}
		pub("-t", "keep/1", "-m", "one", "-q", "2")
		pub("-t", "keep/2", "-m", "two", "-q", "2")
		g.kill()
		g.start()
		pub("-t", "keep/3", "-m", "three", "-q", "2")
		expect(start(t, lookPeer("mosquitto_sub"), "-p", port, "-c", "-i", "keeper", "-q", "2", "-t", "keep/#", "-C", "3", "-W", "120"), "one\ntwo\nthree")
	})
}

// TestScriptedClients: libraries that many devices are built on, each with a
// script that checks for itself and prints ok.
func TestScriptedClients(t *testing.T) {
	for _, c := range []struct{ name, program, probe, script string }{
		{"paho for Python", "/usr/bin/python3", "import paho.mqtt.client", "paho_client.py"},
		{"MQTT.js", "node", "require('mqtt')", "mqttjs_client.js"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NODE_PATH", "/usr/share/nodejs")
			need(t, c.program)
			flag := map[bool]string{true: "-e", false: "-c"}[c.program == "node"]
			if out, err := run(t, c.program, flag, c.probe); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatalf("%s is not installed: %s", c.name, out)
				}
				t.Skipf("%s is not installed", c.name)
			}
			g := startGateway(t, loopbackConfig)
			for _, version := range []string{"4", "5"} {
				out, err := run(t, c.program, filepath.Join("testdata", c.script), strconv.Itoa(g.port), version)
				if err != nil || !strings.HasSuffix(strings.TrimSpace(out), "ok") {
					t.Errorf("version %s: %v\n%s", version, err, out)
				}
			}
		})
	}
}

// TestOwnClients: weir pub and weir sub against Debian's mosquitto.
func TestOwnClients(t *testing.T) {
	up := startMosquitto(t)
	port := strconv.Itoa(up.port)
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"31", "311", "5"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run(version+"/qos="+qos, func(t *testing.T) {
				topic := "own/" + version + "/" + qos
				if out, code := weir(t, "pub", "-p", port, "-V", version, "-q", qos, "-r", "-t", topic, "-m", "hello"); code != 0 {
					t.Fatalf("exit code %d: %s", code, out)
				}
				s := start(t, path, "sub", "-p", port, "-V", version, "-q", qos, "-t", topic, "-C", "1", "-W", "120", "-v")
				if code := s.wait(patience); code != 0 || s.out.String() != topic+" hello\n" {
					t.Errorf("exit code %d, got %q", code, s.out)
				}
			})
		}
	}
	t.Run("timeout", func(t *testing.T) {
		if out, code := weir(t, "sub", "-p", port, "-t", "silence", "-C", "1", "-W", "1"); code != exitTimeout {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		if out, code := weir(t, "pub", "-p", strconv.Itoa(freePort(t)), "-t", "x", "-m", "y"); code != exitUnavailable {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("wrong usage", func(t *testing.T) {
		for _, args := range [][]string{{"pub", "-t", "x"}, {"pub", "-t", "x", "-m", "y", "-q", "3"}, {"sub"}, {"nonsense"}, {"pub", "--nonsense"}} {
			if out, code := weir(t, args...); code != exitUsage {
				t.Errorf("weir %v: exit code %d: %s", args, code, out)
			}
		}
	})
}
