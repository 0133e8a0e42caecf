// Package modbus polls Modbus devices and sets their points.
//
// An [Adapter] polls the devices of one bus: a serial line, a serial device server
// or a TCP host. Adapters that name the same line share it ([Lines]). It frames requests with goburrow/modbus (client and packagers)
// and moves the bytes itself: the library's transports wait too long, keep no
// silence between frames, and after one time-out give each answer to the next
// request. Only the packagers of its handlers are used; nothing of theirs is ever
// opened.
//
// # Layers
//
//	Adapter    Run, Status; commands from MQTT come into an inbox
//	proxy      Modbus TCP for other masters; their requests come into another
//	trunk      a line with its adapters, of which one at a time drives the loop
//	loop       owns everything below; one turn is one transaction
//	group      the points of a device with one period, read in rounds of blocks
//	plan       points → blocks (requests), at the least cost on this line
//	bus        transactions; knows which answers may still be on their way
//	transport  rtuTransport, tcpTransport: request out, answer found among what comes in
//	link       bytes: serialport.Port, a TCP or TLS connection; ASCII is translated here
//
// One goroutine at a time, that of the Run which has the baton, owns all of it, so
// there is no lock but those of the inboxes, of who comes and goes, and of the
// counters that Status reads.
//
// Beside it stand [NewPreview], which tells what polling will cost, and [Master],
// with which a technician asks devices by hand; and [Adapter.Trace] lets others look
// at the line.
//
// # Queues
//
// "fifo:10" is a queue, read with function 24, which leaves it as it is: its value
// is a list, oldest first. All else about it is as with registers.
//
// # A dead device does not slow the others
//
// It is probed less and less often (health), and all probes together may take 2 %
// of the line's time while any other device answers. A register that the device
// ignores is told from a device that is dead by a probe of a register that it has
// answered before.
//
// # Too much is asked for
//
// What rounds really take, each by its period, is the demand. When it is more than
// the line has, everything is polled as evenly as it goes (a period that is over
// begins anew, it is not caught up), and the status tells the period that can be
// kept.
//
// # Periods keep their phase
//
// A round that is late stands for the period in which it began; one that comes
// early, because a point was set, is one more. Neither moves the rounds after it.
// So what is due together stays together, and the line sleeps between.
//
// # What a transaction costs
//
// Over TCP to a device that answers at once, a third is the network's, a third the
// values and their document, and the rest that the gateway sleeps once for each
// answer. So what was read is reported while the next answer is on its way, and no
// timer is moved that need not be.
//
// # One bad register does not stop the others
//
// A block that is refused is halved until the culprit is alone, which is then
// parked with a reason and tried again rarely (split). Everything else keeps its
// period and is soon read in as few requests as before.
//
// # No value under another's name
//
// See bus for late answers, scanner for frames in noise, expectation for lengths.
// The property is tested with injected delays, losses and noise.
package modbus
