// Package serial reads devices that talk on a serial line: sensors, scales,
// receivers, meters. What the device says is a matter of configuration:
//
//	bytes → frames (Framing) → verified (Checksum) → values (Parse)
//	      → named and scaled (Field) → readings, to the adapters.Reporter
//
// Each step up to the last is pure: it takes bytes and gives bytes or values,
// does no I/O and knows no clock. A new framing, checksum or parser is one more
// implementation of its one small interface or function: splitter, verifier,
// parser.
//
// # Never a false value
//
// A wrong value is worse than none. Therefore
//
//   - a frame whose checksum is wrong is dropped and counted, and the search goes
//     on one byte behind its start (behind its end where a delimiter marks it);
//   - without a checksum, a frame is only taken when its beginning was seen: after
//     a delimiter, a start marker or a pause. Half a line is not a value;
//   - a csv line with too few or too many columns, or a field that is not what it
//     should be, condemns the whole frame;
//   - an NMEA sentence whose status says that there is no fix has no position.
//
// What is dropped is counted by reason in the adapter's status: noise, partial,
// too-long, checksum, parse, no-answer.
//
// # One goroutine
//
// [Adapter.Run] is the only goroutine and owns the port and everything behind it.
// When the context ends, the port is interrupted, and Run closes it. When the
// device vanishes, Run closes the port at once (a port that is held gets another
// name when it is plugged in again), says that its points have no value, and
// opens it again with back-off.
package serial
