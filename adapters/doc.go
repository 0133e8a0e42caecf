// Package adapters turns devices into publications: the contract of an adapter,
// the supervisor that keeps it running, and the way from a reading to a message.
//
// An adapter knows its line and its devices and nothing else. It gets a [Bus],
// never a broker, and hands each [Reading] to a [Reporter], which decides
// whether and in which form it is published. Commands come the other way:
// [Commands] subscribes to the topics on which points are set and gives the
// adapter a [Command], which it answers.
//
//	device ── Adapter ── Reading ──> Reporter ── core.Message ──> Bus
//	                <── Command ──── Commands <── core.Message ───┘
//
// # From a reading to a message
//
//  1. The rule decides ([Rule]): every reading, or only changes, with a deadband, a
//     heartbeat and a minimum interval. A change of quality is a change.
//  2. The topic is the template of [Output] with the names put in. A name can't
//     break out of its level: what MQTT reserves is replaced by '_'.
//  3. The payload is appended into the memory of the message itself, without
//     reflection: one allocation for a reading.
//  4. The bus takes the message. What it refuses (there is no room) is counted,
//     and the rule forgets that it let the reading through, so that the next one
//     is a change again.
//
// # Restart
//
// An adapter that returns an error or panics is run again by the [Supervisor]
// after a wait that grows from 1 s to 60 s; the others don't notice.
package adapters
