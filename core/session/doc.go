// Package session holds the protocol state between the gateway and one peer:
// packet ids, in-flight windows, the steps of QoS 1 and 2 in both directions,
// acknowledgements that must leave in order, and topic aliases. The broker uses
// it for its clients, the bridge for its upstream; the two differ only in who dials.
//
// Everything here is a pure machine: no goroutine, no I/O, no clock. A machine
// belongs to one owner (the broker loop, or the goroutine of a bridge) and is
// not safe for concurrent use. Machines say what to do; the owner does it:
// sends, records, waits for the sync, and tells the machine that it happened.
//
// # Sending: Outbound
//
// An [Outbound] outlives its connections. The owner takes messages from its
// queue in order while there is [Outbound.Room], and [Outbound.Start]s each one.
//
//	QoS 1          Start → PUBLISH → Puback → pay the debt
//	QoS 2          Start → PUBLISH → Pubrec (Release) → pay, PUBREL → Pubcomp (Finish)
//	QoS 2, durable Start (Save) → record OutgoingSaved, synced → Saved → PUBLISH
//	               → Pubrec (Save) → record OutgoingSaved{Released}, pay
//	               → synced → Released → PUBREL → Pubcomp (Finish) → record OutgoingDone, lazily
//
// When a connection is lost the owner rewinds its queue: everything unpaid comes
// again, in order. After [Outbound.Connect] a message that is still in flight
// keeps its packet id [MQTT-4.4.0-1]. Sync notices for releases must reach
// Released even when the connection in which the PUBREC came is gone; those for
// saves belong to PUBLISH packets that wait, and go with their connection (Start
// asks for the save again).
//
// PUBLISH packets leave in the order in which they were started, also when one
// waits for its save and the next does not: all go through one [Gate], those
// that wait for nothing with ticket 0. Otherwise a message of QoS 1 would
// overtake one of QoS 2.
//
// # Receiving: Inbound and Acks
//
// An [Inbound] knows which packet ids of QoS 2 are held. [Acks] lets PUBACK and
// PUBREC leave in the order in which their PUBLISH came [MQTT-4.6.0-2]
// [MQTT-4.6.0-3], each once its promise holds. A [Gate] does the same for
// whatever waits only for a sync (PUBLISH of QoS 2, PUBREL, PUBCOMP).
package session
