package storage

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weir-edge/weir/core"
)

// Close writes what is owed and still in memory, the positions and the
// checkpoint, and marks a clean end. It is called once, when the owner has
// stopped calling other methods, and waits for the disk.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	err := l.flush()
	close(l.stop)
	l.workers.Wait()
	if err == nil {
		err = l.committer.finish()
	}
	l.committer.encoder.codec.close()
	l.reader.codec.close()
	err = errors.Join(err, l.ring.closeAll(), l.state.close())
	if err == nil {
		err = l.cfg.seam.replaceFile(filepath.Join(l.cfg.Dir, cleanFile), strconv.AppendUint(nil, uint64(l.seq), 10))
	}
	if err := errors.Join(err, l.lock()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// closePatience is how long Close waits for a disk that takes nothing.
const closePatience = 5 * time.Second

// flush gives everything in memory to the committer and waits for it.
func (l *Log) flush() error {
	deadline := time.Now().Add(closePatience)
	for _, r := range l.receivers {
		if r.owed() > 0 { // tell also what was handed out and is not paid
			l.soil(r)
		}
	}
	for {
		now := time.Now()
		if !l.busy {
			if l.tail.live == 0 && l.pending.count == 0 && len(l.dirty) == 0 {
				return nil
			}
			for _, e := range l.tail.entries {
				l.tail.hurry(e, now)
			}
			l.health.positionAt = time.Time{}
			l.dispatch(l.gather(now))
		}
		for l.busy {
			for _, r := range l.results.take() {
				l.finish(r, nobody{})
			}
			if l.busy {
				<-l.results.ready
			}
		}
		if err := l.health.err; err != nil {
			if now.After(deadline) {
				return fmt.Errorf("write what is owed: %w", err)
			}
			time.Sleep(l.health.backoff)
		}
	}
}

// nobody is told what happens while the log closes.
type nobody struct{}

func (nobody) Settled(core.Seq)                               {}
func (nobody) Synced(core.Ticket)                             {}
func (nobody) Fetched(core.ReceiverID, []core.Delivery, bool) {}
func (nobody) Dropped(core.ReceiverID, core.Reason, int)      {}
