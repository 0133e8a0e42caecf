package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const aclConfig = `
listeners: [{name: lan, address: "%MQTT%"}]
data_dir: %DATA%
console: {address: "%CONSOLE%"}
auth:
  groups: {crew: [anna]}
  acl:
    - {deny: subscribe, topics: "plant/secret"}
    - {group: crew, allow: publish, topics: "cmd/#"}
    - {client_id: "m-*", address: 127.0.0.0/8, allow: publish, topics: "plant/%c/#"}
    - {allow: [publish, subscribe], topics: "plant/#"}
`

func TestACLCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("weir.yaml", strings.NewReplacer("%MQTT%", "127.0.0.1:1883", "%DATA%", dir, "%CONSOLE%", "off").Replace(aclConfig))
	write("his.acl", "user ben\ntopic read his/#\npattern write dev/%c\n")
	theirs := write("theirs.yaml", "auth: {acl_file: his.acl}\n")
	none := write("none.yaml", "")
	bad := write("bad.yaml", "auth: {acl: [{allow: publish}]}\n")
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"test", "anna", "publish", "cmd/x"}, exitOK, "allowed by weir.yaml:9: group: crew, allow: publish, topics: cmd/#\n"},
		{[]string{"test", "ben", "publish", "cmd/x"}, exitFailed, "denied: no rule allows it"},
		{[]string{"test", "-", "receive", "plant/secret"}, exitFailed, "denied by weir.yaml:8: deny: subscribe, topics: plant/secret"},
		{[]string{"test", "-", "subscribe", "plant/#"}, exitOK, "allowed by weir.yaml:11"},
		{[]string{"test", "-", "subscribe", "$share/g/plant/#"}, exitOK, "allowed by weir.yaml:11"},
		{[]string{"test", "-", "publish", "plant/m-1/x", "--client-id", "m-1", "--address", "127.0.0.1"}, exitOK, "allowed by weir.yaml:10"},
		{[]string{"test", "-", "publish", "plant/m-1/x", "--client-id", "m-1", "--address", "10.0.0.1"}, exitOK, "allowed by weir.yaml:11"},
		{[]string{"test", "-", "subscribe", "$SYS/#"}, exitFailed, "denied: no rule allows it"},
		{[]string{"test", "-", "publish", "$SYS/x"}, exitFailed, "the broker's own"},
		{[]string{"test", "-", "publish", "plant/#"}, exitUsage, "TOPIC: topic has a wildcard"},
		{[]string{"test", "-", "write", "plant"}, exitUsage, "must be publish, subscribe or receive"},
		{[]string{"test", "-", "publish", "plant", "--address", "x"}, exitUsage, "--address"},
		{[]string{"ls"}, exitOK, "weir.yaml:10  client_id: m-*, address: 127.0.0.0/8, allow: publish, topics: plant/%c/#\n"},
		{[]string{"test", "ben", "receive", "his/x", "-c", theirs}, exitOK, "allowed by his.acl:2: user: ben, allow: subscribe, topics: his/#"},
		{[]string{"test", "ben", "publish", "dev/d1", "--client-id", "d1", "-c", theirs}, exitOK, "allowed by his.acl:3"},
		{[]string{"test", "ben", "publish", "dev/d1", "--client-id", "+", "-c", theirs}, exitFailed, "denied: no rule"},
		{[]string{"test", "ben", "publish", "x", "-c", none}, exitOK, "everybody may do everything"},
		{[]string{"ls", "-c", none}, exitOK, "everybody may do everything"},
		{[]string{"ls", "-c", bad}, exitConfig, "topics"},
	} {
		args := append([]string{"acl"}, tc.args...)
		if !strings.Contains(strings.Join(args, " "), " -c ") {
			args = append(args, "-c", config)
		}
		out, code := weir(t, args...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("weir %v: exit code %d, want %d with %q:\n%s", args, code, tc.code, tc.want, out)
		}
	}
}

// TestACLReloadC16: rules hold through the binary, change on SIGHUP, and stay as they
// were when the file has an error or its rules are gone.
func TestACLReloadC16(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	g := startGateway(t, aclConfig)
	port := strconv.Itoa(g.port)
	publish := func(topic string) bool {
		out, err := run(t, lookPeer("mosquitto_pub"), "-p", port, "-V", "5", "-q", "1", "-t", topic, "-m", "x", "-d")
		if err != nil {
			t.Fatal(err, out)
		}
		return !strings.Contains(out, "RC:135")
	}
	if !publish("plant/x") || publish("cmd/x") || publish("$SYS/x") {
		t.Fatal("not as the rules say")
	}
	sub := start(t, lookPeer("mosquitto_sub"), "-p", port, "-V", "5", "-t", "#", "-v", "-i", "watcher")
	eventually(t, patience, "the subscription", func() bool {
		return len(g.status().Clients) == 1 && g.status().Clients[0].Subscriptions == 1
	})
	publish("plant/secret")
	publish("plant/open")
	eventually(t, patience, "a message", func() bool { return strings.Contains(sub.out.String(), "plant/open x") })
	if strings.Contains(sub.out.String(), "secret") {
		t.Error("a denied topic was delivered")
	}
	file, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said := strings.Count(g.out.String(), want)
		g.signal(syscall.SIGHUP)
		eventually(t, patience, want, func() bool { return strings.Count(g.out.String(), want) > said })
	}
	head, _, _ := strings.Cut(string(file), "auth:")
	for name, auth := range map[string]string{
		"no rules":          "auth: {acl: }\n",
		"an empty list":     "auth: {acl: []}\n",
		"an unknown key":    "auth: {acl: [{allow: publish, topic: x}]}\n",
		"a missing file":    "auth: {acl_file: nowhere}\n",
		"an empty file":     "auth: {acl_file: /dev/null}\n",
		"a bad line behind": string(file[len(head):]) + "    - {allow: all, topics: \"#\"}\n",
	} {
		reload(head+auth, "not reloaded")
		if publish("cmd/x") || !publish("plant/x") {
			t.Errorf("%s: the rules before are not in force any more", name)
		}
	}
	reload(head+"auth: {acl: [{allow: [publish, subscribe], topics: \"cmd/#\"}]}\n", "reloaded: no bridge has changed; 1 rule says")
	publish("plant/late")
	if !publish("cmd/x") || publish("plant/x") {
		t.Error("the new rules are not in force")
	}
	eventually(t, patience, "a message", func() bool { return strings.Contains(sub.out.String(), "cmd/x x") })
	if strings.Contains(sub.out.String(), "late") {
		t.Error("the subscription of before brings what it must not")
	}
}
