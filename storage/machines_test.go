package storage_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestWriteCloseReopenRead is what every machine must be able to do: pages in
// several segments, one page that is cut into chunks, state beside them; then all
// of it again, twice, in order.
func TestWriteCloseReopenRead(t *testing.T) {
	o := storagetest.NewOwner(t, open(t, storage.SmallSegments(storage.Config{Dir: scratch(t)}, 64<<10)))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	clock := core.NewClock()
	var sent []*core.Message
	give := func(m *core.Message) {
		o.UntilSettled(o.Append(m, 0, core.Debt{Receiver: uplink}))
		sent = append(sent, m)
	}
	for i := range 300 {
		give(telemetry(i, clock))
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	for i := range large { // not to be compressed
		large[i] ^= byte(i*i>>7 + i>>3)
	}
	give(&core.Message{Topic: "plant/image", Payload: large, QoS: 2, Received: clock.Now()})
	for i := range 300 {
		give(telemetry(i, clock))
	}
	for round := range 2 {
		o = o.Reopened(t)
		all := o.FetchAll(uplink, 50)
		if len(all) != len(sent) {
			t.Fatalf("round %d: %d messages of %d", round, len(all), len(sent))
		}
		for i, d := range all {
			if d.Message.Topic != sent[i].Topic || !bytes.Equal(d.Message.Payload, sent[i].Payload) || d.QoS != sent[i].QoS {
				t.Fatalf("round %d: message %d is not what was sent", round, i)
			}
		}
	}
	o.Store.Rewind(uplink)
	if n := len(o.Drain(uplink, 50)); n != len(sent) || o.Store.Owed(uplink) != 0 {
		t.Errorf("drained %d, %d still owed", n, o.Store.Owed(uplink))
	}
}

// machineTests are what a machine of another kind may get wrong: sizes of words, Badger's
// tables, what is aligned how.
var machineTests = []string{
	"TestWriteCloseReopenRead", "TestNumbersAreNeverGivenTwice",
	"TestTables", "TestSettleAsBadgerDoes", "TestOneJournal", "TestUpgradeLargeFacts",
}

// TestMachines runs them as the gateways do that are built for other machines,
// under an emulator of their processors.
func TestMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("other machines take a minute")
	}
	t.Parallel()
	for _, c := range []struct{ name, arch, emulator string }{
		{"arm, GOARM=6", "arm", "qemu-arm-static"},
		{"arm64", "arm64", "qemu-aarch64-static"},
	} {
		t.Run(c.name, func(t *testing.T) {
			emulator, err := exec.LookPath(c.emulator)
			if err != nil {
				t.Skipf("no %s here (Debian: qemu-user-static)", c.emulator)
			}
			binary := filepath.Join(t.TempDir(), "storage.test")
			build := exec.Command("go", "test", "-c", "-o", binary, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+c.arch, "GOARM=6")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			began := time.Now()
			out, err := exec.Command(emulator, binary, "-test.run", "^("+strings.Join(machineTests, "|")+")$", "-test.v", "-test.short").CombinedOutput()
			if err != nil || strings.Count(string(out), "--- PASS: ") < len(machineTests) {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%v", time.Since(began).Round(time.Millisecond))
		})
	}
}
