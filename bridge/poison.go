package bridge

import (
	"errors"
	"io"
	"syscall"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// Some upstreams answer a message that they do not like by closing the
// connection, without a word. Sent again and again, such a message would stop the
// uplink for ever. It must be dropped, and no other in its place: not one that
// was merely under way when a bad link broke. So evidence is gathered:
//
//   - only against the head, the first message sent on the connection that was
//     not acknowledged, and only as long as it is the same;
//   - after two losses the message is tried alone: window 1, and only after a
//     PINGRESP has shown that link and upstream work;
//   - from then on only the upstream's own close (end of stream, DISCONNECT)
//     counts, not a reset or silence, which are what links do. (Before, a reset
//     counts too: it is what TCP makes of a close with more messages unread.)
//   - when there have been five it is dropped, counted and logged.
//
// A DISCONNECT that names a lasting fault of a message needs no more evidence when
// the message was alone.

// suspect is the message that the upstream may be closing on.
type suspect struct {
	receiver core.ReceiverID
	seq      core.Seq
	losses   int
}

const (
	lossesUntilAlone = 2
	lossesUntilDrop  = 5
)

func (s suspect) is(m session.Sent) bool { return s.receiver == m.Receiver && s.seq == m.Seq }

// alone says whether the head must be tried alone on the next connection.
func (s suspect) alone() bool { return s.losses >= lossesUntilAlone }

// judge looks at how a connection ended. active is how many messages were under way.
func (b *Bridge) judge(err error, active int) {
	head, ok := b.out.Head()
	if !ok || !b.incriminates(err, head) {
		return
	}
	b.strike(head)
	var r *refusal
	named := errors.As(err, &r) && lasting(r.reason)
	switch {
	case b.suspect.losses >= lossesUntilDrop, named && active == 1:
		b.reject(head, explain(err, b.cfg.Clock.Now()))
	case named:
		b.suspect.losses = max(b.suspect.losses, lossesUntilAlone)
	}
}

// incriminates says whether the end of a connection is evidence against the head.
func (b *Bridge) incriminates(err error, head session.Sent) bool {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.blamesMessage()
	case errors.Is(err, io.EOF):
		return true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return !b.suspect.is(head) || !b.suspect.alone()
	}
	return false
}

// strike is one more piece of evidence against a message.
func (b *Bridge) strike(m session.Sent) {
	if !b.suspect.is(m) {
		b.suspect = suspect{receiver: m.Receiver, seq: m.Seq}
	}
	b.suspect.losses++
}

// acquit ends a suspicion: the message was acknowledged, or one behind it while
// each was tried alone, so that it is gone.
func (b *Bridge) acquit(m session.Sent, alone bool) {
	s := b.suspect
	if s.is(m) || alone && s.receiver == m.Receiver && s.seq < m.Seq {
		b.suspect = suspect{}
	}
}

// reject sets a message aside that the upstream does not take.
func (b *Bridge) reject(m session.Sent, why string) {
	b.acquit(m, false)
	o := b.outlet(m.Receiver)
	if o == nil {
		return
	}
	b.condemn(o, m, why)
}

// outlet finds the rule of a receiver; nil when it is none of this configuration.
func (b *Bridge) outlet(r core.ReceiverID) *outlet {
	for _, o := range b.outlets {
		if o.receiver == r {
			return o
		}
	}
	return nil
}

// blamesMessage says whether a DISCONNECT may be about a message that was sent,
// and not about who we are or how the upstream feels.
func (r *refusal) blamesMessage() bool {
	switch r.reason {
	case packet.Success, packet.ServerBusy, packet.ServerUnavailable, packet.ServerShuttingDown, packet.KeepAliveTimeout, packet.SessionTakenOver,
		packet.QuotaExceeded, packet.MessageRateTooHigh, packet.ConnectionRateExceeded, packet.MaximumConnectTime,
		packet.AdministrativeAction, packet.UseAnotherServer, packet.ServerMoved, packet.ReceiveMaximumExceeded:
		return false
	}
	return r.in == packet.DISCONNECT
}

// lasting says whether the same message will be refused again, however often.
func lasting(r packet.Reason) bool {
	switch r {
	case packet.PayloadFormatInvalid, packet.TopicNameInvalid, packet.NotAuthorized, packet.PacketTooLarge,
		packet.RetainNotSupported, packet.QoSNotSupported:
		return true
	}
	return false
}
