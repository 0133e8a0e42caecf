package auth

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap is an argon2id hash that costs little, for tests.
func cheap(password string) string {
	h := &argonHash{memory: 8, passes: 1, threads: 1, salt: random(saltSize)}
	h.key = h.derive([]byte(password), keySize)
	return h.String()
}

// readUsers parses lines that must be right.
func readUsers(t testing.TB, lines ...string) *Users {
	t.Helper()
	u, err := ParseUsers("users.txt", []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCredentials(t *testing.T) {
	// The latter two were written by mosquitto_passwd 2.0.11.
	for name, hash := range map[string]string{
		"argon2id":    newArgonHash([]byte("secret")).String(),
		"scram":       newScramKeys([]byte("secret"), minScramIterations).String(),
		"mosquitto 6": mosquitto6,
		"mosquitto 7": mosquitto7,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseCredential(hash)
			if err != nil {
				t.Fatal(err)
			}
			if c.String() != hash {
				t.Errorf("written as %s, read from %s", c, hash)
			}
			for password, want := range map[string]bool{"secret": true, "": false, "Secret": false, "secret ": false, "secre": false} {
				if c.matches([]byte(password)) != want {
					t.Errorf("%q: %v", password, !want)
				}
			}
		})
	}
}

const (
	mosquitto6 = "$6$h6mNS0TFjYXhgcSJ$9K26yK8ZY4/FH1d0W8sHGB1wPrJmHjXq+RRfnglK1dDesBI5oxdYnhVi9JrtcNIiTr1JD9pfBs2dlPBSQFVrog=="
	mosquitto7 = "$7$101$383oeu7/4tXqWsXr$pXmsk5t1mKbBATDxHNHCXLD7aOAbwYYJ2uC4ffpfbJElI/X/GmMNVfIn3R6gmHoQi9qNCEz6R9EXTss4qFbKDQ=="
)

// TestArgonVector: a value of the reference implementation's own tests.
func TestArgonVector(t *testing.T) {
	c, err := parseCredential("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil {
		t.Fatal(err)
	}
	if !c.matches([]byte("password")) {
		t.Error("not the same")
	}
}

// TestMosquittoPasswd: what the program here writes now is taken, too.
func TestMosquittoPasswd(t *testing.T) {
	tool, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Skip("mosquitto_passwd is not installed")
	}
	for _, kind := range []string{"sha512", "sha512-pbkdf2"} {
		file := filepath.Join(t.TempDir(), "passwd")
		if out, err := exec.Command(tool, "-H", kind, "-c", "-b", file, "alice", "grün: $x").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := ReadUsers(file)
		if err != nil {
			t.Fatal(err)
		}
		if !u.matches("alice", []byte("grün: $x")) || u.matches("alice", []byte("grün: $")) {
			t.Errorf("%s: the password is not taken for what it is", kind)
		}
	}
}

