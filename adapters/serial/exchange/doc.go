// Package exchange decides what a device on a serial line is asked, and when:
// [Template] makes the bytes of a request, [Rotation] gives each of several
// requests its turn on the one line, with retries, and silence between two turns.
//
// It is pure: it takes the time from its caller and does no I/O.
package exchange
