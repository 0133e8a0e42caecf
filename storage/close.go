package storage

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	if l.without { // it has promised nothing that it would have to write
		return nil
	}
	flushed, err := l.flush()
	close(l.stop)
	l.workers.Wait()
	l.committer.encoder.codec.close()
	l.reader.codec.close()
	err = errors.Join(err, l.closeFiles(flushed))
	keepSpare(l.cfg.Dir, l.cfg.seam)
	if err := errors.Join(err, l.lock()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// closeFiles closes the databases, in this order; after a failure they are as a
// kill would leave them:
//
//  1. when everything was flushed, and there is room: the last segment is sealed, behind
//     its checkpoint;
//  2. the databases, which needs no room;
//  3. the mark of a clean end.
func (l *Log) closeFiles(flushed bool) error {
	var err error
	if flushed {
		if err = useSpare(l.cfg.Dir, roomToSeal(l.cfg.Dir), l.cfg.seam); err == nil {
			err = l.committer.finish()
		}
	}
	err = errors.Join(err, l.ring.closeAll(), l.state.close())
	if err != nil || !flushed {
		return err
	}
	clean := strconv.AppendUint(nil, uint64(l.seq), 10)
	return l.cfg.seam.replaceFile(filepath.Join(l.cfg.Dir, cleanFile), clean)
}

// closePatience is how long Close waits for a disk that fails. A full one it
// does not wait for.
const closePatience = 5 * time.Second

// flush gives everything in memory to the committer and waits for it. Where the
// disk takes nothing it gives up; that is an error if somebody was not told yet
// that his message or change is safe.
func (l *Log) flush() (done bool, err error) {
	for _, r := range l.receivers {
		if r.owed() > 0 { // tell also what was handed out and is not paid
			l.soil(r)
		}
	}
	deadline := time.Now().Add(closePatience)
	for {
		l.flushOnce()
		if l.tail.live == 0 && l.pending.count == 0 && !slices.ContainsFunc(l.dirty, (*receiver).needed) {
			return true, nil
		}
		if l.health.err == nil {
			continue
		}
		if l.health.full() || time.Now().After(deadline) {
			return false, l.abandoned()
		}
		time.Sleep(l.health.backoff)
	}
}

// flushOnce writes what is there as one group.
func (l *Log) flushOnce() {
	if !l.busy {
		now := time.Now()
		for _, e := range l.tail.entries {
			l.tail.hurry(e, now)
		}
		l.health.positionAt = time.Time{}
		if g := l.gather(now); !g.empty() {
			l.dispatch(g)
		}
	}
	for l.busy {
		for _, r := range l.results.take() {
			l.finish(r, nobody{})
		}
		if l.busy {
			<-l.results.ready
		}
	}
}

// abandoned is an error if memory holds what should have been written.
func (l *Log) abandoned() error {
	for _, e := range l.tail.entries {
		if !e.gone && !e.settled {
			return fmt.Errorf("write what is owed: %w", l.health.err)
		}
	}
	if l.pending.urgent {
		return fmt.Errorf("write what has changed: %w", l.health.err)
	}
	return nil
}

// nobody is told what happens while the log closes.
type nobody struct{}

func (nobody) Settled(core.Seq)                               {}
func (nobody) Synced(core.Ticket)                             {}
func (nobody) Fetched(core.ReceiverID, []core.Delivery, bool) {}
func (nobody) Dropped(core.ReceiverID, core.Reason, int)      {}
