// Package serialport opens serial lines for the adapters. It is the only place
// that knows go.bug.st/serial.
//
// # Two descriptors
//
// The library opens the device, sets rate, parity and mode, drains, flushes and
// moves RTS and DTR. The bytes themselves pass over a second descriptor of the
// same line, for which a goroutine waits in Go's poller, by way of an epoll set of
// its own (see conn). Reading and writing through the library
// cannot be made safe from outside (measured with v1.8.0):
//
//   - its Write after Close writes into whatever file has the number now;
//   - its Read panics when a descriptor number is 1024 or more, as when a port is
//     plugged in again while a thousand clients are connected;
//   - its Read says (0, nil) on a time-out, on which io.ReadFull spins;
//   - its Write has no limit, and Close doesn't end it;
//   - a waiting Read occupies a thread.
//
// A descriptor that is waited for that way has none of these: deadlines both ways, safe against a
// reused number, no thread, any number of clients.
//
// # One owner
//
// One goroutine owns a [Port] and calls its methods; another one that wants it
// to stop calls [Port.Interrupt], upon which the owner closes the port. So no
// call into the library can meet a closed descriptor, and no lock is needed.
//
// # RS-485
//
// Where the kernel's driver can move RTS it is asked to, before the line is opened
// for good; else RTS is moved by hand, about a millisecond late ([RS485]).
//
// # Names
//
// A USB adapter gets another /dev/ttyUSB… each time. [Resolve] finds it by vendor,
// product and serial number, or by its socket, from what the system tells in sysfs;
// [System.List] lists all ports that way, without opening one.
//
// # Exclusive use
//
// A port is locked with flock; who comes second gets a [BusyError] that names the
// process which has locked it, or else has it open, where /proc shows it ([Users]).
package serialport
