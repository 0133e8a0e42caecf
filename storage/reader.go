package storage

import (
	"errors"
	"log/slog"

	"github.com/weir-edge/weir/core"
)

// fetchJob asks for what is owed to one receiver on disk.
type fetchJob struct {
	receiver    core.ReceiverID
	round       uint32 // the receiver's, to know an answer that is not wanted any more
	after       core.Seq
	page        uint64     // where to begin
	segments    []pageSpan // where to look, in order
	maxMessages int
	maxBytes    int
	look        *look // not for the receiver: it takes nothing
}

// pageSpan is a segment that owes something to the receiver.
type pageSpan struct {
	segment uint64
	last    uint64 // page
	paid    bool   // all of it: it may be gone
}

// fetched answers a fetchJob.
type fetched struct {
	job     *fetchJob
	found   []located
	page    uint64   // where to go on
	damaged []uint64 // segments in which pages were missing or damaged
	broken  uint64   // the segment that can not be opened: nothing behind it was read,
	why     error    // for this reason
	done    int      // how many of job.segments were read to their end
	err     error    // the system refused; try again later

	verified Verified // by a check
}

type located struct {
	seq  core.Seq
	m    *core.Message
	page uint64
}

// reader fetches pages. All of it belongs to its goroutine.
type reader struct {
	log     *slog.Logger
	ring    *ring
	codec   *codec
	page    []byte // memory for the next page as it is stored
	cache   pageCache
	open    []*segment // sealed ones that were read last, newest use last
	jobs    *mailbox[*fetchJob]
	results *mailbox[*fetched]
	notify  func()
}

func (r *reader) run(stop <-chan struct{}) {
	for {
		select {
		case <-r.jobs.ready:
			for _, j := range r.jobs.take() {
				r.results.put(r.fetch(j))
				r.notify()
			}
		case <-stop:
			return
		}
	}
}

// fetch reads until enough was found or nothing is left.
func (r *reader) fetch(j *fetchJob) *fetched {
	if j.look != nil && j.look.check != nil {
		return r.check(j)
	}
	f := &fetched{job: j, page: j.page}
	bytes := 0
	for _, span := range j.segments {
		if span.paid {
			f.done++
			continue
		}
		seg := r.ring.find(span.segment)
		if seg == nil { // being salvaged or set aside; the owner will know more
			f.err = errGone
			return f
		}
		r.use(seg)
		f.page = max(f.page, span.segment)
		for ; f.page <= span.last; f.page++ {
			p, err := r.load(seg, f.page)
			if err != nil {
				if errors.Is(err, errTransient) || errors.Is(err, errGone) {
					f.err = err
					return f
				}
				r.log.Error("page can not be read", "segment", seg.first, "page", f.page, "error", err)
				if unusable(err) {
					f.broken, f.why = seg.first, err
					return f
				}
				if n := len(f.damaged); n == 0 || f.damaged[n-1] != seg.first {
					f.damaged = append(f.damaged, seg.first)
				}
				continue
			}
			if r.pick(f, p, &bytes) {
				return f
			}
		}
		f.done++
	}
	return f
}

// unusable: not the page but the whole segment can not be read.
func unusable(err error) bool {
	return !errors.Is(err, errMissing) && !errors.Is(err, errDamaged)
}

// pick takes from a page what is owed to the receiver; true when that is enough.
func (r *reader) pick(f *fetched, p *decoded, bytes *int) bool {
	j := f.job
	i, ok := p.receiver(j.receiver)
	if !ok {
		return false
	}
	for k := range p.messages {
		s := &p.messages[k]
		if s.seq <= j.after || !s.owedTo(i) {
			continue
		}
		if len(f.found) > 0 && (len(f.found) >= j.maxMessages || *bytes+s.m.Size() > j.maxBytes) {
			return true
		}
		if f.found == nil {
			f.found = make([]located, 0, min(j.maxMessages, len(p.messages)))
		}
		f.found = append(f.found, located{seq: s.seq, m: s.m, page: f.page})
		*bytes += s.m.Size()
	}
	return false
}

// load gives a decoded page, from the cache if it is there.
func (r *reader) load(seg *segment, n uint64) (*decoded, error) {
	if p := r.cache.get(n); p != nil {
		return p, nil
	}
	b, err := seg.read(n, r.page[:0])
	if err != nil {
		return nil, err
	}
	if cap(b) <= 2*pageRaw {
		r.page = b
	}
	p, err := r.codec.parsePage(b)
	if err != nil {
		return nil, err
	}
	if p.page != n {
		return nil, errDamaged
	}
	d := &decoded{receivers: p.index.Receivers, size: int(p.raw) * 3}
	if d.messages, err = r.codec.messagesOf(&p); err != nil {
		return nil, err
	}
	r.cache.put(n, d)
	return d, nil
}

// openSegments is how many sealed segments stay open for reading.
const openSegments = 2

// use keeps the segments that were read last open and closes the others.
func (r *reader) use(seg *segment) {
	if n := len(r.open); n > 0 && r.open[n-1] == seg {
		return
	}
	for i, s := range r.open {
		if s == seg {
			r.open = append(r.open[:i], r.open[i+1:]...)
			break
		}
	}
	r.open = append(r.open, seg)
	if len(r.open) > openSegments {
		r.open[0].rest()
		r.open = r.open[1:]
	}
}

// decoded is a page that was read. Its messages are shared by all receivers.
type decoded struct {
	receivers []debtorRecord
	messages  []stored
	size      int // roughly, in memory
}

func (d *decoded) receiver(id core.ReceiverID) (i int, ok bool) {
	for i := range d.receivers {
		if d.receivers[i].Receiver == uint64(id) {
			return i, true
		}
	}
	return 0, false
}

// pageCache holds the pages that were read last, within a bound of bytes.
type pageCache struct {
	pages []cachedPage // newest use last
	bytes int
}

type cachedPage struct {
	n uint64
	d *decoded
}

const (
	cachePages = 8
	cacheBytes = 2 << 20
)

func (c *pageCache) get(n uint64) *decoded {
	for i := len(c.pages) - 1; i >= 0; i-- {
		if p := c.pages[i]; p.n == n {
			copy(c.pages[i:], c.pages[i+1:])
			c.pages[len(c.pages)-1] = p
			return p.d
		}
	}
	return nil
}

func (c *pageCache) put(n uint64, d *decoded) {
	c.pages = append(c.pages, cachedPage{n, d})
	c.bytes += d.size
	for len(c.pages) > 1 && (len(c.pages) > cachePages || c.bytes > cacheBytes) {
		c.bytes -= c.pages[0].d.size
		c.pages = append(c.pages[:0], c.pages[1:]...)
	}
}
