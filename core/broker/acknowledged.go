package broker

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// pay tells the log that a receiver has a message.
func (b *Broker) pay(r core.ReceiverID, seq core.Seq) {
	if seq != 0 && r != 0 && b.store.Paid(r, seq) {
		b.settled(seq)
	}
}

// paid ends what is owed for a message that the client has taken or refused.
func (cl *client) paid(pid uint16, sent session.Sent) {
	cl.redeem(pid)
	cl.broker.pay(sent.Receiver, sent.Seq)
}

// puback is the end of QoS 1 out: the debt is paid.
func (cl *client) puback(a *packet.Ack) {
	sent, ok := cl.outbound().Puback(a.PacketID)
	if !ok {
		return // a packet id that is not in use: ignored
	}
	if a.Reason.IsError() {
		cl.drop(core.DroppedRejected, 1)
	}
	cl.pace.acknowledged(uint64(a.PacketID), cl.broker.now)
	cl.paid(a.PacketID, sent)
	cl.pump()
}

// pubrec is step 3 of QoS 2 out.
func (cl *client) pubrec(a *packet.Ack) {
	pid := a.PacketID
	sent, step := cl.outbound().Pubrec(pid, a.Reason.IsError())
	cl.pace.acknowledged(uint64(pid), cl.broker.now)
	switch step {
	case session.Save:
		ticket := cl.broker.record(core.OutgoingSaved{Outgoing: core.Outgoing{
			Owner: cl.receiver, PacketID: pid, Receiver: sent.Receiver, Seq: sent.Seq, Released: true,
		}})
		cl.paid(pid, sent)
		cl.broker.after(ticket, func() { // 4
			if cl.out.Released(pid) && cl.connected() {
				cl.conn.sendAck(packet.PUBREL, pid, packet.Success)
			}
		})
	case session.Release:
		cl.paid(pid, sent)
		cl.conn.sendAck(packet.PUBREL, pid, packet.Success)
	case session.Repeat:
		cl.conn.sendAck(packet.PUBREL, pid, packet.Success)
	case session.Finish:
		cl.drop(core.DroppedRejected, 1)
		cl.finish(pid, sent)
	case session.Unknown:
		cl.conn.sendAck(packet.PUBREL, pid, packet.PacketIdentifierNotFound)
	case session.Wait:
	}
}

// pubcomp is step 5 of QoS 2 out.
func (cl *client) pubcomp(a *packet.Ack) {
	sent, step := cl.outbound().Pubcomp(a.PacketID)
	if step == session.Finish {
		cl.finish(a.PacketID, sent)
	}
}

func (cl *client) finish(pid uint16, sent session.Sent) {
	if sent.Saved {
		cl.broker.store.Record(core.OutgoingDone{Owner: cl.receiver, PacketID: pid}, true)
	}
	cl.paid(pid, sent)
	cl.pump()
}
