package storage

import (
	"fmt"
	"time"

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
		Topic:     m.Topic,
		Payload:   m.Payload,
		Flags:     m.QoS & flagQoS,
		Publisher: m.Publisher,
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
func (r *messageRecord) message(stamp stampRecord) core.Message {
	mono := r.Mono + stamp.Mono
	m := core.Message{
		Topic:     r.Topic,
		Payload:   r.Payload,
		QoS:       r.Flags & flagQoS,
		Retain:    r.Flags&flagRetain != 0,
		Publisher: r.Publisher,
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
	names := make(map[string]string) // topics and publishers repeat
	for i := range list {
		var r messageRecord
		if body, err = r.UnmarshalMsg(body); err != nil {
			return nil, fmt.Errorf("%w: message %d: %w", errDamaged, i, err)
		}
		r.Topic, r.Publisher = intern(names, r.Topic), intern(names, r.Publisher)
		messages[i] = r.message(p.index.Base)
		list[i] = stored{seq: core.Seq(p.base + r.Seq), m: &messages[i], owed: r.Owed}
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errDamaged, len(body))
	}
	return list, nil
}

func intern(names map[string]string, s string) string {
	if known, ok := names[s]; ok {
		return known
	}
	names[s] = s
	return s
}
