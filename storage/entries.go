package storage

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"

	"github.com/dgraph-io/badger/v4/y"
)

// Badger's journal: a header, and entries, each with a head of at most entryHead bytes:
//
//	meta | user meta | key length, value length, expiry: uvarint | key | value | sum
//
// Behind the last one are zeros.
const (
	journalHeader = 20
	entryHead     = 22
	entrySum      = 4
	longestKey    = 1<<16 - 1
	entryPoints   = 1 << 1 // in meta: the value is a place in the value log
	entryInTxn    = 1 << 6
	entryEndsTxn  = 1 << 7
)

// journalEntry is one of them. Its bytes are the journal's.
type journalEntry struct {
	meta, userMeta byte
	expires        uint64
	key, value     []byte
}

// inValueLog is how many bytes the entry has in the value log. The place of a value is its
// file, length and offset, each an u32 as the machine has it.
func (e journalEntry) inValueLog() uint32 {
	if e.meta&entryPoints == 0 || len(e.value) != 12 {
		return 0
	}
	return binary.NativeEndian.Uint32(e.value[4:])
}

// parseEntry reads the entry that begins here, and gives its length, 0 when there is none.
func parseEntry(b []byte) (e journalEntry, size int) {
	if len(b) < entryHead+entrySum {
		return e, 0
	}
	at := 2
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(b[at:entryHead])
		if n <= 0 {
			return e, 0
		}
		numbers[i], at = v, at+n
	}
	key, value, room := numbers[0], numbers[1], uint64(len(b)-at-entrySum)
	if key == 0 || key > longestKey || value > room || key > room-value {
		return e, 0
	}
	end := at + int(key+value)
	e = journalEntry{meta: b[0], userMeta: b[1], expires: numbers[2], key: b[at : at+int(key)], value: b[at+int(key) : end]}
	return e, end + entrySum
}

// journalEnd finds the end of the entries that begin at an offset. whole says that the
// last of them is one that ends a transaction.
func journalEnd(b []byte, at int) (end int, whole bool) {
	for {
		e, n := parseEntry(b[at:])
		if n == 0 {
			return at, whole
		}
		whole = e.meta&entryEndsTxn != 0
		at += n
	}
}

// journalEntries gives the entries of all whole transactions in a journal, up to the first
// that is torn or damaged: what Badger would replay. A transaction ends with an entry that
// tells its version, which those before it have in their keys.
func journalEntries(journal []byte) (entries []journalEntry) {
	var version uint64 // of the transaction under way, 0: none
	whole := 0
	for b := journal[min(journalHeader, len(journal)):]; ; {
		e, n := parseEntry(b)
		if n == 0 || binary.BigEndian.Uint32(b[n-entrySum:]) != crc32.Checksum(b[:n-entrySum], castagnoli) {
			break
		}
		b = b[n:]
		if e.meta&entryInTxn != 0 {
			of := y.ParseTs(e.key)
			if version != 0 && version != of {
				break
			}
			version, entries = of, append(entries, e)
			continue
		}
		if e.meta&entryEndsTxn != 0 {
			if of, err := strconv.ParseUint(string(e.value), 10, 64); err != nil || of != version {
				break
			}
			version = 0
		} else if version != 0 {
			break
		} else {
			entries = append(entries, e)
		}
		whole = len(entries)
	}
	return entries[:whole]
}
