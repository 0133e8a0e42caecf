// Package packet turns the bytes of MQTT 3.1, 3.1.1 and 5.0 into structs and
// back. It is pure: no reader, no writer, no goroutine, no time.
//
// # Shape
//
// [ReadHeader] finds out whether a whole packet is there, without looking at its
// body, so that limits are checked before anything is allocated. [Parse] decodes
// one body; [Publish.Parse] and [Ack.Parse] do the same in place for the packets
// that the hot path is made of. Decoded packets alias the input: they are valid
// until the caller reuses the buffer. Every packet has AppendTo, which appends its
// bytes, and Size, which says beforehand how many that will be; [AppendPublish]
// and [AppendAck] do without the struct.
//
// What the standard says about properties stands once, in the table of
// property.go: which packet may carry which, how often, and with what value. How a
// property is encoded follows from the type of its field in [Properties].
//
// # Errors
//
// A malformed or forbidden packet yields an *[Error] with the MQTT 5 reason code
// that the standard asks for; which code a 3.1.1 peer sees, if any, is decided
// where the packet is answered. Error.Clause has the number of the statement in
// MQTT 5, also for packets of older versions, where the same rule has another
// number or none.
//
// # How strict
//
// Nothing that is wrong is ever passed on: text is well-formed UTF-8 without null
// characters, names have no wildcards, values are in their range, and no byte is
// left over. Where devices in the field break a rule and nobody can come to harm,
// they are let be: MQTT 3.1 has its own habits (DUP on SUBSCRIBE, unused bits that
// are set, a user name that is announced and missing), the remaining length may be
// padded before MQTT 5, and any error code of the standard is taken in any
// acknowledgement. Whether a packet may come at all, from this side and at this
// moment, is for its receiver to know, and so is the syntax of topic filters.
package packet
