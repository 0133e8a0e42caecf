package storage_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestDiskHangs: a sync that does not come back. The store says so after three seconds,
// once, refuses what has to be kept after ten, and is well again with the answer.
func TestDiskHangs(t *testing.T) {
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer // written by the owner alone
		var frozen atomic.Bool
		thaw := make(chan struct{})
		cfg := storage.Faulty(storage.Config{Dir: dir}, func(call string) error {
			if call == "sync" && frozen.Load() {
				<-thaw
			}
			return nil
		})
		cfg.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelInfo}))
		o := storagetest.NewOwner(t, open(t, cfg))
		o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
		o.UntilSettled(o.Append(noise(0), 0, core.Debt{Receiver: uplink}))
		said.Reset()

		frozen.Store(true)
		seq := o.Append(noise(1), 0, core.Debt{Receiver: uplink})
		o.Turn()
		begun := time.Now()
		for _, c := range []struct {
			at      time.Duration
			state   string
			refuses bool
			said    int
		}{
			{3*time.Second - 1, "ok", false, 0},
			{3 * time.Second, "hangs", false, 1},
			{10 * time.Second, "hangs", false, 1},
			{10*time.Second + 1, "hangs", true, 1},
			{time.Hour, "hangs", true, 1},
		} {
			time.Sleep(time.Until(begun.Add(c.at)))
			wait := o.Turn()
			st := o.Store.Status()
			if st.State != c.state || o.Store.Refuses() != c.refuses || strings.Count(said.String(), "\n") != c.said {
				t.Errorf("after %v: state %q, refuses %v, said %q", c.at, st.State, o.Store.Refuses(), said.String())
			}
			if c.said > 0 && (st.HangsSeconds != c.at.Seconds() || st.Error == "" || wait == 0) {
				t.Errorf("after %v: for %v s, %q, wait %v", c.at, st.HangsSeconds, st.Error, wait)
			}
			if c.said == 0 && wait != 1 {
				t.Errorf("after %v: looks again in %v", c.at, wait)
			}
		}
		if o.Settled[seq] {
			t.Error("settled without a sync")
		}
		frozen.Store(false)
		close(thaw)
		o.UntilSettled(seq)
		if st := o.Store.Status(); st.State != "ok" || st.HangsSeconds != 0 || o.Store.Refuses() {
			t.Errorf("afterwards: %+v", st)
		}
		if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "answers again") {
			t.Errorf("said %q", said.String())
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}
