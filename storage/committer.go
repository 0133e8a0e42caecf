package storage

import (
	"errors"
	"log/slog"

	"github.com/weir-edge/weir/core"
)

// Sizes of the ring, in bytes of pages.
const (
	segmentMax       = 8 << 20 // a segment that holds as much is sealed;
	segmentMin       = 1 << 18 // sooner where the budget is small
	checkpointEvery  = 1 << 20 // of changes
	idleSegmentBytes = 1 << 20 // a paid segment of this size is sealed to be removed
)

// job is what the owner gives to the committer.
type job struct {
	group *group // to write, or
	seal  bool   // seal the active segment, or
	drop  uint64 // remove the segment that begins with this page,
	aside bool   // or rather keep it in quarantine, or

	salvage uint64 // salvage what can be read of this segment,
	why     error  // for this reason, or
	probe   bool   // see whether the disk is well again
}

// result is what the committer tells the owner.
type result struct {
	group   *group // written or, with err, not written
	segment uint64 // to which it was written; or sealed, or removed
	sealed  bool
	dropped bool
	probed  bool // the disk is well

	salvaged bool // the segment can be read again, as far as it goes; with err: it was tried
	lost     bool // set aside: it could not be opened again
	pages    int
	last     uint64 // page
	bytes    int64
	free     int64 // bytes on the file system, -1: not known
	err      error
}

// errFullDisk: below the watermark nothing is written.
var errFullDisk = errors.New("the disk is full")

// committer writes groups to the active segment. All of it belongs to its
// goroutine.
type committer struct {
	cfg     Config // static
	log     *slog.Logger
	seam    *seam
	ring    *ring
	state   *state
	encoder *encoder

	active   *segment // nil before the first write
	unsynced bool     // something was written to it that need not be durable yet
	broken   bool     // a write to it has failed
	resume   uint64   // first page of the unsealed segment that is to be opened, 0: make a new one
	holds    sealRecord
	owed     debtors // of the active segment
	next     uint64  // page
	mark     core.Seq
	free     int64 // bytes on the file system, when it was last measured; -1: not known

	jobs    *mailbox[job]
	results *mailbox[result]
	notify  func()
}

// run works until stop is closed and all jobs are done.
func (c *committer) run(stop <-chan struct{}) {
	for {
		select {
		case <-c.jobs.ready:
			c.work()
		case <-stop:
			c.work()
			return
		}
	}
}

func (c *committer) work() {
	for _, j := range c.jobs.take() {
		c.seam.step(stepBegin)
		c.state.mu.Lock()
		c.do(j)
		c.state.mu.Unlock()
		c.seam.step(stepEnd)
	}
}

func (c *committer) do(j job) {
	switch {
	case j.group != nil:
		c.commit(j.group)
	case j.seal:
		c.tend(true)
	case j.salvage > 0:
		c.salvage(j.salvage, j.why)
	case j.probe:
		c.probe()
	default:
		c.drop(j.drop, j.aside)
	}
}

// tell measures the room, because what was done may have changed it.
func (c *committer) tell(r result) {
	c.measure()
	c.report(r)
}

func (c *committer) report(r result) {
	r.free = c.free
	c.results.put(r)
	c.notify()
}

func (c *committer) measure() (err error) {
	if c.free, err = c.seam.free(c.cfg.Dir); err != nil {
		c.free = -1
	}
	return err
}

// commit writes a group. The order of effects:
//
//  1. there is room on the disk, and the active segment is open, with its
//     journal allocated and advised;
//  2. the pages, one transaction each, the last of them marked as such; where the
//     journal is full it becomes a table, and another is begun;
//  3. one sync of the journal (promise synced; positions alone do without);
//  4. the state in memory follows;
//  5. the owner is told, and the acknowledgements leave;
//  6. the checkpoint and the seal, when they are due.
//
// A failure in 1 to 3 ends the handle: the owner gives what was in the group
// again, and it is written under the same page numbers after the segment has
// been opened anew.
func (c *committer) commit(g *group) {
	r := result{group: g}
	ops := g.ops
	for _, ch := range g.changes {
		ops = appendOps(ops, ch)
	}
	if r.err = c.room(g.size()); r.err == nil {
		r.err = c.open()
	}
	if r.err == nil {
		r.segment = c.active.first
		r.err = c.write(g, ops, &r)
	}
	if r.err != nil {
		c.fail(r.err)
	} else {
		c.seam.step("commit: synced")
		c.mark = max(c.mark, g.mark)
		c.fold(ops)
	}
	c.report(r) // who waits for it does not wait for another look at the disk
	c.seam.step("commit: told")
	if r.err == nil {
		c.tend(false)
	}
}

