package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// Verify reads every page of every segment. See [Log.Check].
func (t *Tool) Verify(ctx context.Context, progress func(done, total int)) (v Verified, err error) {
	ended := false
	t.log.Check(progress, func(found Verified, failed error) { v, err, ended = found, failed, true })
	return v, errors.Join(t.until(ctx, func() bool { return ended }), err)
}

// Aside is a directory in quarantine.
type Aside struct {
	Name  string    `json:"name"`
	When  time.Time `json:"when"`
	Why   string    `json:"why"`
	Bytes int64     `json:"bytes"`
}

// Quarantined lists what was set aside under the directory of a store.
func Quarantined(dir string) ([]Aside, error) {
	if err := there(dir); err != nil {
		return nil, err
	}
	found, err := os.ReadDir(filepath.Join(dir, quarantineDir))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	var list []Aside
	for _, f := range found {
		a := Aside{Name: f.Name()}
		path := filepath.Join(dir, quarantineDir, f.Name())
		if stamp, _, ok := strings.Cut(f.Name(), "-"); ok {
			a.When, _ = time.Parse("20060102T150405.000000000", stamp)
		}
		why, _ := os.ReadFile(filepath.Join(path, "WHY"))
		a.Why = strings.TrimSpace(string(why))
		err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
			if unreadable(err) { // it is here because of that
				return nil
			}
			if err != nil {
				return err
			}
			if info, err := d.Info(); err == nil && !d.IsDir() {
				a.Bytes += info.Size()
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) { // it was removed, or is being
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("measure quarantine: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}

// RemoveQuarantined deletes a directory in quarantine for good. Unlike the others
// it may be called from any goroutine.
func (l *Log) RemoveQuarantined(name string) error {
	path, err := asidePath(l.cfg.Dir, name)
	if err != nil {
		return err
	}
	if err := l.cfg.seam.removeAll(path); err != nil {
		return fmt.Errorf("remove from quarantine: %w", err)
	}
	l.ring.aside.Add(-1)
	return nil
}

func asidePath(dir, name string) (path string, err error) {
	path = filepath.Join(dir, quarantineDir, name)
	if name != filepath.Base(name) || name == "" || name == "." || name == ".." || name == string(filepath.Separator) {
		return "", fmt.Errorf("%q is not the name of a directory in quarantine", name)
	}
	if _, err := os.Stat(path); err != nil {
		if os.IsNotExist(err) {
			return "", fmt.Errorf("no %q in quarantine", name)
		}
		return "", fmt.Errorf("look into quarantine: %w", err)
	}
	return path, nil
}

// Salvaged visits the messages that can be read of a directory in quarantine of the
// store in dir, in order, with those to whom each was owed when it was written. The
// store may be in use.
func Salvaged(dir, name string, visit func(m *core.Message, owed []core.ReceiverID) error) error {
	path, err := asidePath(dir, name)
	if err != nil {
		return err
	}
	codec, err := newDecoder()
	if err != nil {
		return err
	}
	defer codec.close()
	pages, _, err := scavenge(path, newSeam(), codec)
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(pages)) {
		p, err := codec.parsePage(pages[n])
		if err != nil {
			continue // scavenge has checked it
		}
		messages, err := codec.messagesOf(&p)
		if err != nil {
			continue
		}
		for i := range messages {
			if err := visit(messages[i].m, owedBy(&p, &messages[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

func owedBy(p *page, s *stored) (owed []core.ReceiverID) {
	for i, d := range p.index.Receivers {
		if s.owedTo(i) {
			owed = append(owed, core.ReceiverID(d.Receiver))
		}
	}
	return owed
}
