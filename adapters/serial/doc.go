// Package serial reads devices that talk on a serial line: sensors, scales,
// receivers, meters. What the device says is a matter of configuration:
//
//	bytes → frames → verified      package frame
//	      → values → named and scaled  package parse
//	      → readings                   to the adapters.Reporter
//	requests ← templates ← turns       package exchange
//
// Those packages are pure; this one owns the line and the time.
//
// # Never a false value
//
// A wrong value is worse than none, and each package says what it does about that.
// Here: an answer is only taken for that of the device that was asked
// ([Expect]); what comes too late, when nobody knows whose it is, is dropped.
//
// What is dropped is counted by reason in the adapter's status: noise, partial,
// too-long, checksum, parse, no-answer, unexpected, rate. The values of a device
// that falls silent are published again as stale ([Config.StaleAfter]), and a
// device that babbles is read at [Config.MaxRate], no more.
//
// # Whose turn it is
//
// One exchange at a time is on the line. Before each: commands that wait
// ([Write]), then the request whose time has come first. A repeat comes before
// both, since its answer may be on its way. A command is answered when the device
// has acknowledged it, or when it can't.
//
// # A line at full speed
//
// A UART delivers a few bytes at a time, hundreds of times a second; to be woken
// for each costs several percent of a core. So when bytes have come, the line is
// left alone for 4 ms, or at its full rate until the next frame can be whole, and
// then read in one piece ([serialport.Port.Rest]).
//
// # One goroutine
//
// [Adapter.Run] is the only goroutine and owns the port and everything behind it.
// When the context ends, the port is interrupted, and Run closes it. When the
// device vanishes, Run closes the port at once (a port that is held gets another
// name when it is plugged in again), says that its points have no value, and
// opens it again with back-off.
package serial