func TestUsersFile(t *testing.T) {
	good := cheap("x")
	for name, tc := range map[string]struct {
		text  string
		users int
		want  []string // what the errors say
	}{
		"empty":               {"", 0, nil},
		"C14 blank lines":     {"\n\n  \n", 0, nil},
		"comments":            {"# nobody\n#a:b\n", 0, nil},
		"line ends of others": {"a:" + good + "\r\nb:" + good + "\r\n", 2, nil},
		"no end":              {"a:" + good, 1, nil},
		"no colon":            {"a\n", 0, []string{"users.txt:1: the line must be NAME:HASH"}},
		"no name":             {":" + good, 0, []string{"users.txt:1: the name \"\" is not of 1 to 256 bytes"}},
		"no hash":             {"a:", 0, []string{"the password itself must not stand here"}},
		"password in clear":   {"a:hunter2", 0, []string{`user "a": what follows the name is not a hash`}},
		"twice":               {"a:" + good + "\n\na:" + good, 0, []string{`users.txt:3: the user "a" stands in line 1 already`}},
		"all at once":         {"a\nb:" + good + "\nc:$9$x", 0, []string{"users.txt:1:", "users.txt:3: user \"c\": the hash is of an unknown kind"}},
		"wildcard":            {"a+:" + good, 0, []string{"has a character with a meaning in topics"}},
		"level":               {"a/b:" + good, 0, []string{"has a character with a meaning in topics"}},
		"control character":   {"a\x01:" + good, 0, []string{"cannot be shown"}},
		"not UTF-8":           {"a\xff:" + good, 0, []string{"cannot be shown"}},
		"space":               {" a:" + good, 0, []string{"begins or ends with a space"}},
		"long":                {"a:" + strings.Repeat("x", maxUsersLine), 0, []string{"too long"}},
		"too much memory":     {"a:$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$" + strings.Repeat("a", 43), 0, []string{"m must be from 8 to 65536"}},
		"version of argon2":   {"a:$argon2id$v=16$m=8,t=1,p=1$c2FsdHNhbHQ$" + strings.Repeat("a", 43), 0, []string{"v=19"}},
		"other argon2":        {"a:$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$" + strings.Repeat("a", 43), 0, []string{"only argon2id"}},
		"short salt":          {"a:$6$c2FsdA==$" + strings.Repeat("a", 88), 0, []string{"salt must be base64 of 8 to 64 bytes"}},
		"few iterations":      {"a:$scram-sha-256$i=1$c2FsdHNhbHQ$x$x", 0, []string{"i must be from 4096"}},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := ParseUsers("users.txt", []byte(tc.text))
			if (err != nil) != (tc.want != nil) {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			if err == nil && u.Len() != tc.users {
				t.Errorf("%d users", u.Len())
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), good)) {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestUsersFileIsPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, private := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o604: false, 0o660: false, 0o602: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadUsers(file)
		if open, ok := errors.AsType[*OpenError](err); private != (err == nil) || !private && (!ok || open.Mode != mode) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	if _, err := ReadUsers(filepath.Dir(file)); err == nil {
		t.Error("a folder is no users file")
	}
}

// TestStranger: who is not there is checked at the cost of those who are.
func TestStranger(t *testing.T) {
	costly := &argonHash{memory: 16, passes: 2, threads: 1, salt: random(saltSize), key: random(keySize)}
	u := readUsers(t, "a:"+costly.String(), "b:"+costly.String(), "c:"+cheap("x"), "d:"+newScramKeys([]byte("x"), 5000).String())
	if n := u.nobody; n.memory != 16 || n.passes != 2 || u.iterations != 5000 {
		t.Errorf("%+v, %d iterations", n, u.iterations)
	}
	if n := readUsers(t).nobody; n.memory != argonMemory || n.passes != argonPasses {
		t.Errorf("of an empty file: %+v", n)
	}
	if u.matches("nobody", []byte("x")) || u.matches("", nil) {
		t.Error("a stranger is let in")
	}
}

func TestEdit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	a, b := cheap("a"), cheap("b")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(AddUser(file, "alice", a))
	must(os.WriteFile(file, []byte("# ours\nalice:"+a+"\n\n# theirs"), 0o640))
	must(os.Chmod(file, 0o640))
	must(AddUser(file, "bob", b))
	must(SetUser(file, "alice", b))
	for _, err := range []error{AddUser(file, "bob", b), AddUser(file, "a+b", b), SetUser(file, "ali", a), RemoveUser(file, "ali")} {
		if err == nil {
			t.Error("accepted")
		}
	}
	data, err := os.ReadFile(file)
	must(err)
	if want := "# ours\nalice:" + b + "\n\n# theirs\nbob:" + b + "\n"; string(data) != want {
		t.Errorf("got %q", data)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	must(RemoveUser(file, "alice"))
	must(RemoveUser(file, "bob"))
	if u, err := ReadUsers(file); err != nil || u.Len() != 0 {
		t.Errorf("%v, %v", u, err)
	}
	must(os.WriteFile(file, []byte("broken\n"), 0o600))
	if err := AddUser(file, "alice", a); err == nil {
		t.Error("a file with an error was written over")
	}
	if files, err := os.ReadDir(filepath.Dir(file)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v %v", files, err)
	}
}

func TestNewSecret(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		s := NewSecret()
		if len(s) != 26 || seen[s] || CheckPassword([]byte(s)) != nil {
			t.Fatalf("%q", s)
		}
		seen[s] = true
	}
}

// FuzzUsers: whatever is accepted is written as it was read, and no line makes a
// user without a name or without a hash.
func FuzzUsers(f *testing.F) {
	f.Add("alice:" + cheap("x") + "\n# c\n\nbob:" + mosquitto6 + "\n")
	f.Add("a:" + mosquitto7)
	f.Add("a:" + newScramKeys([]byte("x"), minScramIterations).String())
	f.Add("a:$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseUsers("f", []byte(text))
		if err != nil {
			return
		}
		for name, user := range u.names {
			if CheckName(name) != nil || !strings.Contains(text, name+":") {
				t.Fatalf("a user %q", name)
			}
			again, err := parseCredential(user.stored)
			if err != nil || again.String() != user.stored {
				t.Fatalf("%s is read again as %v: %v", user.stored, again, err)
			}
		}
	})
}
