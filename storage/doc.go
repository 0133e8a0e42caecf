// Package storage keeps messages for as long as they are owed, and the broker's
// durable state between them. It is the only importer of Badger.
//
// # One log
//
// [Log] is an ordered log of messages. A message is owed to durable receivers
// and is in the log until the last debt is paid. It begins its life in the tail,
// in memory; most are paid there within milliseconds and never touch the disk.
// What is still owed when its time to hold is over is written by the next group
// commit. Order is by sequence number, never by a clock.
//
// # Who does what
//
// The tail and all bookkeeping of receivers belong to the owner's goroutine (the
// broker loop), without a lock. Two goroutines do what takes long:
//
//   - the committer encodes, compresses, writes and syncs, seals and deletes;
//   - the reader fetches pages for receivers that are behind.
//
// They are given jobs through small locked queues and answer through another
// one, which Collect drains on the owner's goroutine.
//
// # The journal
//
// A group commit is a group of pages: one Badger entry and one transaction a
// page, one sync for the group. A page holds messages and the changes of state
// that were recorded with them, as sets and deletes of keys. So messages and
// state share a sync, and the disk always holds a prefix of what happened: a
// group whose last page is missing is taken for not written.
//
// Pages are numbered without gaps. They live in a ring of small Badger
// databases, the segments, each in its own directory: append to the newest, read
// from the oldest, seal a full one, and remove the whole directory when nothing
// in it is owed. No compaction, no value log, no tombstones.
//
// Badger has a memtable in memory and a journal of it on disk. It would make a table of them
// when the memtable is full, at closing, and of a journal that it finds at opening; all that
// in goroutines of its own and through mappings. Here a handle is closed before its memtable
// is full, closing leaves the journal (journal.go), and a journal becomes a table before the
// directory is opened again, or sealed (table.go): with system calls, in the goroutine that
// wants it, byte for byte as Badger would have made it.
//
// The second Badger database, meta, is a checkpoint of the state: it is written
// when a segment is sealed, when a megabyte of changes has gathered, and at
// Close. Its last transaction holds the number of the page up to which it is
// complete. There are two copies; one is written to only while the other is whole, and
// one in which a checkpoint was begun and not finished is made anew. Opening loads meta
// and replays the changes of the pages above; each sets or clears one keyed fact, so that
// doing it twice is harmless. A large fact is stored in parts (fact.go).
//
// # Formats
//
// The checkpoint says in which format the store is. A program reads those of all
// earlier ones and brings the state to its own when it opens the store, one copy of
// meta after the other, each made anew (upgrade.go), so that a kill in the midst of it
// leaves a store for one of the two programs at least: for the old one until the second
// copy is begun, for the new one always. A newer format is refused.
//
// # Closure
//
// A group commit takes every entry of the tail that is due or owed to somebody
// who is not there. With an entry it takes all earlier entries that are owed to
// one of its receivers (one pass backwards). So for every receiver the order of
// pages is the order of sequence numbers, what a receiver finds on disk always
// precedes what it finds in the tail, and a message that is owed only to
// receivers who keep up is not written because somebody else is offline.
//
// # Positions
//
// What a receiver has paid is a position (everything up to it), a sparse set
// above it, and the count of what it paid in the oldest segment that it still
// needs. Positions of those who paid something that is on disk ride in every
// group; where no group comes about, they are written after a number of payments
// without a sync of their own: as many as a client may have under way, or a quarter of
// the window of an uplink, which may be 1,000. A kill repeats as much at most, and what
// was under way; a power cut at most what the kernel had not written yet. A receiver
// that owes nothing on disk costs no write.
//
// # What is marked as sent before
//
// After Rewind: everything that had been handed out. After a restart: what had
// been handed out by the last position on disk, and (when the log was not closed
// cleanly) one window more.
//
// # Promises
//
// A message may promise less than the store does, or more. One for memory is settled
// by Append; one that is to be written, by its group; one that is to be synced, by
// the sync of its group, which takes all along that was written before without one.
// So what a power cut leaves is a prefix whatever was promised.
//
// # What a commit costs
//
// Groups share a sync, so that what counts under load is the page, not the sync. A
// publisher that waits for each acknowledgement pays all of it. Where that goes was
// traced (system calls, scheduler and block device; medians in us on two cores, of
// several runs of 800 messages with a client of its own in C, of which the whole took
// 550 to 790):
//
//	PUBLISH written until the loop reads it         28 to 73
//	read until the committer begins                 33 to 53
//	room, page and transaction, journal written     65 to 100
//	fdatasync                                       245 to 365
//	synced until the PUBACK is written              27 to 66, a tenth of them 75 to 250
//	PUBACK written until the client has it          27 to 82
//
// The work in it is small: with warm caches the page takes 9, the transaction 18, the
// look at the room and for a new journal 4. After a pause of a millisecond it is 30, 85
// and 15. What costs is to fall asleep and to be woken: on that (virtual) machine a
// thread on the other processor, when that is idle, runs 40 to 60 us after it was woken,
// in bad times 180, and the waking itself takes 14; on the same processor it is 3 to 7.
// The disk pays for a pause, too: a bare write and fdatasync take 190 to 240 without one
// and 230 to 300 on average after one of 200 us (370 after a millisecond); with messages
// one at a time there is always one. So we are at 0.31 to 0.44 of the disk's rate. A
// broker that would add Mosquitto's way from memory and the sync after a pause and nothing
// else is at 0.5 to 0.75; if our loop did all itself, which must not wait for a disk, and
// all were warm, it would be at two thirds. From memory our own way takes as long as
// Mosquitto's. With a sync of one millisecond or more, as memory
// cards have it, all this is in its shadow.
//
// What was tried, in pairs by turns:
//
//   - The scheduler's watchdog (sysmon) is woken by the first system call after all was
//     idle, and then looks every 20 us (here, every 80): a seventh of the processor time,
//     and it gets in the way. Where the kernel lets its timer come half a millisecond
//     later, a message takes 0.83 of the time and 0.73 of the processor. A process can't
//     say that for a thread that it does not run as; said for all (TimerSlackNSec= of
//     systemd), it would make the silences on serial lines longer. That is left to those
//     who have none.
//   - To make the loop ready from the committer (by a deadline of its poller) instead of
//     through an event: from the sync to the PUBACK a tenth took 52 us instead of 130, and
//     the whole 0.94 to 0.99 of the mean, 1.00 of the median. But a caller that goes on
//     working keeps the loop waiting until another thread has taken it over.
//   - To look at the room once in 10 ms: 0.96 to 1.00. To keep the committer awake between
//     groups: lost in the noise. One processor for Go: the same.
//   - A journal of zeros that were written before, so that no block is new: the same in
//     the median, for twice the bytes.
//   - Its own writing of the journal would save Badger's part, and be a second log.
//
// # Looks
//
// Browse, Check and GiveUp work beside the Fetches of receivers, in small steps
// that take turns with them, so that a tool may look at the store of a gateway at
// work. A look hands nothing out.
//
// # Histories
//
// A receiver of HistoryPriority never comes. What is owed to it expires, or gives
// way before anything else; so a bridge's rule keeps what it has delivered, and no
// body is stored twice.
//
// # Times
//
// Order is by number and age by the time since boot, so that a clock that jumps
// changes neither. What is from an earlier boot, of which no clock tells how long ago
// that was, is as old as this boot at least. What was received in this boot before the
// clock was known gets its right time on the way out, once it is.
//
// # When things go wrong
//
//   - A failed write or sync ends that handle. Nothing of the group is
//     acknowledged; the segment is closed, opened again, and the group is written
//     anew from the tail. The state is "failed" meanwhile.
//   - Below the free-space watermark nothing is written at all. Somebody else may take
//     that room in any moment: so nothing is written through a mapping but the first page
//     of the files with which Badger opens a database, where that is an error as well
//     (openGuarded), since a mapping that finds no room ends the process. The state
//     is "full"; it heals within a second. What is on disk stays: on_full is for
//     the budget, which is never more than the disk offered when it had room.
//     New messages that need the disk are refused, the others pass through memory.
//   - Room is what the file system says, no more than the quota, and none when
//     files run out. On btrfs, which tells nobody about its limits, it is tried.
//   - A disk that hangs keeps the committer waiting, and the loop goes on, because the
//     journal is written with system calls: what Badger writes to its mapping is memory
//     (takeover_linux.go); tables are written so, too. The exceptions are mapped files still: a
//     thread that waits for a page of one can not be stopped, a collection that begins then
//     waits for it, and everybody for the collection. That is so for opening a database,
//     once for every 2 MB of pages; and for the reader, where a page of a table has to come
//     from a disk that gives nothing. A file system that is frozen lets it read.
//   - A disk that has not answered for hangsAfter is told ("hangs"), and after
//     refusesAfter what has to be kept is refused.
//   - A disk that does not even let the store be opened (full, read-only, failing:
//     MayHeal) is bridged by a log without a disk (OpenWithout), which knows
//     nothing of what is owed and keeps nothing. The broker then refuses what nobody
//     there is owed. What the uplink has taken is acknowledged: a session that is
//     away, and that only the store knows, does not get it. To refuse all would end
//     the pass-through with a broken card, and to keep it in memory for a store that
//     may never open would promise what a kill takes away. So it is told instead, in
//     the log, the status and weir/<gateway>/health.
//   - What cannot be read is never deleted. A damaged segment is moved to
//     quarantine, what it owed is counted as unreadable, and the rest goes on. Damage
//     in the journal of a store that was killed looks like the place at which a power
//     cut has torn it, unless a group is behind it that was begun when all before it
//     was durable, which its pages say: then what is behind is kept, and the journal
//     goes to quarantine. Damage in the last such group is taken for torn. A page that
//     is found so has the tag of its segment, which no publisher knows.
//   - A file or directory of which the file system makes no sense (unreadable: EIO,
//     EUCLEAN, EBADMSG) is damage of its segment, or of its copy of the state. It
//     counts as such when the disk was asked twice, and nothing is set aside on its
//     account unless the disk takes a file and gives it back: where everything fails,
//     all stays where it is, and Open with it (MayHeal). A directory that can not even
//     be moved is left, told and counted at each opening; numbers that may have been
//     given out in it are never given out again, and a copy of the state is made beside
//     it, under another name. What all of the store needs, its own directory, LOCK and
//     the ring, has no such way out: the gateway runs without its store until the file
//     system was checked. So it does where the kernel makes the file system read-only
//     because of what it found (errors=remount-ro).
//   - A sector that the disk does not give any more is a fault of the mapping through
//     which Badger reads. It is damage of that page, or of that copy of the state, whose
//     part the other one takes. A fault in what Badger reads in goroutines of its own,
//     at opening, still ends the process; what can be is looked at before, and a marker
//     counts attempts (check.go).
package storage
