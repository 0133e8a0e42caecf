package replace

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReplace(t *testing.T) {
	tests := map[string]struct {
		before fs.FileMode // 0: no file
		write  func(string, []byte) error
		want   fs.FileMode
	}{
		"secret, new":              {0, Secret, 0o600},
		"secret, of the owner":     {0o600, Secret, 0o600},
		"secret, of a group":       {0o640, Secret, 0o640},
		"secret, open to everyone": {0o644, Secret, 0o640},
		"public, new":              {0, Public, 0o644},
		"public, was closed":       {0o600, Public, 0o644},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if tt.before != 0 {
				if err := os.WriteFile(file, []byte("old"), tt.before); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.write(file, []byte("new")); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil || string(text) != "new" || info.Mode().Perm() != tt.want {
				t.Errorf("%q with mode %04o, %v; want %04o", text, info.Mode().Perm(), err, tt.want)
			}
			if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// What a link points to is replaced, not the link.
func TestReplaceBehindALink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := Secret(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); string(text) != "new" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Readlink(link); err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}

// What root replaces stays the gateway's, and what it makes new in the gateway's
// folder can be read by the gateway's group.
func TestOwnerIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can write for others")
	}
	const user, group = 65534, 65533
	dir := t.TempDir()
	if err := os.Chown(dir, 0, group); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	check := func(uid, gid uint32, mode fs.FileMode) {
		t.Helper()
		if err := Secret(file, nil); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != uid || s.Gid != gid || info.Mode().Perm() != mode {
			t.Errorf("of %d:%d with mode %04o; want %d:%d with %04o", s.Uid, s.Gid, info.Mode().Perm(), uid, gid, mode)
		}
	}
	check(0, group, 0o640)
	if err := os.Chown(file, user, group); err != nil {
		t.Fatal(err)
	}
	check(user, group, 0o640)
}

func TestFolderMustBeThere(t *testing.T) {
	if err := Secret(filepath.Join(t.TempDir(), "no", "file"), nil); err == nil {
		t.Error("no error")
	}
}
