// Package core holds the nouns that every part of Weir shares: the message and
// its properties, the stamp of a clock that may be wrong, the steps of durable
// state, the reasons for which something is dropped, and the status that the
// console, the metrics and the command line show.
//
// It imports nothing of ours and does nothing by itself.
//
// # Ownership
//
// A [Message] is immutable from the moment it is published. Its payload and
// properties are shared by every receiver, the log and the retained store
// without a copy; whoever needs another topic or another QoS makes a shallow
// copy of the struct ([Message.With]) and shares the payload.
//
// # The promise
//
// A PUBACK (QoS 1) or PUBREC (QoS 2) from Weir means: every durable receiver of
// this message has it, or it is on disk, synced. Three nouns carry that:
//
//   - a durable receiver ([ReceiverID]) is a session whose state must outlive a
//     crash, or a bridge rule with QoS >= 1;
//   - a message is owed to a durable receiver until that receiver acknowledged it;
//   - its [Seq] is its place in the log; order is by Seq, never by clock.
package core
