package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// terminal is a pseudo-terminal as a person has it: it echoes what is typed.
func terminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, path, err := pty.New()
	if err != nil {
		t.Skip(err)
	}
	if tty, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag |= unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close(); keyboard.Close() })
	return keyboard, tty
}

// TestReloadWithoutDescriptors: a reload for which no file can be opened changes
// nothing, above all not into "no users, everybody is welcome". C16.
func TestReloadWithoutDescriptors(t *testing.T) {
	need(t, "mosquitto_pub")
	file := filepath.Join(t.TempDir(), "users.txt")
	addUser(t, file, "alice", "secret")
	g := startWithUsers(t, file, "")
	var before unix.Rlimit
	pid := g.cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3}, &before); err != nil {
		t.Skip(err)
	}
	g.reload("not reloaded")
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Skip(err) // only root may raise it again
	}
	if out := g.publish("alice", "secret"); out != "" {
		t.Error(out)
	}
	if g.publish("", "") == "" || g.publish("alice", "wrong") == "" {
		t.Error("somebody else is let in")
	}
	g.reload("reloaded: no bridge has changed; 1 user")
}

// TestPasswordPrompt: on a terminal weir user asks twice and shows nothing of what is
// typed.
func TestPasswordPrompt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ first, second, want string }{
		{"hunter2", "hunter3", "the two are not the same"},
		{"hunter2", "hunter2", "added alice"},
	} {
		keyboard, tty := terminal(t)
		cmd := exec.Command(path, "user", "add", "alice", "--file", file)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		shown := &lockedBuffer{}
		go io.Copy(shown, keyboard)
		shows := func(text string) {
			t.Helper()
			eventually(t, patience, "shown: "+text, func() bool { return strings.Contains(shown.String(), text) })
		}
		hidden := func() { // a prompt may be there a moment before
			t.Helper()
			eventually(t, patience, "no echo", func() bool {
				s, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
				return err == nil && s.Lflag&unix.ECHO == 0
			})
		}
		enter := func(text string) {
			t.Helper()
			if _, err := io.WriteString(keyboard, text+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		shows("Password:")
		hidden()
		enter(tc.first)
		shows("Again:")
		hidden()
		enter(tc.second)
		shows(tc.want)
		_ = cmd.Wait() // what it said was looked at
		if strings.Contains(shown.String(), "hunter") {
			t.Errorf("the password is shown:\n%s", shown)
		}
		enter("visible") // the terminal is as it was
		shows("visible")
	}
}
