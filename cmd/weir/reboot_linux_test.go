package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rebooted is a program that runs weir as on a machine that was booted a moment ago:
// with a boot id of its own and another time since boot. The wall clock is the
// machine's.
func rebooted(t *testing.T, since time.Duration) string {
	t.Helper()
	binary, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id, program := filepath.Join(dir, "boot_id"), filepath.Join(dir, "weir")
	if err := os.WriteFile(id, []byte(rand.Text()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount --time --boottime %d --fork --kill-child sh -c 'mount --bind %s /proc/sys/kernel/random/boot_id && exec %s \"$@\"' weir \"$@\"\n",
		int64(since.Seconds())-int64(up.Sec), id, binary)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "version").CombinedOutput(); err != nil {
		t.Skipf("this machine can not look as if it was booted: %v %s", err, out)
	}
	return program
}

// TestReboot: a machine that does not know the time ends what has expired by the time
// that it was up at least, and nothing earlier; the order is that of reception.
func TestReboot(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	first := rebooted(t, time.Hour) // the time since boot goes back from here
	g := prepareGateway(t, bufferConfig)
	g.startAs(first)
	if g.status().ClockSynced {
		t.Skip("this machine knows the time, and ages are told by it")
	}
	port := strconv.Itoa(g.port)
	mustRun(t, "mosquitto_sub", "-p", port, "-V", "5", "-x", "4294967295", "-c", "-i", "patient", "-q", "1", "-t", "plant/#", "-E")
	mustRun(t, "mosquitto_sub", "-p", port, "-V", "5", "-x", "300", "-c", "-i", "hasty", "-q", "1", "-t", "plant/#", "-E")
	publish := func(payload string, expiry ...string) {
		if len(expiry) > 0 {
			expiry = append([]string{"-D", "PUBLISH", "message-expiry-interval"}, expiry...)
		}
		mustRun(t, "mosquitto_pub", append([]string{"-p", port, "-V", "5", "-q", "1", "-t", "plant/a", "-m", payload}, expiry...)...)
	}
	sessions := func() string {
		out, code := weir(t, "buffer", "status", "--json", "--config", g.config)
		if code != 0 {
			t.Fatalf("status: %d %s", code, out)
		}
		return out
	}
	publish("1")
	publish("2", "300")
	g.kill()

	g.startAs(rebooted(t, 20*time.Second)) // nothing is as old as 300 s for sure
	publish("3", "300")
	publish("4")
	if out := sessions(); !strings.Contains(out, `"hasty"`) {
		t.Errorf("a session of 300 s is gone 20 s after a boot:\n%s", out)
	}
	g.kill()

	g.startAs(rebooted(t, 10*time.Minute)) // everything from before is older
	if out := sessions(); strings.Contains(out, `"hasty"`) {
		t.Errorf("a session of 300 s is there 10 minutes after a boot:\n%s", out)
	}
	publish("5", "300")
	if got := take(t, g.port, "patient", 3); got != "1 4 5" {
		t.Errorf("the session gets %q", got)
	}
	g.kill()
}
