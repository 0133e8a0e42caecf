package storage

import (
	"errors"
	"fmt"
)

// What the committer does beside writing groups: checkpoints, seals, removals.

// maintain writes the checkpoint and seals the active segment when they are due.
func (c *committer) maintain(sealNow bool) error {
	if sealNow && c.active == nil && c.resume != 0 {
		return c.sealIdle()
	}
	full := c.active != nil && !c.broken && (sealNow || int64(c.holds.Bytes) >= c.cfg.segment)
	if !full && c.state.bytes < checkpointEvery {
		return nil
	}
	if err := c.room(0); err != nil {
		return err
	}
	if err := c.saveState(); err != nil {
		return err
	}
	c.seam.step("checkpoint: written")
	if !full {
		return nil
	}
	sealed := c.active
	c.holds.Receivers = c.owed.list
	if err := sealed.seal(c.holds); err != nil {
		c.fail(err)
		return fmt.Errorf("seal segment: %w", err)
	}
	c.active, c.resume = nil, 0
	c.tell(result{segment: sealed.first, sealed: true})
	return nil
}

// finish seals what is open, although it may be written on, so that nothing of it
// can be missing without a word at the next Open.
func (c *committer) finish() error {
	if c.active != nil && !c.broken {
		return c.maintain(true)
	}
	return c.saveState()
}

// sealIdle seals the segment that is to be written on and is not open. After a
// clean end it is sealed already.
func (c *committer) sealIdle() error {
	if s := c.ring.find(c.resume); !s.isSealed() {
		if err := c.ready(); err != nil {
			return err
		}
		return c.maintain(true)
	}
	c.tell(result{segment: c.resume, sealed: true})
	c.resume = 0
	return nil
}

// tend does maintain, and tells when that fails.
func (c *committer) tend(sealNow bool) {
	if err := c.maintain(sealNow); err != nil {
		c.log.Warn("maintain the store", "error", err)
		c.tell(result{err: err})
	}
}

// probe tries what has failed: the room, the segment, the checkpoint, the seal.
func (c *committer) probe() {
	keepSpare(c.cfg.Dir, c.seam)
	r := result{probed: true}
	if c.active == nil && c.resume == 0 {
		r.err = c.room(0)
	} else if r.err = c.ready(); r.err == nil {
		r.err = c.maintain(false)
	}
	c.tell(r)
}

// saveState writes the checkpoint. What it stands for is durable before: the numbers of
// pages that it knows of are not used again, and one that is missing is damage.
func (c *committer) saveState() error {
	if c.unsynced && c.active != nil && !c.broken {
		if err := c.active.journal.sync(); err != nil {
			c.fail(err)
			return err
		}
		c.unsynced = false
	}
	return c.state.save(c.next-1, c.mark)
}

// drop removes a sealed segment. Where that fails it stays, and is tried again.
func (c *committer) drop(first uint64, aside bool) {
	s := c.ring.drop(first)
	if s == nil {
		return
	}
	remove := s.remove
	if aside {
		remove = func() error {
			s.forget()
			return errors.Join(s.close(), c.ring.setAside(s.dir, errDamaged))
		}
	}
	err := remove()
	if err != nil && !aside {
		err = c.ring.stay(s.dir, err)
	}
	if err != nil && !errors.Is(err, errStays) {
		c.log.Warn("remove segment", "segment", first, "error", err)
		s.admit()
		c.ring.add(s)
		c.tell(result{segment: first, err: err})
		return
	}
	c.tell(result{segment: first, dropped: true})
}

// salvage replaces a sealed segment that can not be opened by what can be read
// of it.
func (c *committer) salvage(first uint64, why error) {
	s := c.ring.drop(first)
	if s == nil {
		return
	}
	s.forget()
	if err := s.close(); err != nil {
		c.log.Warn("close damaged segment", "segment", first, "error", err)
	}
	_, ok, err := c.ring.salvage(s, why)
	if err == nil && !ok || errors.Is(err, errStays) {
		c.tell(result{segment: first, lost: true})
		return
	}
	if err != nil { // it is where it was
		c.log.Error("salvage damaged segment", "segment", first, "error", err)
	}
	c.admit(first, err)
}

// admit makes a sealed segment known that is there under its name: salvaged, or as it
// was when that failed.
func (c *committer) admit(first uint64, err error) {
	s := c.ring.newSegment(first)
	s.sealed = true
	c.ring.add(s)
	c.tell(result{segment: first, salvaged: true, err: err})
}
