package storage

import (
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

// Verified is what a look at every page of the store has found.
type Verified struct {
	Segments int    `json:"segments"`
	Pages    uint64 `json:"pages"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Damaged  int    `json:"damaged"` // pages that can not be read
}

// Verify reads every page of every segment and decodes its messages. progress is
// told how many segments of how many are done.
func (t *Tool) Verify(progress func(done, total int)) (v Verified, err error) {
	codec, err := newDecoder()
	if err != nil {
		return v, err
	}
	defer codec.close()
	for i, info := range t.log.segments {
		progress(i, len(t.log.segments))
		v.Segments++
		if err := t.verify(info, codec, &v); err != nil {
			return v, err
		}
	}
	progress(v.Segments, v.Segments)
	return v, nil
}

func (t *Tool) verify(info *segmentInfo, c *codec, v *Verified) error {
	seg := t.log.ring.find(info.first)
	if seg == nil {
		return nil // drained meanwhile
	}
	defer seg.rest()
	for n := info.first; n <= info.last; n++ {
		b, err := seg.read(n, nil)
		var p page
		if err == nil {
			p, err = c.parsePage(b)
		}
		if err == nil {
			_, err = c.messagesOf(&p)
		}
		if err != nil {
			if errors.Is(err, errTransient) {
				return err
			}
			v.Damaged++
			continue
		}
		v.Pages, v.Messages, v.Bytes = v.Pages+1, v.Messages+uint64(p.messages), v.Bytes+int64(len(b))
	}
	return nil
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
			if info, e := d.Info(); err == nil && e == nil && !d.IsDir() {
				a.Bytes += info.Size()
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("measure quarantine: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}

// RemoveQuarantined deletes a directory in quarantine for good.
func (t *Tool) RemoveQuarantined(name string) error {
	path, err := t.aside(name)
	if err != nil {
		return err
	}
	return t.log.cfg.seam.removeAll(path)
}

func (t *Tool) aside(name string) (path string, err error) {
	path = filepath.Join(t.log.ring.quarantine, name)
	if name != filepath.Base(name) || name == "" || name == "." || name == ".." {
		return "", fmt.Errorf("%q is not the name of a directory in quarantine", name)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %q in quarantine", name)
	}
	return path, nil
}

// Salvaged visits the messages that can be read of a directory in quarantine, in
// order, with those known owners to whom each was owed when it was written.
func (t *Tool) Salvaged(name string, visit func(m *core.Message, owed []core.ReceiverID) error) error {
	path, err := t.aside(name)
	if err != nil {
		return err
	}
	codec, err := newDecoder()
	if err != nil {
		return err
	}
	defer codec.close()
	pages, err := scavenge(path, codec)
	if err != nil {
		return err
	}
	known := make(map[core.ReceiverID]bool)
	for _, o := range t.owners {
		known[o.Receiver] = true
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
			if err := visit(messages[i].m, owedBy(&p, &messages[i], known)); err != nil {
				return err
			}
		}
	}
	return nil
}

func owedBy(p *page, s *stored, known map[core.ReceiverID]bool) (owed []core.ReceiverID) {
	for i, d := range p.index.Receivers {
		if id := core.ReceiverID(d.Receiver); known[id] && s.owedTo(i) {
			owed = append(owed, id)
		}
	}
	return owed
}
