// Package pty makes pseudo-terminals: serial lines without wire or hardware, for
// simulated devices in tests and in the demo.
//
// What works on one is almost everything: any rate, parity and character size
// is accepted (and has no effect), time-outs, hang-up, exclusive use. What does
// not: RTS, DTR and the modem status (ENOTTY), RS-485, line errors, and the time
// that bytes take on a wire.
package pty
