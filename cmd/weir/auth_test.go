package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

// weirIn runs the real binary with something on its standard input.
func weirIn(t testing.TB, input string, args ...string) (string, int) {
	t.Helper()
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, _ := cmd.CombinedOutput() // the exit code says it
	return string(out), cmd.ProcessState.ExitCode()
}

// addUser adds a user with `weir user add`.
func addUser(t testing.TB, file, name, password string, flags ...string) {
	t.Helper()
	if out, code := weirIn(t, password+"\n", append([]string{"user", "add", name, "--file", file, "--password-file", "-"}, flags...)...); code != 0 {
		t.Fatalf("weir user add %s: exit code %d: %s", name, code, out)
	}
}

// usersConfig is a gateway for users only; %USERS% is their file.
const usersConfig = `
data_dir: %DATA%
listeners: [{name: lan, address: "%MQTT%", anonymous: false}]
console: {address: "%CONSOLE%"}
log: {level: debug}
auth:
  users: %USERS%
  acl: [{allow: [publish, subscribe], topics: "#"}]
`

// startWithUsers runs a gateway on a users file.
func startWithUsers(t testing.TB, file, more string) *testGateway {
	t.Helper()
	return startGateway(t, strings.Replace(usersConfig, "%USERS%", file, 1)+more)
}

// reload sends SIGHUP and waits for what the gateway says.
func (g *testGateway) reload(want string) {
	g.t.Helper()
	said := strings.Count(g.out.String(), want)
	g.signal(syscall.SIGHUP)
	eventually(g.t, patience, "reloaded with "+want, func() bool { return strings.Count(g.out.String(), want) > said })
}

// publish is mosquitto_pub as a user; "" is one that got through.
func (g *testGateway) publish(user, password string, flags ...string) string {
	args := append([]string{"-p", strconv.Itoa(g.port), "-t", "t", "-m", "x"}, flags...)
	if user != "" {
		args = append(args, "-u", user)
	}
	if password != "" {
		args = append(args, "-P", password)
	}
	out, err := run(g.t, lookPeer("mosquitto_pub"), args...)
	if err != nil {
		return out + err.Error()
	}
	return ""
}

