package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core/auth"
)

// aKeySet is a set with one key (RFC 8037 A.2).
const aKeySet = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// loadIn writes files into a folder and loads weir.yaml there.
func loadIn(t *testing.T, files map[string]string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o600)
		if name, open := strings.CutPrefix(name, "open "); open {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return Load(filepath.Join(dir, "weir.yaml"))
}

// TestAuth: what is wrong with users and keys is said all at once, with what to do
// about it, and without a secret.
func TestAuth(t *testing.T) {
	user, err := auth.Credential([]byte("hunter2"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	const lan, secret = "listeners: [{name: lan, address: 0.0.0.0:1883}]\n", "hunter2 hunter2 hunter2 hunter2 hunter2"
	for name, tc := range map[string]struct {
		files    map[string]string
		errors   []string // nil: it is good
		warnings int
	}{
		"users":                {map[string]string{"weir.yaml": lan + "auth: {acl: [{allow: publish, topics: t}], users: u}", "u": "a:" + user}, nil, 1},
		"users, here":          {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], users: u}", "u": "a:" + user}, nil, 0},
		"tokens":               {map[string]string{"weir.yaml": lan + "auth: {acl: [{allow: publish, topics: t}], jwt: {keys: k, audience: weir}}", "k": aKeySet}, nil, 1},
		"tokens of a secret":   {map[string]string{"weir.yaml": lan + "auth: {acl: [{allow: publish, topics: t}], jwt: {secret_file: s}}", "s": secret}, nil, 1},
		"no audience":          {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], jwt: {keys: [k]}}", "k": aKeySet}, nil, 1},
		"users behind":         {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], users: u}\n" + lan, "u": "a:" + user}, nil, 1},
		"anonymous, in words":  {map[string]string{"weir.yaml": "listeners: [{address: 0.0.0.0:1883, anonymous: true}]"}, nil, 0},
		"no users":             {map[string]string{"weir.yaml": lan}, []string{"nobody could connect to listener lan", "weir user add NAME", "weir init"}, 0},
		"an empty file":        {map[string]string{"weir.yaml": lan + "auth: {acl: [{allow: publish, topics: t}], users: u}", "u": "# nobody\n"}, []string{"/u has no user", "weir user add NAME --file "}, 0},
		"C16 no file":          {map[string]string{"weir.yaml": lan + "auth: {acl: [{allow: publish, topics: t}], users: u}"}, []string{"/u does not exist", "weir user add NAME --file "}, 0},
		"C16 open to others":   {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], users: u}", "open u": "a:" + user}, []string{"others may read or change", "mode 0644", "chmod 0600"}, 0},
		"C16 lines":            {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], users: u}", "u": "a:hunter2\nb:" + user + "\n:x\nb:" + user}, []string{"/u:1: user \"a\"", "/u:3: the name \"\"", "/u:4: the user \"b\" stands in line 2"}, 0},
		"no key":               {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], jwt: {issuer: x}}"}, []string{"no key that could verify"}, 0},
		"keys of another kind": {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], jwt: {keys: [k, l], audience: x, secret_file: s}}", "k": "hello", "l": "{}", "s": "hunter2"}, []string{"/k: it is neither PEM", "/l has no key", "7 bytes; for HS256 it must have 32"}, 0},
		"values":               {map[string]string{"weir.yaml": "auth: {acl: [{allow: publish, topics: t}], jwt: {keys: k, audience: x, unknown_clock: maybe, leeway: 1h}, backoff: {after: 0, min: 2s, max: 1s}}", "k": aKeySet}, []string{"unknown_clock (maybe) must be refuse or trust", "leeway (1h) must be from", "after (0) must be from 1", "max (1s) must not be less than min (2s)"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := loadIn(t, tc.files)
			if (err != nil) != (tc.errors != nil) {
				t.Fatal(err)
			}
			if err != nil {
				for _, want := range tc.errors {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in\n%v", want, err)
					}
				}
				if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), user) {
					t.Errorf("a secret in\n%v", err)
				}
				return
			}
			if len(c.Warnings) != tc.warnings {
				t.Errorf("warnings: %+v", c.Warnings)
			}
			if shown := show(t, c); strings.Contains(shown, "hunter2") || strings.Contains(shown, user) {
				t.Errorf("a secret in\n%s", shown)
			}
		})
	}
}

// TestCredentialsOfSystemd: files may be in the folder that systemd makes for a unit
// with LoadCredential=.
func TestCredentialsOfSystemd(t *testing.T) {
	dir := t.TempDir()
	user, err := auth.Credential([]byte("hunter2"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"users": "a:" + user, "cloud": "hunter2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil { // as systemd does
			t.Fatal(err)
		}
	}
	c, err := Parse("/etc/weir/weir.yaml", []byte(`
auth: {acl: [{allow: publish, topics: t}], users: "${CREDENTIALS_DIRECTORY}/users"}
bridges:
  - {name: cloud, url: "mqtts://broker.example", client_id: x, username: u, password_file: "${CREDENTIALS_DIRECTORY}/cloud", out: [{filter: "a/#"}]}
`), func(name string) (string, bool) { return dir, name == "CREDENTIALS_DIRECTORY" })
	if err != nil {
		t.Fatal(err)
	}
	if c.Auth.Users.Len() != 1 || c.Bridges[0].Password != "hunter2" || len(c.Warnings) != 0 {
		t.Errorf("%+v %+v", c.Auth, c.Warnings)
	}
	if shown := show(t, c); !strings.Contains(shown, "${CREDENTIALS_DIRECTORY}/users") || strings.Contains(shown, "hunter2") {
		t.Error(shown)
	}
}

func TestUsersFileOf(t *testing.T) {
	for text, want := range map[string]string{
		"auth: {acl: [{allow: publish, topics: t}], users: u.txt}\nlisteners: [{address: 0.0.0.0:1}]": "u.txt", // there is no such file yet
		"auth: {acl: [{allow: publish, topics: t}], users: u.txt, nonsense: 1}":                       "u.txt",
		"auth: {acl: [{allow: publish, topics: t}], users: /etc/u}":                                   "/etc/u",
		"gateway: x":  "",
		"nonsense: x": "",
	} {
		file := filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if want != "" && !filepath.IsAbs(want) {
			want = filepath.Join(filepath.Dir(file), want)
		}
		if got, err := UsersFile(file); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