// fold applies what is durable. Only the clearing of a dropped receiver's keys
// can fail, when meta can not be read; they stay, and belong to nobody.
func (c *committer) fold(ops []op) {
	if err := c.state.apply(ops); err != nil {
		c.log.Warn("clear state of dropped receiver", "error", err)
	}
}

// ready makes sure that something can be written.
func (c *committer) ready() error {
	if err := c.room(0); err != nil {
		return err
	}
	return c.open()
}

// open makes sure that there is an active segment that has not failed.
func (c *committer) open() error {
	if c.broken {
		c.leave()
	}
	if c.active != nil {
		return nil
	}
	if err := c.state.main.reopen(); err != nil {
		return err
	}
	return c.activate()
}

// room says whether the watermark is kept when so many bytes are written. A group
// that does not fit is not begun, because what there is of it would stay.
func (c *committer) room(bytes int64) error {
	err := c.measure()
	if err == nil && c.free-bytes < watermark {
		err = errFullDisk
	}
	return err
}

// activate opens the unsealed segment, or a new one. What is in it is durable.
func (c *committer) activate() error {
	c.unsynced = false
	if c.resume != 0 {
		s := c.ring.find(c.resume)
		err := s.openWriter()
		if err == nil {
			c.active = s
			if c.ring.keepDamaged(s) { // what is lost of it may be in memory still
				return c.saveState()
			}
			return nil
		}
		if err := c.abandon(s, err); err != nil {
			return err
		}
	}
	s := c.ring.newSegment(c.next)
	if err := s.openWriter(); err != nil {
		return err
	}
	c.seam.step("segment: open")
	if err := c.seam.syncDir(c.ring.dir); err != nil {
		return errors.Join(err, s.close())
	}
	c.seam.step("segment: named")
	c.ring.add(s)
	c.active, c.resume = s, s.first
	c.holds = sealRecord{First: s.first, Last: s.first - 1}
	c.owed = debtors{}
	return nil
}

// abandon sets the unsealed segment aside when it can not be opened any more, and goes
// on with a sealed one of what can be salvaged.
func (c *committer) abandon(s *segment, why error) error {
	if errors.Is(why, errTransient) {
		return why
	}
	_, ok, err := c.ring.salvage(s, why)
	if errors.Is(err, errStays) {
		c.next, err = max(c.next, s.first+lostPages), nil
	}
	if err != nil {
		return err
	}
	c.ring.drop(s.first)
	s.forget()
	c.resume = 0
	if !ok {
		c.tell(result{segment: s.first, lost: true})
		return nil
	}
	c.admit(s.first, nil)
	c.tell(result{segment: s.first, sealed: true})
	return nil
}

func (c *committer) write(g *group, ops []op, r *result) error {
	first := pageInfo{page: c.next, group: newGroup(c.active.tag), behind: !c.unsynced}
	c.unsynced = true // also if it ends in its midst
	err := c.encoder.encode(g, ops, first, func(n uint64, page []byte) error {
		if n > first.page { // the room for the first was measured just now
			if err := c.room(0); err != nil {
				return err
			}
		}
		if err := c.active.write(n, page); err != nil {
			return err
		}
		r.last, r.pages, r.bytes = n, r.pages+1, r.bytes+int64(len(page))
		c.seam.step("commit: page written")
		return nil
	})
	c.encoder.shrink()
	if err != nil {
		return err
	}
	if g.sync { // else the next sync takes it along: what is on disk is a prefix
		if err := c.active.journal.sync(); err != nil {
			return err
		}
	}
	c.unsynced = !g.sync
	c.next = r.last + 1
	c.hold(g, r)
	return nil
}

// hold sums up what the active segment holds, for its seal.
func (c *committer) hold(g *group, r *result) {
	h := &c.holds
	h.Last, h.Bytes = r.last, h.Bytes+uint64(r.bytes)
	if len(g.entries) == 0 {
		return
	}
	if h.Messages == 0 {
		h.Oldest = toStamp(g.entries[0].m.Received)
	}
	h.Newest = toStamp(g.entries[len(g.entries)-1].m.Received)
	h.Messages += uint64(len(g.entries))
	for _, en := range g.entries {
		for _, id := range en.owed {
			c.owed.add(id, en.seq, en.m.Size())
		}
	}
}

// fail ends the handle of the active segment after a failed write or sync: what
// the kernel still holds of it can not be trusted to reach the disk.
func (c *committer) fail(why error) {
	if !errors.Is(why, errFullDisk) {
		c.broken = c.active != nil
	}
}

// leave closes a broken segment.
func (c *committer) leave() {
	c.broken = false
	if err := c.active.close(); err != nil {
		c.log.Warn("close failed segment", "error", err)
	}
	c.active = nil
}