// TestUsersOfOthers: users that weir user and mosquitto_passwd have made log in with
// Debian's clients and paho; who is not one, does not.
func TestUsersOfOthers(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_passwd")
	dir := t.TempDir()
	file := filepath.Join(dir, "users.txt")
	for _, kind := range []string{"sha512", "sha512-pbkdf2"} {
		if out, err := run(t, lookPeer("mosquitto_passwd"), "-H", kind, "-b", ensureFile(t, file), "m-"+kind, "secret"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	addUser(t, file, "alice", "secret")
	addUser(t, file, "bob", "sécret", "--scram")
	g := startWithUsers(t, file, "  backoff: {after: 1000}\n")

	t.Run("mosquitto_pub", func(t *testing.T) {
		for _, version := range []string{"31", "311", "5"} {
			for user, password := range map[string]string{"alice": "secret", "bob": "sécret", "m-sha512": "secret", "m-sha512-pbkdf2": "secret"} {
				if out := g.publish(user, password, "-V", version); out != "" {
					t.Errorf("%s over %s: %s", user, version, out)
				}
			}
			for _, login := range [][2]string{{"alice", "wrong"}, {"eve", "secret"}, {"alice", ""}, {"", ""}} {
				if g.publish(login[0], login[1], "-V", version) == "" {
					t.Errorf("%v is let in over %s", login, version)
				}
			}
		}
	})
	t.Run("paho", func(t *testing.T) {
		if out, err := run(t, "/usr/bin/python3", "-c", "import paho.mqtt.client"); err != nil {
			t.Skipf("paho for Python is not installed: %s", out)
		}
		for version, lines := range map[string]string{
			"4": "alice=secret=0\nbob=sécret=0\nm-sha512=secret=0\nalice=wrong=4\neve=secret=4\nalice==4\n==5\n",
			"5": "alice=secret=0\nbob=sécret=0\nm-sha512=secret=0\nalice=wrong=0x86\neve=secret=0x86\nalice==0x86\n==0x87\n",
		} {
			cmd := exec.Command("/usr/bin/python3", "testdata/login_client.py", strconv.Itoa(g.port), version)
			cmd.Stdin = strings.NewReader(lines)
			if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
				t.Errorf("version %s: %v\n%s", version, err, out)
			}
		}
	})
	t.Run("weir pub", func(t *testing.T) {
		port := strconv.Itoa(g.port)
		if out, code := weir(t, "pub", "-p", port, "-u", "alice", "-P", "secret", "-t", "t", "-m", "x"); code != 0 {
			t.Errorf("exit code %d: %s", code, out)
		}
		password := filepath.Join(dir, "alice.secret")
		if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := weir(t, "pub", "-p", port, "-u", "alice", "--password-file", password, "-t", "t", "-m", "x"); code != 0 {
			t.Errorf("exit code %d: %s", code, out)
		}
		if out, code := weir(t, "sub", "-p", port, "-u", "alice", "--password-file", password+"x", "-t", "t"); code != exitUsage || !strings.Contains(out, "no such file") {
			t.Errorf("exit code %d: %s", code, out)
		}
		if out, code := weir(t, "pub", "-p", port, "-u", "alice", "-P", "x", "-t", "t", "-m", "x"); code == 0 || !strings.Contains(out, "Bad User Name or Password") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("shown", func(t *testing.T) {
		a := g.status().Auth
		if a == nil || a.Users != 4 || a.Logins["accepted"] == 0 || a.Logins["wrong password"] == 0 || a.Logins["no password"] == 0 {
			t.Errorf("status: %+v", a)
		}
		out, code := weir(t, "status", "--config", g.config)
		if code != 0 || !strings.Contains(out, "logins    4 users") {
			t.Errorf("exit code %d: %s", code, out)
		}
		if m := g.metrics(); !strings.Contains(m, `weir_auth_logins_total{result="accepted"}`) || !strings.Contains(m, "weir_auth_users 4") {
			t.Errorf("metrics:\n%s", m)
		}
	})
}

// ensureFile makes an empty file where there is none.
func ensureFile(t testing.TB, path string) string {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return path
}

func (g *testGateway) metrics() string { return g.fetch("/metrics") }

// fetch reads a page of the console.
func (g *testGateway) fetch(path string) string {
	g.t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", g.console, path))
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(body)
}

// TestUsersReload: SIGHUP takes users and keys as they are now, or leaves all as it
// was; who is a user no longer is disconnected. C16.
func TestUsersReload(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	file := filepath.Join(t.TempDir(), "users.txt")
	for _, name := range []string{"alice", "bob"} {
		addUser(t, file, name, "secret")
	}
	g := startWithUsers(t, file, "")
	for _, name := range []string{"alice", "bob"} {
		start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(g.port), "-i", name, "-u", name, "-P", "secret", "-t", "#", "-c", "-q", "1")
	}
	connected := func(names ...string) func() bool {
		return func() bool {
			var there []string
			for _, c := range g.status().Clients {
				if c.Connected {
					there = append(there, c.User)
				}
			}
			return strings.Join(there, " ") == strings.Join(names, " ")
		}
	}
	eventually(t, patience, "connected", connected("alice", "bob"))

	addUser(t, file, "carol", "secret")
	if g.publish("carol", "secret") == "" {
		t.Error("a user before the reload")
	}
	g.reload("reloaded: no bridge has changed; 3 users")
	if out := g.publish("carol", "secret"); out != "" {
		t.Errorf("not a user after the reload: %s", out)
	}
	if !connected("alice", "bob")() {
		t.Error("a reload that does not concern them has ended connections")
	}

	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"C16 bad line":        func() error { return os.WriteFile(file, append([]byte("mallory\n"), good...), 0o600) },
		"C16 password inside": func() error { return os.WriteFile(file, append([]byte("mallory:hunter2\n"), good...), 0o600) },
		"C16 open to others":  func() error { return os.Chmod(file, 0o644) },
		"C16 gone":            func() error { return os.Remove(file) },
		"C16 empty":           func() error { return os.WriteFile(file, nil, 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		g.reload("not reloaded")
		if out := g.publish("carol", "secret"); out != "" {
			t.Errorf("%s: the users from before are not in force: %s", name, out)
		}
		if g.publish("mallory", "hunter2") == "" || g.publish("", "") == "" {
			t.Errorf("%s: somebody else is let in", name)
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !connected("alice", "bob")() {
		t.Error("a reload in vain has ended connections")
	}

	if out, code := weir(t, "user", "rm", "bob", "--file", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	g.reload("2 users")
	eventually(t, patience, "without bob", connected("alice"))
	if out, code := weirIn(t, "other\n", "user", "passwd", "alice", "--file", file, "--password-file", "-"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	g.reload("2 users")
	eventually(t, patience, "without alice, whose password is another", connected())
	if out := g.publish("alice", "other"); out != "" {
		t.Error(out)
	}
	for _, c := range g.status().Clients {
		if c.User == "bob" && !c.Durable {
			t.Error("bob's session is gone")
		}
	}
}

// TestScramOfOthers: a client of SCRAM-SHA-256 that was written from the standards.
func TestScramOfOthers(t *testing.T) {
	need(t, "/usr/bin/python3")
	file := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, file, "alice", "secret", "--scram")
	addUser(t, file, "a=b", "secret", "--scram", "--iterations", "4096")
	addUser(t, file, "bob", "secret")
	g := startWithUsers(t, file, "  backoff: {after: 100}\n")
	for _, tc := range []struct{ user, password, want string }{
		{"alice", "secret", "ok"},
		{"a=b", "secret", "ok"},
		{"alice", "wrong", "refused 0x86"},
		{"eve", "secret", "refused 0x86"},
		{"bob", "secret", "refused 0x86"}, // his password is not kept for SCRAM
	} {
		out, _ := run(t, "/usr/bin/python3", "testdata/scram_client.py", strconv.Itoa(g.port), tc.user, tc.password)
		if strings.TrimSpace(out) != tc.want {
			t.Errorf("%s, %s: want %s, got\n%s", tc.user, tc.password, tc.want, out)
		}
	}
	g.stop()
	g.start()
	if info, err := os.Stat(filepath.Join(filepath.Dir(g.dataDir()), "data", "login.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("login.key: %v, %v", info, err)
	}
}

// dataDir is the folder of the gateway's data.
func (g *testGateway) dataDir() string {
	g.t.Helper()
	text, err := os.ReadFile(g.config)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if dir, ok := strings.CutPrefix(line, "data_dir: "); ok {
			return strings.TrimSpace(dir)
		}
	}
	g.t.Fatal("no data_dir")
	return ""
}

// tokenOf makes a token by hand, with HS256.
func tokenOf(secret, user string, lives time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	text := part(`{"alg":"HS256","typ":"JWT"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"aud":"weir","exp":%d}`, user, time.Now().Add(lives).Unix()))
	return text + "." + part(string(sum(secret, text)))
}

func sum(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestTokensOfOthers: tokens that openssl and this test have made let their owners
// in, for as long as they are good.
func TestTokensOfOthers(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub", "openssl")
	dir := t.TempDir()
	const secret = "a secret of more than 32 bytes, for HS256"
	private, public, secretFile := filepath.Join(dir, "k.pem"), filepath.Join(dir, "pub.pem"), filepath.Join(dir, "hs.secret")
	for _, args := range [][]string{{"genrsa", "-out", private, "2048"}, {"rsa", "-in", private, "-pubout", "-out", public}} {
		if out, err := run(t, "openssl", args...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("data_dir: %%DATA%%\nlisteners: [{address: \"%%MQTT%%\", anonymous: false}]\nconsole: {address: \"%%CONSOLE%%\"}\n"+
		"auth:\n  acl: [{allow: [publish, subscribe], topics: \"#\"}]\n  jwt: {keys: %s, secret_file: %s, audience: weir, leeway: 0s, unknown_clock: trust}\n  backoff: {after: 100}\n", public, secretFile)
	g := startGateway(t, config)

	for _, version := range []string{"311", "5"} {
		if out := g.publish("any", tokenOf(secret, "app", time.Hour), "-V", version); out != "" {
			t.Errorf("HS256 over %s: %s", version, out)
		}
		if out := g.publish("any", signedByOpenSSL(t, private, "app"), "-V", version); out != "" {
			t.Errorf("RS256 over %s: %s", version, out)
		}
		for name, token := range map[string]string{
			"another secret":          tokenOf(secret+"x", "app", time.Hour),
			"expired":                 tokenOf(secret, "app", -time.Minute),
			"the public key as HS256": tokenOf(string(read(t, public)), "app", time.Hour),
			"user +":                  tokenOf(secret, "+", time.Hour),
			"a password":              "secret",
		} {
			if g.publish("any", token, "-V", version) == "" {
				t.Errorf("%s is let in over %s", name, version)
			}
		}
	}

	long := start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(g.port), "-i", "long", "-u", "x", "-P", tokenOf(secret, "app", time.Hour), "-t", "t")
	eventually(t, patience, "connected as the token says", func() bool { return g.user("long") == "app" })
	long.kill()
	sub := start(t, lookPeer("mosquitto_sub"), "-V", "5", "-d", "-p", strconv.Itoa(g.port), "-i", "short", "-u", "x", "-P", tokenOf(secret, "app", 6*time.Second), "-t", "t")
	for _, said := range []string{"received CONNACK (0)", "Received DISCONNECT"} { // at the token's end
		eventually(t, patience, said, func() bool { return strings.Contains(sub.out.String(), said) })
	}
	eventually(t, patience, "disconnected", func() bool { return g.user("short") == "" })
	if a := g.status().Auth; a.TokenKeys != 2 || a.Logins["token expired"] == 0 || a.Logins["token not valid"] == 0 {
		t.Errorf("%+v", a)
	}
}

// online says whether a client is connected.
func (g *testGateway) online(clientID string) bool {
	return slices.ContainsFunc(g.status().Clients, func(c core.ClientStatus) bool { return c.ClientID == clientID && c.Connected })
}

// user is who is connected with a client id.
func (g *testGateway) user(clientID string) string {
	for _, c := range g.status().Clients {
		if c.ClientID == clientID && c.Connected {
			return c.User
		}
	}
	return ""
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signedByOpenSSL is a token of RS256.
func signedByOpenSSL(t testing.TB, key, user string) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(`{"alg":"RS256"}`)) + "." + part(fmt.Appendf(nil, `{"sub":%q,"aud":["x","weir"],"exp":%d}`, user, time.Now().Add(time.Hour).Unix()))
	cmd := exec.Command("openssl", "dgst", "-sha256", "-sign", key)
	cmd.Stdin = strings.NewReader(text)
	signature, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + part(signature)
}

// TestInit: what weir init writes runs, for its one user, who has a password of its
// own; nothing is written over. C17.
func TestInit(t *testing.T) {
	need(t, "mosquitto_pub")
	port := freePort(t)
	var passwords []string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "weir")
		out, code := weir(t, "init", dir, "--address", fmt.Sprintf("0.0.0.0:%d", port), "--user", "first")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, out)
		}
		_, rest, _ := strings.Cut(out, "password  ")
		password := strings.Fields(rest)[0]
		passwords = append(passwords, password)
		config, users := filepath.Join(dir, "weir.yaml"), filepath.Join(dir, "users.txt")
		if info, err := os.Stat(users); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("users.txt: %v %v", info, err)
		}
		if bytes.Contains(read(t, users), []byte(password)) || bytes.Contains(read(t, config), []byte(password)) {
			t.Error("the password is in a file")
		}
		before := append(read(t, users), read(t, config)...)
		if out, code := weir(t, "init", dir); code == 0 || !strings.Contains(out, "nothing was written") {
			t.Errorf("a second time: exit code %d: %s", code, out)
		}
		if !bytes.Equal(before, append(read(t, users), read(t, config)...)) {
			t.Error("it was written over")
		}
		g := &testGateway{t: t, port: port, console: freePort(t), config: config}
		extra := fmt.Sprintf("\ndata_dir: data\nconsole: {address: \"127.0.0.1:%d\"}\n", g.console)
		if err := os.WriteFile(config, append(read(t, config), extra...), 0o640); err != nil {
			t.Fatal(err)
		}
		g.start()
		if out := g.publish("first", password); out != "" {
			t.Error(out)
		}
		for _, login := range [][2]string{{"", ""}, {"first", "first"}, {"first", ""}, {"admin", "admin"}, {"weir", "weir"}} {
			if g.publish(login[0], login[1]) == "" {
				t.Errorf("%v is let in", login)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "data")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("data: %v %v", info, err)
		}
		g.stop()
	}
	if passwords[0] == passwords[1] || len(passwords[0]) < 20 {
		t.Errorf("the passwords are %s", passwords)
	}
	t.Run("on this machine only", func(t *testing.T) {
		dir := t.TempDir()
		if out, code := weir(t, "init", dir, "--address", "127.0.0.1:1883"); code != 0 {
			t.Fatalf("exit code %d: %s", code, out)
		}
		out, code := weir(t, "config", "show", filepath.Join(dir, "weir.yaml"))
		if code != 0 || !strings.Contains(out, "anonymous: false") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("open folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		g := startGateway(t, "data_dir: "+dir+"\nlisteners: [{address: \"%MQTT%\"}]\nconsole: {address: \"%CONSOLE%\"}\n")
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 || !strings.Contains(g.out.String(), "others could look into the folder") {
			t.Errorf("%v %v", info, err)
		}
	})
	t.Run("C17 no configuration", func(t *testing.T) {
		out, code := weir(t, "config", "show")
		if code != 0 || !strings.Contains(out, "127.0.0.1:1883") || !strings.Contains(out, "127.0.0.1:8080") || strings.Contains(out, "0.0.0.0") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}

// TestUserCommands: what weir user says and refuses.
func TestUserCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "users.txt")
	config := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(config, []byte("listeners: [{address: 0.0.0.0:1883}]\nauth: {users: users.txt, acl: [{allow: [publish, subscribe], topics: \"#\"}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		input string
		args  []string
		code  int
		want  string
	}{
		// The configuration cannot be used before there is a user: the command works all the same.
		{"", []string{"config", "check", config}, exitConfig, "weir user add NAME --file " + file},
		{"", []string{"user", "add", "alice", "--config", config, "--password-file", filepath.Join(dir, "pw")}, exitOK, "added alice in " + file},
		{"", []string{"config", "check", config}, exitOK, "ok"},
		{"x\n", []string{"user", "add", "alice", "-c", config, "--password-file", "-"}, exitFailed, "weir user passwd alice"},
		{"\n", []string{"user", "add", "bob", "-c", config, "--password-file", "-"}, exitFailed, "the password is empty"},
		{"", []string{"user", "add", "bob", "-c", config}, exitUsage, "--password-file FILE, --password-file - or --random"},
		{"x\n", []string{"user", "add", "a/b", "-c", config, "--password-file", "-"}, exitUsage, "a character with a meaning in topics"},
		{"x\n", []string{"user", "add", "bob", "-c", config, "--scram", "--iterations", "10", "--password-file", "-"}, exitUsage, "iterations must be from 4096"},
		{"", []string{"user", "add", "bob", "-c", config, "--random", "--scram"}, exitOK, "it is shown only now"},
		{"", []string{"user", "ls", "-c", config}, exitOK, "alice                    argon2id\nbob                      scram-sha-256\n"},
		{"x\n", []string{"user", "passwd", "eve", "-c", config, "--password-file", "-"}, exitFailed, "there is no such user"},
		{"", []string{"user", "rm", "eve", "-f", file}, exitFailed, "there is no such user"},
		{"", []string{"user", "rm", "bob", "-f", file}, exitOK, "removed bob"},
		{"", []string{"user", "ls", "-c", filepath.Join(dir, "plain.yaml")}, exitConfig, "names no users file"},
		{"", []string{"user", "ls", "-c", filepath.Join(dir, "none.yaml")}, exitConfig, "no such configuration file"},
	} {
		out, code := weirIn(t, tc.input, tc.args...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("weir %v: exit code %d, want %d with %q:\n%s", tc.args, code, tc.code, tc.want, out)
		}
	}
}
