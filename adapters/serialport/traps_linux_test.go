package serialport

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// Each test here is named after a trap of go.bug.st/serial v1.8.0 or of the
// system, and fails when the trap is open again.

func TestMain(m *testing.M) {
	if device := os.Getenv("WEIR_TEST_HOLD"); device != "" {
		hold(device)
		return
	}
	goleak.VerifyTestMain(m)
}

// hold is another process that has the device, until its input ends.
func hold(device string) {
	p, err := Open(Config{Device: device})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadByte()
}

func TestWriteAfterCloseReachesNoOtherFile(t *testing.T) {
	p, _ := openPair(t)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range 16 { // these get the numbers that the port had
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	calls := map[string]func() error{
		"Write": func() error { return p.Write([]byte("not for a file")) },
		"Read":  func() error { _, err := p.Read(make([]byte, 1), time.Time{}); return err },
		"Flush": p.Flush,
		"Drain": p.Drain,
		"RTS":   func() error { return p.SetRTS(true) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, ErrGone) {
			t.Errorf("%s after Close: %v; want ErrGone", name, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	for i := range 16 {
		if b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprint(i))); len(b) > 0 {
			t.Errorf("file %d got %q", i, b)
		}
	}
}

func TestDescriptorsBeyond1024(t *testing.T) {
	const many = 1200
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < many+64 {
		t.Skipf("peer missing: a limit of %d open files (it is %d)", many+64, limit.Cur)
	}
	for range many {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	p, far := openPair(t)
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 8), time.Now().Add(patience)); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if _, err := p.Read(make([]byte, 8), time.Now().Add(time.Millisecond)); !errors.Is(err, ErrTimeout) {
		t.Fatalf("Read = %v; want ErrTimeout", err)
	}
	if err := p.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
}

func TestBlockedWriteEnds(t *testing.T) {
	p, far := openPair(t)
	p.charTime = 0                        // leaves the fixed second
	err := p.Write(make([]byte, 256<<10)) // nobody reads the far end
	if !errors.Is(err, ErrTimeout) || errors.Is(err, ErrGone) {
		t.Fatalf("Write = %v; want ErrTimeout", err)
	}
	// The line is as good as before.
	drained := make([]byte, 64<<10)
	far.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		if _, err := far.Read(drained); err != nil {
			break
		}
	}
	if err := p.Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptEndsARead(t *testing.T) {
	p, _ := openPair(t)
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 1), time.Time{})
		done <- err
	}()
	p.Interrupt()
	err := <-done
	if !errors.Is(err, ErrInterrupted) || !errors.Is(err, ErrGone) {
		t.Fatalf("Read = %v; want ErrInterrupted", err)
	}
	if err := p.Write([]byte("x")); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("Write = %v; want ErrInterrupted", err)
	}
}

func TestUnplug(t *testing.T) {
	p, far := openPair(t)
	far.Close()
	if _, err := p.Read(make([]byte, 1), time.Now().Add(patience)); !errors.Is(err, ErrGone) {
		t.Errorf("Read = %v; want ErrGone", err)
	}
	if err := p.Write([]byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("Write = %v; want ErrGone", err)
	}
	if err := p.Flush(); err != nil && !errors.Is(err, ErrGone) {
		t.Errorf("Flush = %v; want ErrGone or nothing", err)
	}
	if err := p.Drain(); err != nil && !errors.Is(err, ErrGone) {
		t.Errorf("Drain = %v; want ErrGone or nothing", err)
	}
}

func TestModemLinesThatAreNotThere(t *testing.T) {
	master, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	p, err := Open(Config{Device: path, DTR: new(false), RTS: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.SetRTS(false); err != nil {
		t.Fatal(err)
	}
}

func TestBusyByAnotherProcess(t *testing.T) {
	master, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	byID := filepath.Join(t.TempDir(), "usb-Maker_Scale_0001-if00")
	if err := os.Symlink(path, byID); err != nil {
		t.Fatal(err)
	}
	pid, release := holdElsewhere(t, path)

	_, err = Open(Config{Device: byID})
	be, ok := errors.AsType[*BusyError](err)
	if !ok || !errors.Is(err, ErrBusy) {
		t.Fatalf("Open = %v; want a BusyError", err)
	}
	if be.PID != pid || be.Process == "" || !strings.Contains(err.Error(), fmt.Sprint(pid)) {
		t.Errorf("%v; want process %d with its name", err, pid)
	}

	release()
	p, err := Open(Config{Device: byID})
	if err != nil {
		t.Fatalf("after the other process ended: %v", err)
	}
	p.Close()
}

// holdElsewhere lets a child process open the device; release kills it, as a
// crash would.
func holdElsewhere(t *testing.T, device string) (pid int, release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WEIR_TEST_HOLD="+device)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = func() {
		cmd.Process.Kill()
		cmd.Wait()
		stdin.Close()
	}
	t.Cleanup(release)
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "open\n" {
		t.Fatalf("the other process said %q", line)
	}
	return cmd.Process.Pid, release
}

func TestBusyByOurselves(t *testing.T) {
	p, _ := openPair(t)
	_, err := Open(Config{Device: p.device})
	be, ok := errors.AsType[*BusyError](err)
	if !ok || !be.Self {
		t.Fatalf("Open = %v; want busy by this gateway", err)
	}
}

func TestExclusiveModeDoesNotOutliveUs(t *testing.T) {
	p, _ := openPair(t)
	err := p.data.control(func(fd int) error {
		on, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
		if on != 0 {
			t.Error("a pseudo-terminal is left in exclusive mode")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChildrenDoNotInheritTheLine(t *testing.T) {
	p, _ := openPair(t)
	script := `for fd in /proc/self/fd/*; do [ "${fd##*/}" -gt 2 ] && readlink "$fd"; done`
	out, _ := exec.Command("sh", "-c", script).CombinedOutput()
	if strings.Contains(string(out), p.device) || strings.Contains(string(out), "pipe:") {
		t.Errorf("a child has the line or the library's pipe:\n%s", out)
	}
}

func TestNotASerialLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{file, os.DevNull} {
		if p, err := Open(Config{Device: device}); err == nil {
			p.Close()
			t.Errorf("%s was opened", device)
		}
	}
	_, err := Open(Config{Device: filepath.Join(t.TempDir(), "missing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v; want os.ErrNotExist", err)
	}
}
