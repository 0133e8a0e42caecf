// Package broker is an MQTT broker for versions 3.1, 3.1.1 and 5.0, as a library:
// listeners and connections, sessions, routing, retained messages, wills, and the
// way in and out for adapters and bridges.
//
// # One loop
//
// [Broker.Run] is a loop on one goroutine that owns everything: connections,
// sessions, subscriptions, retained messages. There is no lock on any of it, and
// order comes for free. A turn of the loop reads every socket that is ready,
// decodes in place, routes, appends to the log, and then writes to each connection
// that was touched once. It never waits for the disk, a lock or a peer; what could
// take long (retained messages for "#", the end of a session with many
// subscriptions) is cut into slices between turns.
//
// Devices send one small message at a time, so what a message costs is a wake-up
// and two system calls, and what decides is how often one thread hands over to
// another. A goroutine for each connection costs twice as much as a loop; a loop
// that blocks in epoll_wait pays a hand-over for every wake-up. So the epoll set
// waits in Go's own poller (see epoll).
//
// # What is connected to what
//
//	socket  ─┐ bytes                                ┌─> socket
//	stream  ─┴──> conn ──> take ──> route ──┬──> client ──> conn ─┴─> stream
//	Publish, Accept ────────┘       │       ├──> Queue ──> bridge
//	                              Store     └──> local ──> func
//
// A conn is the machine between the bytes of a connection and the broker; it does
// no I/O. Two links feed it: socket, a non-blocking socket of the loop, and stream,
// goroutines around a net.Conn ([Broker.Serve]): TLS, WebSocket and the header of a
// proxy (package transport), tests. Such a connection counts, and its time runs,
// before the first of these handshakes. Other
// goroutines reach the loop through its mailbox only.
//
// A client is a session, with or without a connection. The Queue of a bridge rule
// is the same thing for a receiver that lives on another goroutine. The connection
// that such a receiver has dialled may be watched by the loop, too: [Broker.Carry].
//
// # The promise
//
// PUBACK and PUBREC leave when every durable receiver has the message or it is on
// disk. The order of effects stands beside the code, numbered: publish1 and
// publish2 (in), transmit (out), take (routing), handleSubscribe.
//
// A durable receiver is live or behind. Live ones are handed messages from memory,
// through a bounded queue. One whose queue is full falls behind: its messages stay
// in the log and are fetched a page at a time, until the log says that it has
// caught up. So a slow receiver costs bounded memory and loses nothing. Receivers
// that are not durable have the same queue, and what does not fit is dropped with
// a counted reason.
//
// # One allocation
//
// A PUBLISH is decoded where it was read. Only when somebody has to keep it (a
// queue, the log, the retained store) is it copied, once and in one piece, and
// shared from then on. A QoS 0 message whose receivers have room costs none.
//
// # What it costs
//
// Measured beside mosquitto 2.0.11 without persistence (in brackets), by turns, on
// two cores of which the load takes its share; this broker with its defaults and a
// store on disk. CPU us of the broker per message of 100 bytes:
//
//	200 publishers, 5,000/s, one write each, to "#"   QoS 0  10 (15)   QoS 1  23 (29)
//	as fast as they can, 10 publishers to one         QoS 0  0.3 (10)  QoS 1  1.0 (14)
//	one to 50                                         QoS 0  0.14 (6.5)
//	the same, QoS 1, to a durable session             2.1 (15), nothing written
//	exactly once, on disk before each step            17
//	connect and disconnect                            80 (65)
//
// Payloads of 1 MiB cost 1.1 to 1.3 ms at QoS 0 and 1 (1.9 to 2.1 and 1.1 to 1.2).
// They are kept in the memory in which they came and sent from there with writev;
// that alone changed nothing that could be measured. What cost 2.4 ms was the
// collector, for every second message (see collector in cmd/weir); without any
// collection, new memory from the system for each costs 2.0 ms.
//
// More than four fifths of the first line are system calls. An idle connection with a
// subscription takes 1.3 KiB.
//
// Of the loop's designs, a relay that does nothing else was measured (first line,
// QoS 0 and 1): goroutine for each connection 32 and 41 us, blocking epoll_wait 25
// and 36, the epoll set in Go's poller 18.5 and 24.5.
package broker
