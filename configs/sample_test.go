package configs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example is a line of the sample that works once its # is gone.
var example = regexp.MustCompile(`(?m)^#( {2,}|[^ #\n])`)

// readSample copies the sample to a folder of its own, with the files that it
// names, and loads it.
func readSample(t *testing.T, change func(string) string) *Config {
	t.Helper()
	data, err := os.ReadFile("weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{
		"weir.yaml": change(string(data)), "cloud.secret": "hunter2\n", "users.txt": "# nobody yet\n",
		"issuer.json":   `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"mosquitto.acl": "user anna\ntopic read a/#\n",
		"console.token": "3f9a3f9a3f9a3f9a3f9a3f9a",
		"jwt.secret":    "a secret of more than 32 bytes, for HS256\n",
	}
	for _, name := range []string{"server.pem", "server.key", "machines.pem", "revoked.pem", "plant-ca.pem", "gw.pem", "gw.key"} {
		files[name] = "the broker reads it\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "weir.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %+v", c.Warnings)
	}
	return c
}

// TestSampleIsTheDefault: what stands in the sample without a # is what holds
// without a file, so that it may be read as the list of the defaults.
func TestSampleIsTheDefault(t *testing.T) {
	c := readSample(t, func(s string) string { return s })
	if diff := cmp.Diff(show(t, Default()), show(t, c)); diff != "" {
		t.Error(diff)
	}
}

// TestSampleExamples: all examples work together once their # is gone.
func TestSampleExamples(t *testing.T) {
	c := readSample(t, func(s string) string {
		// The introduction has indented lines that are commands, not examples.
		head, rest, _ := strings.Cut(s, "\n\n")
		rest = example.ReplaceAllString(rest, "$1")
		// One example replaces the default's line, which stays for the others.
		return head + "\n\n" + rest
	})
	if len(c.Listeners) != 4 || len(c.Bridges) != 1 || len(c.Adapters) != 5 || c.Gateway == "" {
		t.Errorf("not everything was read: %+v", c)
	}
	if c.Auth.Users == nil || c.Auth.Tokens.Len() != 2 || c.Auth.Backoff.After != 5 {
		t.Errorf("users: %+v", c.Auth)
	}
	if n := len(c.Access.All()); n != 5 {
		t.Errorf("%d rules", n)
	}
	if p := c.Bridges[0].Password; p != "hunter2" {
		t.Errorf("password is %q", p)
	}
	if h := c.Adapters[4].Serial; h == nil || len(h.Devices) != 2 || h.Checksum.Skip != 4 {
		t.Errorf("devices with addresses: %+v", h)
	}
	if d := c.Adapters[0].Modbus.Devices; len(d) != 3 || len(d[2].Points) != 2 || len(d[1].Points) != 10 {
		t.Errorf("devices: %+v", d)
	}
}

// TestUnitIsHardened checks the shipped unit with systemd's own tools: an exposure of
// 1.5 at most.
func TestUnitIsHardened(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is missing")
	}
	out, err := exec.Command(tool, "security", "--offline=true", "--threshold=15", "weir.service").CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
	out, _ = exec.Command(tool, "verify", "weir.service").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "is not executable") { // it is not installed here
			t.Errorf("verify: %s", line)
		}
	}
}
