// Package load puts an MQTT broker under load and says what a message cost it.
//
// # One loop
//
// The load shares its machine with the broker, so what it costs itself distorts
// what it measures. All connections therefore belong to one goroutine over an
// epoll set (engine) that waits in Go's own poller, as the broker does: a packet is
// decoded where it was read, a connection is written to once a turn, and nothing
// is allocated per message.
//
// # Two ways to publish
//
// Closed loop: a bounded number of deliveries (Options.Window) is on its way, and
// publishers write up to 16 KiB at once. A broker may batch, and what is measured
// is the work per message. Paced: each message is a write of its own, from one
// connection after the other, at a fixed total rate, as from devices. Then a
// message costs the broker a wake-up and two system calls whatever else it does.
//
// # What is counted
//
// Each payload begins with a stamp: the run, the publisher, a sequence number and
// the time. From these every subscriber tells what is lost, repeated or out of
// order (stream) and how long it took (histogram). Counts are of the whole run;
// rate, CPU time and latency leave the warm-up out. The CPU time is what the kernel
// counts for all threads of the broker's process, divided by the messages delivered
// (not: published).
//
// Latency runs from the write to the read, both on this loop. In a closed loop it
// is mostly the wait in the window, so compare it at the same rate only.
package load
