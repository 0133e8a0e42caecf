// Package frame cuts the stream of bytes of a serial line into frames and drops
// those that are harmed: bytes → frames ([Framing]) → verified ([Sum]).
//
// It is pure: no I/O, no clock, no goroutine. [Deframer] is the one thing with a
// state, the bytes that wait for their frame's end. A new framing is one more
// implementation of the small interface within [Framing], a new checksum one
// more line in the table of algorithms.
//
// A wrong value is worse than none, so
//
//   - a frame whose checksum is wrong is dropped and counted, and the search goes
//     on one byte behind its start (behind its end where a delimiter marks it);
//   - in the midst of garbage a checksum that is right may be so by chance: frames are
//     taken only with those right behind them until the doubt is over;
//   - without a checksum, a frame is only taken when its beginning was seen: after
//     a delimiter, a start marker or a pause. Half a line is not a value.
package frame
