// Package packet turns the bytes of MQTT 3.1, 3.1.1 and 5.0 into structs and
// back. It is pure: no reader, no writer, no goroutine, no time.
//
// # Shape
//
// [ReadHeader] finds out whether a whole packet is there, without looking at its
// body, so that limits are checked before anything is allocated. [Parse] decodes
// one body; [Publish.Parse] does the same in place for the one packet that the
// hot path is made of. Decoded packets alias the input: they are valid until the
// caller reuses the buffer. Every packet has AppendTo, which appends its bytes,
// and Size, which says beforehand how many that will be.
//
// # Errors
//
// A malformed or forbidden packet yields an *[Error] with the MQTT 5 reason code
// that the standard asks for; which code a 3.1.1 peer sees, if any, is decided
// where the packet is answered.
package packet
