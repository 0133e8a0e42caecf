package storage

import (
	"fmt"

	"github.com/weir-edge/weir/core"
)

// formatVersion is the format of what this program writes. It stands in the
// checkpoint of meta. A program that is older refuses a store of a higher one.
const formatVersion = 2

// formats is what this program knows of formats.
type formats struct {
	version  uint32    // which it writes
	upgrades []upgrade // the first leads from format 1 to 2, the second from 2 to 3
}

// upgrade is one step, from a format to the next: it applies to the state what has
// to change in it. Pages are not written anew: they tell their version, and every
// program reads those of older ones.
type upgrade struct {
	name  string
	apply func(*state) error
}

func thisFormat() formats {
	return formats{version: formatVersion, upgrades: []upgrade{
		// All facts are written anew. A program of format 1 has the large ones in one value,
		// or in Badger's value log, makes no sense of parts, and sums differently.
		{name: "large facts in parts", apply: func(*state) error { return nil }},
	}}
}

// upgrade brings the state to the format of this program, in this order:
//
//  1. step by step, what changes, in memory;
//  2. the mirror begins anew, with all of it, main's facts and what is in the ring, in the
//     new format;
//  3. it is main now, and the other copy begins anew, too.
//
// Nothing else is written before that. A kill before 2 is done leaves a copy of the old
// format alone, one before 3 is begun both: an older program goes on with that one, and
// begins the other anew; this one begins with it again. From 3 on, an older program
// refuses.
func (s *state) upgrade(f formats, page uint64, seq core.Seq) error {
	if s.format == f.version {
		return nil
	}
	from := s.format
	for ; s.format < f.version; s.format++ { // 1
		step := f.upgrades[s.format-1]
		if err := step.apply(s); err != nil {
			return fmt.Errorf("upgrade the store, %s: %w", step.name, err)
		}
	}
	s.main.seam.step("upgrade: begun")
	c := checkpointRecord{Format: s.format, Page: page, Seq: uint64(seq)}
	if err := s.renewMirror(s.all, c); err != nil { // 2
		return fmt.Errorf("upgrade the store: %w", err)
	}
	s.main.seam.step("upgrade: first copy made")
	s.main, s.mirror, s.paired = s.mirror, s.main, false
	s.forget()
	if err := s.saveMirror(s.main.checkpoint); err != nil { // 3
		return fmt.Errorf("upgrade the second copy: %w", err)
	}
	s.main.seam.step("upgrade: done")
	s.log.Info("the store was upgraded", "from", from, "to", s.format)
	return nil
}

// takeOlder has this program go on with the copy that it can read, when the other
// is of an upgrade that was not finished.
func takeOlder(copies []*metaDB, newer *metaDB, why error) ([]*metaDB, error) {
	if len(copies) == 0 || copies[0].db == nil || copies[0].checkpoint.Format == 0 || copies[0].verify() != nil {
		return copies, why
	}
	if err := newer.renew(); err != nil {
		return copies, err
	}
	return append(copies, newer), nil
}
