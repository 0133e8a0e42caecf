package broker

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
)

// Who may do what is asked in these places, and each time about the concrete topic:
//
//	publish    for every PUBLISH, after its topic alias was resolved; for a will at
//	           CONNECT and once more when it is due
//	subscribe  for every filter; what has been subscribed to stays so when the rules
//	           change, and brings nothing that may not be received
//	receive    where a message would be owed to a session, so that nothing is kept
//	           for who may not have it, and, what counts, where its PUBLISH goes out:
//	           transmit, which live, retained, queued, shared and repeated ones pass
//
// What could be published when it came is published: it may have been acknowledged.

// everything are the rights where there is no authorizer.
type everything struct{}

func (everything) May(Access, string) bool { return true }

// Authorize replaces the authorizer. From the next turn on nothing happens by the
// rules before; nil allows everything.
func (b *Broker) Authorize(a Authorizer) {
	b.mail.post(func() {
		b.cfg.Access = a
		b.edition++
	})
}

// rightsOf asks the authorizer.
func (b *Broker) rightsOf(who Principal) Rights {
	if b.cfg.Access == nil {
		return everything{}
	}
	return b.cfg.Access.Rights(who)
}

// may is for who has no session.
func (b *Broker) may(who Principal, do Access, topic string) bool {
	return b.rightsOf(who).May(do, topic)
}

// may says what the session's client may do by the rules as they are now.
func (cl *client) may(do Access, topic string) bool {
	if cl.rights == nil || cl.edition != cl.broker.edition {
		cl.rights, cl.edition = cl.broker.rightsOf(cl.principal()), cl.broker.edition
	}
	return cl.rights.May(do, topic)
}

// mayReceive says whether a message may go to the client.
func (cl *client) mayReceive(name string) bool {
	if cl.conn != nil {
		if _, visible := cl.conn.unmounted(name); !visible {
			return false
		}
	}
	return cl.may(Receive, name)
}

// principal is who the client is, at the address from which it came last.
func (cl *client) principal() Principal {
	return Principal{Identity: cl.identity, ClientID: cl.id, From: cl.from}
}

// withhold ends a message that waited to be sent and may not be any more, as if the
// client had refused it.
func (cl *client) withhold(l leaving) {
	cl.drop(core.DroppedDenied, 1)
	switch l.QoS {
	case core.AtLeastOnce:
		if sent, ok := cl.out.Puback(l.pid); ok {
			cl.paid(l.pid, sent)
		}
	case core.ExactlyOnce:
		if sent, step := cl.out.Pubrec(l.pid, true); step == session.Finish {
			cl.finish(l.pid, sent)
		}
	}
}
