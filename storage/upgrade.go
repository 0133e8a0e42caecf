package storage

import (
	"bytes"
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
	return formats{version: formatVersion, upgrades: []upgrade{{name: "large facts in parts", apply: cutLarge}}}
}

// cutLarge has all facts written anew that would be written in parts. A program of format
// 1 has them in one value, or in Badger's value log, and makes no sense of parts.
func cutLarge(s *state) error {
	large := make(map[string][]byte)
	err := s.scan(nil, func(key, value []byte) error {
		if len(key)+len(value) > partSize {
			large[string(key)] = bytes.Clone(value)
		}
		return nil
	})
	for key, value := range large {
		s.put(key, change{value: value})
	}
	return err
}

// upgrade brings the state to the format of this program, in this order:
//
//  1. a checkpoint in the old format, of everything in the ring: from here on no
//     page counts that was written in it;
//  2. step by step, what changes and a checkpoint of the next format, in main;
//  3. all of it in the mirror, which begins anew.
//
// Nothing else is written before that. A kill before 3 leaves a mirror of the old
// format: an older program goes on with that one, and begins the other anew; this one
// begins with it again. From 3 on, an older program refuses.
func (s *state) upgrade(f formats, page uint64, seq core.Seq) error {
	if s.format == f.version {
		return nil
	}
	if err := s.save(page, seq); err != nil { // 1
		return err
	}
	s.main.seam.step("upgrade: begun")
	from := s.format
	for s.format < f.version { // 2
		step := f.upgrades[s.format-1]
		if err := step.apply(s); err != nil {
			return fmt.Errorf("upgrade the store, %s: %w", step.name, err)
		}
		s.format++
		s.paired = false
		if err := s.saveMain(page, seq); err != nil {
			return fmt.Errorf("upgrade the store, %s: %w", step.name, err)
		}
		s.forget()
		s.main.seam.step("upgrade: step done")
	}
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
