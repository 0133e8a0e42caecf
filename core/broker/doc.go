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
// take long (retained messages for "#", the sweep of those that have expired, the end
// of a session with many subscriptions) is cut into slices between turns.
//
// Devices send one small message at a time, so what a message costs is a wake-up
// and two system calls, and what decides is how often one thread hands over to
// another. A goroutine for each connection costs twice as much as a loop; a loop
// that blocks in epoll_wait pays a hand-over for every wake-up. So the epoll set
// waits in Go's own poller, and its deadlines are a timer within the set (see epoll).
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
// publish2 (in), transmit (out), take (routing), handleSubscribe. So does a CONNACK
// that says that there is no session: when the end of the one before is on disk (see
// ending.go).
//
// A durable receiver is live or behind. Live ones are handed messages from memory,
// through a bounded queue. One whose queue is full falls behind: its messages stay
// in the log and are fetched a page at a time, until the log says that it has
// caught up. So a slow receiver costs bounded memory and loses nothing. Receivers
// that are not durable have the same queue, and what does not fit is dropped with
// a counted reason.
//
// # Who it is, and what it may do
//
// Two small interfaces decide ([Authenticator], [Authorizer]); without them there are
// no users, and everybody may do everything. An authenticator answers from any
// goroutine, and the connection is not read from meanwhile. It may ask back, which
// makes the enhanced authentication of MQTT 5, also on a connection that is open. No
// state of a session is touched before it has said yes, and a session belongs to the
// identity that made it: another is refused, whatever it says about Clean Start. A
// login may have an end, and does not outlive what it was made from ([Broker.Recheck]).
//
// # One allocation
//
// A PUBLISH is decoded where it was read. Only when somebody has to keep it (a
// queue, the log, the retained store) is it copied, once and in one piece, and
// shared from then on. A QoS 0 message whose receivers have room costs none.
//
// # Slow receivers
//
// A peer that does not take what it is sent costs bounded memory and nobody's time:
//
//	softOutput          of encoded packets for its socket; then messages wait
//	MaxClientMessages   in its queue, where they are shared with others
//	MaxClientBytes
//	MaxQueuedBytes      of all queues together
//	MaxPendingBytes     of all output together that is not written yet
//
// Above the last the output of a turn is written at once instead of at its end, and
// who does not read gets no more. It bounds, too, what all connections keep of packets
// that have not come whole: who waits for the rest of a large one is ended then. On a
// small machine these are shares of its memory (Limits.Memory): with table D of the
// attacks in full, a gateway that may have 64 MiB lives and serves others
// (TestExhaustionInLittleMemory of cmd/weir, WEIR_FAULTS=long).
//
// A publisher that is faster than the disk is slowed down: the PUBLISH for which the
// store has no room in memory stays in the input, and its connection is not read from
// until a commit has made room (see awaitRoom). Its keep alive does not run meanwhile.
// Only a store that is full, or whose disk fails, refuses, and then at once, whatever it
// is that would have to be kept (see refusing.go). What needs no disk passes.
// In the same way who has too many answers to come, or too much that waits for a message
// of QoS 2 before it, is not read from (see maxUnanswered and flowsFull).
//
// Beyond that a durable session falls behind and is served from the log, at QoS 1
// and 2; what else it should have had is dropped as "queue-full". A peer that sends
// without reading is not read from once hardOutput of answers wait for it; then what
// it takes is its sign of life. Depth and drops of each session are under
// $SYS/broker/clients, in the console and in Clients; drops by reason in the metrics.
//
// A turn reads each socket once, up to 64 KiB, and accepts 64 connections of a
// listener. Connections leave an eighth of the descriptors, at least 64, to the
// store, the uplinks and the serial lines; at that limit accept pauses.
//
// # What it costs
//
// Measured beside mosquitto 2.0.11 without persistence (in brackets), by turns, on
// two cores that were busy with other things as well, this broker with its defaults
// and a store on disk: `weir bench compare`, medians of three. CPU us of the broker
// per message of 100 bytes that is delivered:
//
//	                                      QoS 0         QoS 1         QoS 2
//	10 publishers to one                  0.62 (12.1)   1.62 (22.8)   3.19 (44.7)
//	one to 50                             0.27 (10.2)   0.59 (15.6)   1.64 (31.6)
//	50 to 50, in pairs                    0.70 (15.5)   1.80 (35.5)   2.92 (55.9)
//	200 to "#"                            0.56 (11.5)   1.84 (22.0)   2.88 (47.6)
//	200 to "#", 5,000/s, one write each   23.8 (29.0)   36.0 (47.1)
//	1 MiB                                 621 (2358)    657 (1281)
//	connect and disconnect                82 (79)
//
// More than four fifths of the paced line are system calls. On a machine with
// nothing else to do it was 10 (15) and 23 (29), and the first line 0.3 (10) and
// 1.0 (14).
//
//	CPU us of a publication among 110,000 filters, of 1,100   1.2, 1.3  (19.9, 19.6)
//	memory of a subscription                                  230 B     (1,020 B)
//	memory of a retained message of 100 bytes                 393 B     (1,224 B)
//	CPU us of one of 100,000 retained, read at QoS 0, QoS 1   0.4, 0.8  (5.3, 6.1)
//	memory of an idle connection with a subscription          1.9 KiB   (1.0 KiB)
//
// What was tried and what it gave:
//
//   - Payloads of 1 MiB are kept in the memory in which they came and sent from there
//     with writev; that alone changed nothing that could be measured. Later collections
//     (see collector in cmd/weir) brought 2.4 ms down to 1.5. What was left of that was
//     for 60 % the new memory of each message: clearing it, the faults of pages that
//     had been given back to the system, copies from smaller pieces to larger ones, the
//     collector. The memory is used again now (see shelf), which leaves the system's own
//     copying, and 22 instead of 54 MiB. It helps who takes messages at once; what is
//     owed to a durable session or waits in a queue still has memory of its own: the
//     log, queues, retained messages and subscribers inside share it, and who of them
//     lets go of it last only the collector knows. Counting them would be a rule for
//     everybody who ever sees a message, for the sake of those that wait anyway.
//   - A retained message takes 259 bytes here (see resting): 144 for its topic and
//     payload, 115 in the index. The rest is the store, whose tables in memory and
//     buffers of a flush have grown by then, about 10 MB; at 200,000 it would be half as
//     much for each. As an ordinary message it had a header of 112 bytes, which is what
//     the collector had to look at, too.
//   - The latency of the paced line, 74 to 78 us at the median beside mosquitto's 70 to
//     74, is not reached on a quiet machine and says nothing on a busy one. A turn is a
//     read, a write and an epoll_wait of the loop's set, as with mosquitto; what is
//     beyond is Go's scheduler, which asks its own set twice before it waits and looks
//     for other work in between. A look more before the loop parks would find something
//     once in 200 turns at 5,000 messages a second, for a system call in each; that was
//     left out, and so was the order of work within a turn: all between the read and
//     the write is less than a microsecond.
//   - Subscriptions: see package topic. Output buffers that were made anew for all
//     but 64 receivers of a turn kept the collector busy; all are kept now, up to a
//     megabyte.
//
// Of the loop's designs, a relay that does nothing else was measured (paced line,
// QoS 0 and 1): goroutine for each connection 32 and 41 us, blocking epoll_wait 25
// and 36, the epoll set in Go's poller 18.5 and 24.5.
package broker
