package storage

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeover is the mapping of a journal, taken out of Badger's hands: where the file was
// mapped there is plain memory now. Badger writes its entries there as before, and never
// looks at them again; after each transaction we write them to the file.
//
// A store into a mapped file is a fault for each page that was written back since the
// last one. Where the file system makes it wait (it is frozen, or the disk hangs while
// the file system closes its own transaction), the runtime can not stop that thread,
// the next collection of memory waits for it, and everybody for the collection. A
// system call that waits keeps nobody. (To have the pages made writable by one before,
// MADV_POPULATE_WRITE, is not enough: it holds the list of mappings, so that the
// runtime, which wants more memory, waits for it.)
//
// It belongs to the committer, and so does the mapping, which is given back when the
// database is closed, and no sooner. Its place is a number, not a pointer, because the
// collector looks at pointers afterwards, too.
type takeover struct {
	from    uintptr
	size    int
	at      int // the file has everything up to here
	dropped int // memory is given back up to here
}

// takeOver takes the mapping of a new journal. It is nil where the system does not
// show it; then Badger writes to the file as it is used to.
func takeOver(path string) (*takeover, error) {
	from, to, err := mappingOf(path)
	if err != nil || from == 0 {
		return nil, err
	}
	t := &takeover{from: from, size: int(to - from)}
	// What is in it was written through the mapping, and is in the file.
	if err := guarded(func() error { t.at, _ = journalEnd(t.memory(), journalHeader); return nil }); err != nil {
		return nil, err
	}
	const private = unix.MAP_FIXED | unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	if _, err := unix.MmapPtr(-1, 0, t.pointer(), uintptr(t.size), unix.PROT_READ|unix.PROT_WRITE, private); err != nil {
		return nil, fmt.Errorf("take over mapping: %w", err)
	}
	_ = unix.Madvise(t.memory(), unix.MADV_NOHUGEPAGE) // a huge page would be all of it
	return t, nil
}

func (t *takeover) pointer() unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), t.from) }
func (t *takeover) memory() []byte          { return unsafe.Slice((*byte)(t.pointer()), t.size) }

// flush writes the transaction that was just committed.
func (t *takeover) flush(f *os.File, write func(f *os.File, b []byte, at int64) error) error {
	if t == nil {
		return nil
	}
	memory := t.memory()
	end, whole := journalEnd(memory, t.at)
	if !whole {
		return errors.New("the journal is not as Badger writes it")
	}
	if err := write(f, memory[t.at:end], int64(t.at)); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	t.at = end
	t.drop()
	return nil
}

// trim cuts off what no transaction was written to, and what is left of one that could not
// be written. It only saves who reads the file some zeros.
func (t *takeover) trim(f *os.File) {
	if t != nil {
		_ = f.Truncate(int64(t.at))
	}
}

// dropStep is how much memory is given back at a time.
const dropStep = 128 << 10

// drop gives back the memory of what was written.
func (t *takeover) drop() {
	if t.at-t.dropped < dropStep+os.Getpagesize() {
		return
	}
	end := t.at &^ (os.Getpagesize() - 1)
	_ = unix.Madvise(t.memory()[t.dropped:end], unix.MADV_DONTNEED)
	t.dropped = end
}

// mappingOf finds the mapping of a file, from 0 when there is none.
func mappingOf(path string) (from, to uintptr, err error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, 0, fmt.Errorf("read mappings: %w", err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		if span, ok := strings.CutSuffix(lines.Text(), " "+path); ok {
			return parseSpan(span)
		}
	}
	return 0, 0, lines.Err()
}

// parseSpan reads "55d0-55e0 rw-s …".
func parseSpan(line string) (from, to uintptr, err error) {
	span, _, _ := strings.Cut(line, " ")
	low, high, _ := strings.Cut(span, "-")
	a, err := strconv.ParseUint(low, 16, strconv.IntSize)
	if err != nil {
		return 0, 0, fmt.Errorf("read mapping: %w", err)
	}
	b, err := strconv.ParseUint(high, 16, strconv.IntSize)
	if err != nil {
		return 0, 0, fmt.Errorf("read mapping: %w", err)
	}
	return uintptr(a), uintptr(b), nil
}
