package storage

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// SmallSegments makes a store seal its segments early.
func SmallSegments(c Config, bytes int64) Config {
	c.segment = bytes
	return c
}

// AtStep has a function called between any two steps of the order of effects.
func AtStep(c Config, step func(name string)) Config {
	c.seam = newSeam()
	c.seam.step = step
	return c
}

// Faulty has a function called before each call of the system, which may fail it;
// and after commits and syncs, which may then fail although they were done.
func Faulty(c Config, fail func(call string) error) Config {
	s := newSeam()
	c.retry = time.Millisecond
	c.seam = &seam{
		free: func(dir string) (int64, error) {
			if err := fail("free"); err != nil {
				return 0, err
			}
			return s.free(dir)
		},
		allocate: func(f *os.File, size int64) error {
			return first(fail("allocate"), func() error { return s.allocate(f, size) })
		},
		write: func(f *os.File, b []byte, at int64) error {
			err := first(fail("write"), func() error { return s.write(f, b, at) })
			return first(err, func() error { return fail("write done") })
		},
		syncData: func(f *os.File) error {
			err := first(fail("sync"), func() error { return s.syncData(f) })
			return first(err, func() error { return fail("sync done") })
		},
		syncDir: func(dir string) error {
			return first(fail("syncdir"), func() error { return s.syncDir(dir) })
		},
		rename: func(from, to string) error {
			err := first(fail("rename"), func() error { return s.rename(from, to) })
			return first(err, func() error { return fail("rename done") })
		},
		remove: func(name string) error {
			return first(fail("remove file"), func() error { return s.remove(name) })
		},
		mkdir: func(dir string) error {
			return first(fail("mkdir"), func() error { return s.mkdir(dir) })
		},
		readDir: func(dir string) ([]os.DirEntry, error) {
			if err := fail("readdir"); err != nil {
				return nil, err
			}
			return s.readDir(dir)
		},
		readFile: func(name string) ([]byte, error) {
			if err := fail("read"); err != nil {
				return nil, err
			}
			return s.readFile(name)
		},
		openFile: func(name string, flag int) (*os.File, error) {
			if err := fail("openfile"); err != nil {
				return nil, err
			}
			return s.openFile(name, flag)
		},
		removeAll: func(dir string) error {
			return first(fail("remove"), func() error { return s.removeAll(dir) })
		},
		open: func(o badger.Options) (*badger.DB, error) {
			if err := fail("open"); err != nil {
				return nil, err
			}
			return s.open(o)
		},
		commit: func(txn *badger.Txn, version uint64) error {
			err := first(fail("commit"), func() error { return s.commit(txn, version) })
			return first(err, func() error { return fail("commit done") })
		},
		step: s.step,
	}
	return c
}

func first(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// Crashable makes a store of which a copy can be made as a kill would leave it,
// with the committer standing between two of its steps.
func Crashable(c Config) (Config, func(t testing.TB, to string)) {
	var mu sync.Mutex // held by the committer while it does something
	inJob := false    // steps outside of jobs are Open's and Close's
	s := newSeam()
	s.step = func(name string) {
		switch {
		case name == stepBegin:
			mu.Lock()
			inJob = true
		case name == stepEnd:
			inJob = false
			mu.Unlock()
		case inJob:
			mu.Unlock()
			mu.Lock()
		}
	}
	c.seam = s
	return c, func(t testing.TB, to string) {
		mu.Lock()
		defer mu.Unlock()
		CloneStore(t, c.Dir, to)
	}
}

// CloneStore copies a store whose committer stands still.
func CloneStore(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case errors.Is(err, os.ErrNotExist): // removed by the reader's side
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		}
		return copySparse(path, target)
	})
	if err != nil {
		t.Fatalf("copy store: %v", err)
	}
}

// copySparse copies a file without its holes. A file that goes while
// it is copied is not there.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no more
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
}

// PretendNewer marks a closed store as written by a newer version.
func PretendNewer(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"meta-a", "meta-b"} {
		m := &metaDB{dir: filepath.Join(dir, name), reads: formatVersion, seam: newSeam(), log: slog.New(slog.DiscardHandler)}
		if err := m.open(); err != nil {
			t.Fatal(err)
		}
		c := m.checkpoint
		c.Format = formatVersion + 1
		err := m.save(func(func(fact) bool) {}, c)
		if err := errors.Join(err, m.close()); err != nil {
			t.Fatal(err)
		}
	}
}

// Upgraded makes a program of a later version: for each mark there is one more
// format, and the step to it appends the mark to every retained message. So a step
// that is done twice, or not at all, can be seen.
func Upgraded(c Config, marks ...string) Config {
	c.formats = thisFormat()
	for _, mark := range marks {
		c.formats.version++
		c.formats.upgrades = append(c.formats.upgrades, upgrade{name: "append " + mark, apply: func(s *state) error {
			var ops []op
			err := s.scan([]byte{keyRetained}, func(key, value []byte) error {
				var r messageRecord
				if _, err := r.UnmarshalMsg(value); err != nil {
					return err
				}
				r.Payload = append(r.Payload, mark...)
				ops = append(ops, set(bytes.Clone(key), &r))
				return nil
			})
			if err != nil {
				return err
			}
			return s.apply(ops)
		}})
	}
	return c
}

// FormatVersion is that of this program.
const FormatVersion = formatVersion

// ErrNewer is what an older program says.
var ErrNewer = errNewer

// Syncs has a function told of every sync of a directory.
func Syncs(c Config, note func(dir string)) Config {
	c.seam = newSeam()
	c.seam.syncDir = func(dir string) error {
		note(dir)
		return syncDir(dir)
	}
	return c
}

// Removes has files removed by a function.
func Removes(c Config, remove func(name string) error) Config {
	c.seam = newSeam()
	c.seam.remove = remove
	return c
}
