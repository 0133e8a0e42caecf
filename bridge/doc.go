// Package bridge is the uplink: it dials an upstream broker, sends what its
// rules select, brings down what they subscribe to, and loses neither.
//
// A bridge is a session whose connection we dial. What it has to send waits in
// queues, one for each out rule, each a durable receiver of the local broker;
// packet ids, window and the steps of QoS 1 and 2 are those of core/session,
// the same as for a client.
//
// # Topics
//
// As in Mosquitto, a rule's filter is written without the prefixes, and each
// side puts its own in front:
//
//	           local broker                      upstream
//	filter     local_prefix + filter             remote_prefix + filter
//	out        local_prefix + x          →       remote_prefix + x
//	in         local_prefix + x          ←       remote_prefix + x
//
// So {filter: "plant/#", remote_prefix: "site7/"} sends plant/a as site7/plant/a,
// and {filter: "#", local_prefix: "plant/"} sends plant/a as a. A prefix is put
// before the topic as it is, without a slash between. What exclude matches (with
// the local prefix in front, too) is not sent. A message that two out rules
// select is sent by both.
//
// # Order of effects
//
// QoS 1 out: taken from the queue → PUBLISH → PUBACK → debt paid.
// QoS 2 out: packet id durable → PUBLISH → PUBREC → release durable, debt paid →
// PUBREL → PUBCOMP → forgotten. QoS 1 and 2 in: handed to the local broker →
// its promise holds → PUBACK or PUBREC. The numbered comments stand in out.go and
// in.go.
//
// When a connection is lost the queues are rewound, and everything unpaid comes
// again in order. If the upstream has kept our session, a message that it may
// have keeps its packet id and has DUP; PUBRELs go first. Within a rule the order
// is kept, always, unless a live share gives it up; between rules priority decides.
//
// # Fresh data beside the backlog
//
// After an outage the oldest goes first, and whoever looks at the plant sees the past
// until the drain is over. With drain.live_share a rule of QoS 1 or 2 has two parts
// (beside.go, and split in core/broker): what waited when the connection came, and
// what has come since. Of each second what is new gets its share, if there is so
// much, and the backlog all the rest. Each part is a receiver of its own in the log
// and each message is owed to one of them only. So all that is promised of a rule,
// through kills, lost connections and changes of the configuration, is promised of a
// part, with no position that two readers would have to agree upon: nothing is lost,
// at QoS 1 an in-flight window at most is sent twice, at QoS 2 nothing.
//
// What is given up is the order between the parts, and nothing else: within each it
// is kept, and while nothing waits there is one. Retained messages keep their order
// among themselves; they go behind the backlog, so that the last value upstream is
// the last there was. max_bytes is for each part. When the share is taken out of the
// configuration both parts drain, and what is new goes behind the backlog again.
//
// # The session upstream
//
// It is kept for ever (Clean Start 0), so that QoS 2 is exact and commands wait
// for us. Where several servers are listed each has its own sessions, as far as
// we know: on the first connection to another server than before, or as another client,
// also in a process before (KeepHome), the session starts clean there, since packet ids
// that it may still hold from earlier days would make it take new messages for repetitions. A cluster
// behind one name is one server. What waits for us at a server that we leave is gone
// with its session, and so is a message of QoS 2 that it has taken and holds back until
// the PUBREL that it does not get.
//
// An upstream that sends faster than the local disk is not listened to while some
// megabytes wait (swamped), and is not taken for dead meanwhile; one that asks for more
// answers than there are packet ids is left (overrun).
//
// # What the upstream cannot take
//
// Receive Maximum, Maximum QoS, Retain Available, Maximum Packet Size, Topic Alias
// Maximum and Server Keep Alive are obeyed, and so is what a service is known for
// and does not say (preset.go). A message that is too large, whose topic the service
// cannot express, or that is refused with a reason code that no repetition will
// change, goes into quarantine (quarantine.go), is counted with its reason, and the
// next one goes. An upstream may also answer a message that it does not like by
// closing the connection; see poison.go for how such a message is found without
// mistaking a bad link for it.
//
// # Thrift
//
// A rule may thin out telemetry (thin.go), and an uplink may stand only at times, or
// when enough waits (schedule.go). What is thinned out is counted like what is dropped;
// a bridge that rests is not one that fails. The messages of a steady stream gather for
// some milliseconds and leave together, and their acknowledgements are taken in
// together, where a trial has shown that this slows nobody down (gather.go).
//
// # Change at work
//
// Pause ends the connection and keeps everything; PauseRule does so for one rule,
// beside the others. Neither outlives the process. A bridge whose configuration
// changes is ended; the next one inherits its packet ids and counters (inherit.go),
// and the rules keep their queues. One that is removed, or goes on as another client or at
// other servers, leaves no session upstream, which would be filled for ever (end.go),
// unless nobody can be reached within seconds. Before it ends what the upstream holds back
// there is released. A message of which we do not know whether it has come is sent anew in
// the session that follows: to an upstream that passes messages of QoS 2 on when they come,
// and not when they are released, that may be twice. What is left alone is the session at
// a server that is taken out of the list while the one in use stays: it may be the same,
// by another name of a cluster; and that which another bridge may have.
//
// # State
//
// Here it is shown by the console, the metrics and retained under weir/<gateway>/; at
// the upstream on state_topic (announce.go). Of a bridge that is removed nothing is left
// there, nor on a topic that is its state_topic no more: "offline" means that somebody
// should look, and would do so for ever.
//
// # Loops
//
// What came in over a bridge is not sent out over it. In MQTT 5 the upstream is
// asked not to send us our own messages (No Local). Where what is sent may come back
// on another way, it carries weir-id and weir-hops, and so does what is fetched from
// there: a message whose weir-id names this gateway, or that has come to it before,
// is not taken, and none is that has passed too many gateways. Of copies that arrive
// over several links at once one is taken, and the others are answered as that one
// (seen.go).
//
// MQTT 3.1.1 carries neither. So what comes over such a link in both directions goes to
// no other link in both directions, nor the other way about, unless transit says that
// there is one way only (circle.go); the local broker does the same for bridges that
// dial it and say so with the bit of the protocol level, as the presets mosquitto and
// weir do.
//
// What remains: brokers stamp nothing, so a message that was published at one without
// an id gets one from each gateway that takes it, and comes as often as there are such
// ways: in a triangle up to three times, and to rest. A circle in which two foreign
// brokers have a 3.1.1 bridge between them, which loses the ids, or gateways dial each
// other over 3.1.1 with a preset that sets no bit, is not recognised. What has been
// seen is forgotten at a restart, and after 8,192 messages; then the hops end it.
//
// # Goroutines
//
// Run's goroutine owns all state but while a connection of plain TCP stands: then the
// local broker's own loop takes the link's turns (ride.go, and Carry there), as it
// takes those of its clients' connections. A message from a client is written to the
// upstream in the turn that has read it, and its PUBACK reaches the client in the
// turn that has read the upstream's; no goroutine is woken for either.
//
// With TLS, WebSocket or a proxy, and where the broker has no sockets of its own,
// Run's goroutine takes the turns. Then there are two more: a reader, which hands over
// whole packets, many at a time, and a writer, so that neither a slow nor a dead
// upstream keeps the owner from doing anything else. In both cases one write carries
// all that has come together. The local broker answers into a small mailbox.
//
// What it gave, CPU time of the gateway a message as a ratio to mosquitto's bridge in
// the same run: with goroutines 1.6 to 2.0 while draining and 2.9 to 3.6 at 1,000/s; on
// the loop 1.3 to 1.6 and 1.2 to 3.7. With gathering, a descriptor of the uplink that
// the runtime's poller does not know, and deadlines that are a timerfd instead of a
// timer of the runtime (to set one wakes a thread): 0.95 to 1.3 and 0.6 to 0.8, on a
// machine with nothing else to do. A store that writes what was paid for each 250
// messages of this window instead of each 64, a queue that fetches a window at a time,
// and wake-ups that nobody has to read: 0.8 to 0.95 and 0.5 to 0.8. Messages under way
// that are found by their packet id, topics that are not made where there is an alias, and
// what a bridge adds to a message written once, as it goes out: 0.61 to 0.75 while
// draining. Half the time to gather made a drain 1 % faster and cost a tenth more.
//
// Where the rest goes while draining: half is the loop's, a fifth of that for encoding; an
// eighth reads the log; the collector has a tenth, and the runtime's scheduler a fifth.
// A write of what was paid is six hand-overs between threads, most of them Badger's,
// and costs as much as 50 messages; once a window instead of four times made it 0.63
// to 0.74, but after a kill as much as a window would have come again on top of what
// was under way. Mosquitto's bridge, for its part, does not wait for the
// Receive Maximum that the upstream has set: with one of 20 and a round trip of 100 ms,
// where 200 messages a second are allowed, it sent 14,000, so that it has a few large
// writes where we have many small ones.
package bridge
