package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/core"
)

// Open opens a store, or makes it. In this order:
//
//  1. the directory is ours: another process that has it is an error; and there
//     is room to open it;
//  2. meta, with the state up to its checkpoint;
//  3. the segments, each checked; what can not be read goes to quarantine;
//  4. the pages above the checkpoint, replayed into the state;
//  5. the state is brought to the format of this program;
//  6. positions and what is owed, from the state and the segments' sums;
//  7. numbers are reserved, and the mark of a clean end is taken away, before
//     anything is given out.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	dir, err := prepareDir(cfg.Dir, cfg.seam)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	unlock, err := lockDir(dir, cfg.seam)
	if err != nil {
		return nil, err
	}
	l, err := open(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), unlock())
	}
	keepSpare(cfg.Dir, cfg.seam)
	l.lock = unlock
	l.start()
	return l, nil
}

// prepareDir makes the directory. The path must be that which the kernel shows
// in the list of mappings.
func prepareDir(dir string, s *seam) (string, error) {
	if dir == "" {
		return "", errors.New("open store: no directory given")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find store: %w", err)
	}
	if err := s.makeDir(abs); err != nil {
		return "", fmt.Errorf("make store: %w", err)
	}
	return filepath.EvalSymlinks(abs)
}

// ErrInUse: the gateway runs, or another tool.
var ErrInUse = errors.New("is in use by another process")

// lockDir keeps a second process out.
func lockDir(dir string, s *seam) (unlock func() error, err error) {
	f, err := s.openFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	ok, err := lockFile(f)
	if err == nil && !ok {
		owner, _ := os.ReadFile(f.Name())
		err = fmt.Errorf("%s %w (pid %s)", dir, ErrInUse, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if err := f.Truncate(0); err == nil { // the number is for people
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return func() error { return errors.Join(unlockFile(f), f.Close()) }, nil
}

func open(cfg Config) (*Log, error) {
	if err := useSpare(cfg.Dir, roomToOpen(cfg.Dir), cfg.seam); err != nil {
		return nil, err
	}
	ring := newRing(cfg.Dir, cfg.seam, cfg.Logger)
	st, lost, err := openState(cfg.Dir, cfg.formats, cfg.seam, cfg.Logger, ring.setAside)
	if err != nil {
		return nil, err
	}
	rec, err := recoverRing(ring, st, cfg.segment, cfg.Logger)
	if err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	if err := st.upgrade(cfg.formats, rec.next-1, core.Seq(rec.mark)); err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	rec.stateLost = lost
	l := newLog(cfg, st, ring)
	l.cleanSeq, l.clean = takeClean(cfg.Dir, cfg.seam)
	if err := l.restore(rec); err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	if free, err := cfg.seam.free(cfg.Dir); err == nil {
		l.measure(free)
	}
	if err := l.makeWorkers(rec); err != nil {
		return nil, errors.Join(err, ring.closeAll(), st.close())
	}
	return l, nil
}

// newLog makes a log in which nothing is owed to anybody.
func newLog(cfg Config, st *state, ring *ring) *Log {
	l := &Log{
		cfg:       cfg,
		log:       cfg.Logger,
		state:     st,
		receivers: make(map[core.ReceiverID]*receiver),
		recovered: true,
		ring:      ring,
		jobs:      newMailbox[job](),
		results:   newMailbox[result](),
		fetches:   newMailbox[*fetchJob](),
		found:     newMailbox[*fetched](),
		stop:      make(chan struct{}),
	}
	l.counts.dropped = make(map[core.Reason]uint64)
	l.pending.ticket = 1
	l.health.free = -1
	return l
}

func (l *Log) makeWorkers(rec *recovery) error {
	enc, err := newGroupEncoder()
	if err != nil {
		return err
	}
	dec, err := newDecoder()
	if err != nil {
		return err
	}
	l.committer = &committer{
		cfg: l.cfg, log: l.log, seam: l.cfg.seam, ring: l.ring, state: l.state, encoder: enc,
		active: rec.active, resume: rec.resume, holds: rec.holds, owed: debtors{list: rec.holds.Receivers},
		next: rec.next, mark: l.seq,
		jobs: l.jobs, results: l.results, notify: l.cfg.Notify,
	}
	l.committer.owed.reindex()
	l.reader = &reader{
		log: l.log, ring: l.ring, codec: dec,
		jobs: l.fetches, results: l.found, notify: l.cfg.Notify,
	}
	return nil
}

func (l *Log) start() {
	l.workers.Go(func() { l.committer.run(l.stop) })
	l.workers.Go(func() { l.reader.run(l.stop) })
	for _, s := range l.segments {
		l.release(s)
	}
}
