package storage_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

func TestSecondOpenIsRefused(t *testing.T) {
	dir := scratch(t)
	open(t, storage.Config{Dir: dir})
	_, err := storage.Open(storage.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second open: %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := scratch(t)
	o := open(t, storage.Config{Dir: dir})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	storage.PretendNewer(t, dir)
	_, err := storage.Open(storage.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("open: %v", err)
	}
	if aside, _ := os.ReadDir(filepath.Join(dir, "quarantine")); len(aside) > 0 {
		t.Errorf("%d directories in quarantine", len(aside))
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	o := storagetest.NewOwner(t, open(t, storage.SmallSegments(storage.Config{Dir: scratch(t)}, 4<<10)))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	pump(o, 500, 50)
	o.Drain(uplink, 64)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// TestNumbersAreNeverGivenTwice: not even those of messages that never reached
// the disk, whatever way the process ends.
func TestNumbersAreNeverGivenTwice(t *testing.T) {
	dir, last := scratch(t), core.Seq(0)
	for range 3 {
		cfg, clone := storage.Crashable(storage.Config{Dir: dir})
		o := storagetest.NewOwner(t, open(t, cfg))
		pass := func() {
			seq := o.Append(noise(0), time.Hour, core.Debt{Receiver: uplink, Live: true})
			if seq <= last {
				t.Fatalf("%d after %d", seq, last)
			}
			last = seq
			o.Paid(uplink, seq)
		}
		pass()
		o = o.Reopened(t) // after a clean end,
		pass()
		dir = scratch(t)
		clone(t, dir) // and after a kill
		pass()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsWrittenWhileAllKeepUp: a healthy uplink costs no wear.
func TestNothingIsWrittenWhileAllKeepUp(t *testing.T) {
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: scratch(t)}))
	ticket := o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	o.Until("the receiver to be known", func() bool { return o.Synced >= ticket })
	before := o.Store.Status()
	for i := range 10_000 {
		seq := o.Append(noise(0), time.Hour, core.Debt{Receiver: uplink, Live: true})
		if i%7 == 0 {
			o.Turn()
		}
		o.Paid(uplink, seq)
	}
	o.Turn()
	if after := o.Store.Status(); after.Written > 0 || after.Commits != before.Commits || after.Held > 0 {
		t.Errorf("%d messages in %d commits were written, %d are held", after.Written, after.Commits, after.Held)
	}
}

// TestPaidInMemoryIsNotCountedOnDisk: a message that was paid out of order, in the
// tail, and never written, must not be taken for one of those on disk after a kill.
func TestPaidInMemoryIsNotCountedOnDisk(t *testing.T) {
	cfg, clone := storage.Crashable(storage.SmallSegments(storage.Config{Dir: scratch(t)}, 1<<10))
	o := storagetest.NewOwner(t, open(t, cfg))
	ticket := o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	o.Until("the receiver to be known", func() bool { return o.Synced >= ticket })

	// The oldest is not paid, and has a segment of its own.
	want := []core.Seq{o.Append(noise(0), 0, core.Debt{Receiver: uplink})}
	o.UntilSettled(want...)
	o.FetchAll(uplink, 10)

	// Three more pass by; the second is paid, the others are written.
	var three []core.Seq
	for i := range 3 {
		three = append(three, o.Append(noise(i+1), time.Hour, core.Debt{Receiver: uplink, Live: true}))
	}
	o.Paid(uplink, three[1])
	o.Store.Rewind(uplink)
	o.UntilSettled(three...)
	o.FetchAll(uplink, 10)
	o.Paid(uplink, three[0])
	want = append(want, three[2])
	ticket = o.Store.Record(core.IncomingHeld{Owner: 1, PacketID: 1}, false)
	o.Until("the position", func() bool { return o.Synced >= ticket })

	copied := scratch(t)
	clone(t, copied)
	o = storagetest.NewOwner(t, open(t, storage.Config{Dir: copied}))
	if owed := o.Store.Owed(uplink); owed != 2 {
		t.Errorf("%d owed, want 2", owed)
	}
	var got []core.Seq
	for _, d := range o.Drain(uplink, 10) {
		got = append(got, d.Seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("messages %v, want %v", got, want)
	}
}

// TestHeldWithItsMessage: a packet id is never on disk without the message that it
// stands for: whoever sends that again would be told that it is there. A turn has its
// time from its begin, and the message comes later.
func TestHeldWithItsMessage(t *testing.T) {
	cfg, clone := storage.Crashable(storage.Config{Dir: scratch(t)})
	o := storagetest.NewOwner(t, open(t, cfg))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	ticket := o.Store.Record(core.SessionSaved{Session: core.Session{Receiver: 1, ClientID: "meter"}}, false)
	o.Until("the receivers to be known", func() bool { return o.Synced >= ticket })

	o.Store.Record(core.IncomingReleased{Owner: 1, PacketID: 7}, false) // is due, from the turn before
	select {
	case <-o.Wake: // of what was before
	default:
	}
	begin := time.Now()
	o.Append(noise(0), 0, core.Debt{Receiver: uplink, Live: true})
	o.Store.Record(core.IncomingHeld{Owner: 1, PacketID: 8}, false)
	o.Store.Turn(begin)
	<-o.Wake // written
	copied := scratch(t)
	clone(t, copied)

	o = storagetest.NewOwner(t, open(t, storage.Config{Dir: copied}))
	held := false
	if err := o.Store.Load(func(c core.Change) { held = held || c == core.Change(core.IncomingHeld{Owner: 1, PacketID: 8}) }); err != nil {
		t.Fatal(err)
	}
	if n := o.Store.Owed(uplink); !held || n != 1 {
		t.Errorf("the packet id is held: %v; %d messages are there", held, n)
	}
}
