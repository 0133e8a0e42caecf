package bridge

import (
	"fmt"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// receive takes in whole packets from the upstream.
func (l *link) receive(c chunk) {
	l.received = l.now
	for rest := c.packets; len(rest) > 0 && l.err == nil; {
		h, n, err := packet.ReadHeader(rest)
		if err != nil {
			l.fail(err)
			break
		}
		if err := l.handle(h, rest[n:n+h.Length]); err != nil {
			l.fail(err)
		}
		rest = rest[n+h.Length:]
	}
	if c.err != nil {
		l.fail(c.err)
	}
	l.overrun()
}

func (l *link) handle(h packet.Header, body []byte) error {
	switch h.Type {
	case packet.PUBLISH:
		return l.handlePublish(h, body)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		if err := l.ack.Parse(h, body, l.g.version); err != nil {
			return err
		}
		l.handleAck(&l.ack)
		return nil
	}
	p, err := packet.Parse(h, body, l.g.version)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packet.Suback:
		l.handleSuback(p)
	case *packet.Unsuback:
		l.handleUnsuback(p)
	case *packet.Pingresp:
		l.pong()
	case *packet.Disconnect:
		r := &refusal{in: packet.DISCONNECT, reason: p.Reason}
		if p.Properties != nil {
			r.text = said(p.Properties)
		}
		return r
	default:
		return &packet.Error{Reason: packet.ProtocolError, Text: h.Type.String() + " from a server"}
	}
	return nil
}

func (l *link) handleAck(a *packet.Ack) {
	out := l.b.out
	failed := a.Reason.IsError()
	switch a.Kind {
	case packet.PUBACK:
		if sent, ok := out.Puback(a.PacketID); ok {
			l.finish(a.PacketID, sent)
			l.answered(a, sent)
		}
	case packet.PUBREC:
		sent, step := out.Pubrec(a.PacketID, failed)
		l.handlePubrec(a, sent, step)
	case packet.PUBCOMP: // 5 of QoS 2
		if sent, step := out.Pubcomp(a.PacketID); step == session.Finish {
			l.finish(a.PacketID, sent)
			l.progress = l.now
			if o := l.b.outlet(sent.Receiver); o != nil {
				o.owe(sent.Seq)
			}
		}
	case packet.PUBREL:
		l.handlePubrel(a.PacketID)
	}
}

// handlePubrec is step 3 of QoS 2.
func (l *link) handlePubrec(a *packet.Ack, sent session.Sent, step session.Step) {
	switch step {
	case session.Save:
		l.changes = append(l.changes, core.OutgoingSaved{Outgoing: core.Outgoing{
			Owner: l.b.owner, PacketID: a.PacketID, Receiver: sent.Receiver, Seq: sent.Seq, Released: true,
		}})
		l.b.releases.Push(l.ticket(), a.PacketID)
		l.answered(a, sent)
	case session.Release:
		l.appendAck(packet.PUBREL, a.PacketID, packet.Success)
		l.answered(a, sent)
	case session.Repeat:
		l.appendAck(packet.PUBREL, a.PacketID, packet.Success)
	case session.Finish: // it was refused
		l.finish(a.PacketID, sent)
		l.answered(a, sent)
	case session.Unknown: // let the upstream forget it, too
		l.appendAck(packet.PUBREL, a.PacketID, packet.PacketIdentifierNotFound)
	case session.Wait:
	}
}

// finish forgets a packet id.
func (l *link) finish(pid uint16, sent session.Sent) {
	if sent.Saved {
		l.lazy = append(l.lazy, core.OutgoingDone{Owner: l.b.owner, PacketID: pid})
	}
}

// answered is what the first acknowledgement of a message says about it.
func (l *link) answered(a *packet.Ack, sent session.Sent) {
	l.progress = l.now
	l.acked++
	l.timed(a.PacketID)
	b, o := l.b, l.b.outlet(sent.Receiver)
	defer b.flying.remove(a.PacketID)
	switch {
	case o == nil: // its rule is gone
		return
	case !a.Reason.IsError():
		o.tally.messages.Add(1)
		o.owe(sent.Seq)
		b.acquit(sent, l.alone)
	case lasting(a.Reason):
		b.reject(sent, a.Reason.String())
	default:
		l.refused(a, sent)
	}
	if l.alone && !b.suspect.alone() {
		l.alone = false
		b.out.Resize(l.window)
	}
}

// refused: not now, maybe later. The message is not paid, so that it comes again
// after a pause, and what else is under way may end before that. An upstream that always refuses it is not asked for
// ever, unless it says that a quota is used up: that passes.
func (l *link) refused(a *packet.Ack, sent session.Sent) {
	if a.Reason != packet.QuotaExceeded {
		l.b.strike(sent)
		if l.b.suspect.losses >= lossesUntilDrop {
			l.b.reject(sent, a.Reason.String())
			return
		}
	}
	l.wind(fmt.Errorf("%w: %s (0x%02X)", errRetryLater, a.Reason, byte(a.Reason)), refusalGrace)
}

// timed ends the measurement of a round trip.
func (l *link) timed(pid uint16) {
	if pid == l.sampled && pid != 0 {
		l.b.status.observe(l.now.Sub(l.sampledAt))
		l.sampled = 0
	}
}

func (l *link) appendAck(kind packet.Type, pid uint16, r packet.Reason) {
	n := len(l.filling)
	l.filling = packet.AppendAck(l.filling, l.g.version, kind, pid, r)
	l.unread += len(l.filling) - n
}

// recordFailed takes back the releases that are on their way to the disk: the
// next connection records them again.
func (b *Bridge) recordFailed() {
	b.releases.Synced(b.records)
	for pid, ok := b.releases.Pop(); ok; pid, ok = b.releases.Pop() {
		b.unreleased = append(b.unreleased, pid)
	}
}
