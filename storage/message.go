package storage

import (
	"fmt"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/weir-edge/weir/core"
)

// entry is a message on its way to the disk, with those it is owed to.
type entry struct {
	seq  core.Seq
	m    *core.Message
	owed []core.ReceiverID
}

func toStamp(s core.Stamp) stampRecord {
	return stampRecord{Wall: s.Wall, Mono: s.Mono, Boot: s.Boot, Synced: s.Synced}
}

func (s stampRecord) stamp() core.Stamp {
	return core.Stamp{Wall: s.Wall, Mono: s.Mono, Boot: s.Boot, Synced: s.Synced}
}

// toRecord describes m relative to base. Sums wrap around and so fit in any case.
func toRecord(seq, base core.Seq, m *core.Message, stamp stampRecord) messageRecord {
	r := messageRecord{
		Seq:       uint64(seq - base),
		Topic:     name{text: m.Topic},
		Payload:   m.Payload,
		Flags:     m.QoS & flagQoS,
		Publisher: name{text: m.Publisher},
		Mono:      m.Received.Mono - stamp.Mono,
		Skew:      (m.Received.Wall - m.Received.Mono) - (stamp.Wall - stamp.Mono),
		Boot:      m.Received.Boot ^ stamp.Boot,
		Expiry:    int64(m.Expiry),
		Hops:      m.Hops,
	}
	if m.Retain {
		r.Flags |= flagRetain
	}
	if m.Received.Synced {
		r.Flags |= flagSynced
	}
	if m.Properties != nil {
		r.Properties = toProperties(m.Properties)
	}
	return r
}

// message undoes toRecord.
func (r *messageRecord) message(stamp stampRecord, known names) core.Message {
	mono := r.Mono + stamp.Mono
	m := core.Message{
		Topic:     known.of(r.Topic),
		Payload:   r.Payload,
		QoS:       r.Flags & flagQoS,
		Retain:    r.Flags&flagRetain != 0,
		Publisher: known.of(r.Publisher),
		Received: core.Stamp{
			Mono:   mono,
			Wall:   mono + r.Skew + (stamp.Wall - stamp.Mono),
			Boot:   r.Boot ^ stamp.Boot,
			Synced: r.Flags&flagSynced != 0,
		},
		Expiry: time.Duration(r.Expiry),
		Hops:   r.Hops,
	}
	if r.Properties != nil {
		m.Properties = r.Properties.properties()
	}
	return m
}

func toProperties(p *core.Properties) *propertiesRecord {
	r := &propertiesRecord{
		UTF8Payload:     p.UTF8Payload,
		ContentType:     p.ContentType,
		ResponseTopic:   p.ResponseTopic,
		CorrelationData: p.CorrelationData,
	}
	for _, u := range p.User {
		r.User = append(r.User, u.Name, u.Value)
	}
	return r
}

func (r *propertiesRecord) properties() *core.Properties {
	p := &core.Properties{
		UTF8Payload:     r.UTF8Payload,
		ContentType:     r.ContentType,
		ResponseTopic:   r.ResponseTopic,
		CorrelationData: r.CorrelationData,
	}
	if len(p.CorrelationData) == 0 {
		p.CorrelationData = nil
	}
	for i := 0; i+1 < len(r.User); i += 2 {
		p.User = append(p.User, core.UserProperty{Name: r.User[i], Value: r.User[i+1]})
	}
	return p
}

// stored is a decoded message with those it was owed to when it was written.
type stored struct {
	seq  core.Seq
	m    *core.Message
	owed []uint32 // indexes into the page's receivers; none means all
}

// owedTo says whether the message is owed to the receiver with this index.
func (s *stored) owedTo(receiver int) bool {
	if len(s.owed) == 0 {
		return true
	}
	for _, i := range s.owed {
		if int(i) == receiver {
			return true
		}
	}
	return false
}

// messagesOf decodes the messages of a page.
func (c *codec) messagesOf(p *page) ([]stored, error) {
	body, err := c.section(p.body, p.codec, p.raw)
	if err != nil {
		return nil, err
	}
	if uint64(p.messages) > uint64(len(body)) {
		return nil, fmt.Errorf("%w: count", errDamaged)
	}
	list := make([]stored, p.messages)
	messages := make([]core.Message, p.messages)
	known := make(names) // topics and publishers repeat
	var payloads slab
	for i := range list {
		r := messageRecord{Payload: payloads.free()}
		if body, err = r.UnmarshalMsg(body); err != nil {
			return nil, fmt.Errorf("%w: message %d: %w", errDamaged, i, err)
		}
		r.Payload = payloads.take(r.Payload)
		messages[i] = r.message(p.index.Base, known)
		list[i] = stored{seq: core.Seq(p.base + r.Seq), m: &messages[i], owed: r.Owed}
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errDamaged, len(body))
	}
	return list, nil
}

// slab is memory for payloads, shared by some that come one after the other.
type slab struct{ rest []byte }

const slabSize = 4 << 10

// free is where the next payload may be put. A larger one gets memory of its own.
func (s *slab) free() []byte {
	if cap(s.rest) < slabSize/8 {
		s.rest = make([]byte, 0, slabSize)
	}
	return s.rest
}

// take is told what was put there, if it was enough.
func (s *slab) take(payload []byte) []byte {
	if n := len(payload); n <= cap(s.rest) {
		s.rest = s.rest[n:n]
	}
	return slices.Clip(payload)
}

// name is a topic or a publisher. Where it was decoded it lies in the page: most are
// known by then, and need no memory of their own.
type name struct {
	text string // to be written
	raw  []byte // as it was read
}

// MarshalMsg is msgp's.
func (n name) MarshalMsg(b []byte) ([]byte, error) {
	if n.raw != nil {
		return msgp.AppendStringFromBytes(b, n.raw), nil
	}
	return msgp.AppendString(b, n.text), nil
}

// UnmarshalMsg is msgp's.
func (n *name) UnmarshalMsg(b []byte) (rest []byte, err error) {
	n.raw, rest, err = msgp.ReadStringZC(b)
	return rest, err
}

// Msgsize is msgp's.
func (n name) Msgsize() int { return msgp.StringPrefixSize + len(n.text) + len(n.raw) }

// names are those that were read before; nil remembers none.
type names map[string]string

func (ns names) of(n name) string {
	if known, ok := ns[string(n.raw)]; ok {
		return known
	}
	s := string(n.raw)
	if ns != nil {
		ns[s] = s
	}
	return s
}
