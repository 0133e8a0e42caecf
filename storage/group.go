package storage

import (
	"github.com/weir-edge/weir/core"
)

// group is what one group commit writes. It is built by the owner and not
// touched any more once the committer has it.
type group struct {
	entries []entry       // in order
	changes []core.Change // in order
	ops     []op          // positions and reservations; they come before the changes
	mark    core.Seq      // no seq above it had been given out
	ticket  core.Ticket
	sync    bool
}

// empty says whether there is nothing to write.
func (g *group) empty() bool { return len(g.entries)+len(g.changes)+len(g.ops) == 0 }

// size is at least what the messages of the group take on disk.
func (g *group) size() (n int64) {
	for _, e := range g.entries {
		n += int64(e.m.Size())
	}
	return n
}

// encoder turns groups into pages. It belongs to the committer.
type encoder struct {
	codec    *codec
	index    []byte
	messages []byte
	page     []byte
}

func newGroupEncoder() (*encoder, error) {
	c, err := newEncoder()
	if err != nil {
		return nil, err
	}
	return &encoder{codec: c}, nil
}

// encode gives the pages of a group one after the other, of which info is the first. A
// page is valid until the next one.
func (e *encoder) encode(g *group, ops []op, info pageInfo, write func(n uint64, page []byte) error) error {
	entries := g.entries
	info.mark = uint64(g.mark)
	for ; ; info.page, info.place = info.page+1, info.place+1 {
		var mine []entry
		var changes []op
		changes, ops = cutOps(ops)
		mine, entries = cutEntries(entries, opBytes(changes))
		info.last = len(entries) == 0 && len(ops) == 0
		info.messages = uint32(len(mine))
		if err := e.encodePage(info, mine, changes); err != nil {
			return err
		}
		if err := write(info.page, e.page); err != nil {
			return err
		}
		if info.last {
			return nil
		}
	}
}

// encodePage fills e.page.
func (e *encoder) encodePage(info pageInfo, entries []entry, changes []op) (err error) {
	var index indexRecord
	index.Changes = changes
	if len(entries) > 0 {
		info.base = uint64(entries[0].seq) - 1
		index.Base = toStamp(entries[0].m.Received)
		index.Newest = toStamp(entries[len(entries)-1].m.Received)
	}
	var owed debtors
	for _, en := range entries {
		for _, r := range en.owed {
			owed.add(r, en.seq, en.m.Size())
		}
	}
	index.Receivers = owed.list
	e.messages = e.messages[:0]
	for _, en := range entries {
		r := toRecord(en.seq, core.Seq(info.base), en.m, index.Base)
		r.Owed = owed.indexes(en.owed)
		if e.messages, err = r.MarshalMsg(e.messages); err != nil {
			return err
		}
	}
	if e.index, err = index.MarshalMsg(e.index[:0]); err != nil {
		return err
	}
	e.page = e.codec.appendPage(e.page[:0], info, e.index, e.messages)
	return nil
}

// shrink gives large buffers back.
func (e *encoder) shrink() {
	if cap(e.messages) > 2*pageRaw {
		e.messages, e.page = nil, nil
	}
	if cap(e.index) > 2*pageRaw {
		e.index = nil
	}
}

// cutEntries cuts the messages of one page off a group.
func cutEntries(entries []entry, size int) (mine, rest []entry) {
	for i, en := range entries {
		n := len(en.m.Payload) + len(en.m.Topic)
		if i == pageMessages || i > 0 && size+n > pageRaw || i == 0 && size > pageRaw {
			return entries[:i], entries[i:]
		}
		size += n
	}
	return entries, nil
}

// cutOps cuts the changes of one page off a group.
func cutOps(ops []op) (mine, rest []op) {
	size := 0
	for i, o := range ops {
		size += len(o.Key) + len(o.Value)
		if i > 0 && size > pageRaw {
			return ops[:i], ops[i:]
		}
	}
	return ops, nil
}

func opBytes(ops []op) (n int) {
	for _, o := range ops {
		n += len(o.Key) + len(o.Value)
	}
	return n
}

// debtors sums up by receiver what is owed in a page.
type debtors struct {
	list  []debtorRecord
	known map[core.ReceiverID]uint32 // made when the list is long
}

const debtorsLinear = 8

func (d *debtors) find(r core.ReceiverID) (i int, ok bool) {
	if d.known != nil {
		i, ok := d.known[r]
		return int(i), ok
	}
	for i := range d.list {
		if d.list[i].Receiver == uint64(r) {
			return i, true
		}
	}
	return 0, false
}

func (d *debtors) add(r core.ReceiverID, seq core.Seq, size int) {
	i, ok := d.find(r)
	if !ok {
		i = len(d.list)
		d.list = append(d.list, debtorRecord{Receiver: uint64(r), First: uint64(seq)})
		d.index(r, i)
	}
	e := &d.list[i]
	e.Count, e.Bytes, e.Last = e.Count+1, e.Bytes+uint64(size), uint64(seq)
}

func (d *debtors) index(r core.ReceiverID, i int) {
	if d.known != nil {
		d.known[r] = uint32(i)
		return
	}
	d.reindex()
}

// reindex makes the index of a list that has become long.
func (d *debtors) reindex() {
	if len(d.list) <= debtorsLinear {
		return
	}
	d.known = make(map[core.ReceiverID]uint32)
	for i, e := range d.list {
		d.known[core.ReceiverID(e.Receiver)] = uint32(i)
	}
}

// indexes gives the places of receivers in the list; nil stands for all of them.
func (d *debtors) indexes(owed []core.ReceiverID) []uint32 {
	if len(owed) == len(d.list) {
		return nil
	}
	list := make([]uint32, len(owed))
	for i, r := range owed {
		n, _ := d.find(r)
		list[i] = uint32(n)
	}
	return list
}
