package storage

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
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

// journalEntries gives the entries of all whole transactions in a journal, up to where it
// is torn: what Badger would replay. In the journal of a segment, whose pages have a tag,
// damaged says that there was damage before that; then what is behind it counts, too,
// which Badger would drop.
//
// Torn is what a power cut has left of what was not durable. Of that the disk may have any
// part, also a later one without an earlier. But a group that says that all before it was
// durable when it was begun (pageInfo) can not be behind something torn.
func journalEntries(journal []byte, tag uint64) (entries []journalEntry, damaged bool) {
	entries, rest := transactions(journal[min(journalHeader, len(journal)):])
	if tag == tagNone {
		return entries, false
	}
	if i := slices.IndexFunc(entries, journalEntry.isPage); i >= 0 { // a registry can be damaged, too
		tag = tagOf(binary.BigEndian.Uint64(entries[i].value[16:]))
	}
	search := pageSearch{rest: rest, left: searchMost}
	var behind []journalEntry // not known yet what
	for found := search.next(); found != nil; found = search.next() {
		pages, proof := pagesOfJournal(found, tag)
		if behind = append(behind, pages...); proof {
			entries, behind, damaged = append(entries, behind...), nil, true
		}
		damaged = damaged || tag == tagUnknown && slices.ContainsFunc(found, journalEntry.beginsBehind)
	}
	return entries, damaged || search.left <= 0
}

// transactions reads whole ones, up to the first that is not; rest begins with that. One
// ends with an entry that tells its version, which those before it have in their keys.
func transactions(b []byte) (entries []journalEntry, rest []byte) {
	var version uint64 // of the transaction under way, 0: none
	whole := 0
	rest = b
	for {
		e, n := parseEntry(b)
		if n == 0 || !entryIsWhole(b[:n]) {
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
		whole, rest = len(entries), b
	}
	return entries[:whole], rest
}

func entryIsWhole(b []byte) bool {
	return binary.BigEndian.Uint32(b[len(b)-entrySum:]) == crc32.Checksum(b[:len(b)-entrySum], castagnoli)
}

// What a page and its chunks have for a key, with Badger's version behind it.
const (
	versionLen  = 8
	pageKeyLen  = 1 + 8 + versionLen
	chunkKeyLen = pageKeyLen + 4
)

// pageSearch looks for transactions with pages in what is left of a journal.
type pageSearch struct {
	rest []byte
	left int // bytes that may be summed up
}

// searchMost bounds the search. Whoever chooses what is in a page could else make of each
// byte the beginning of a large entry.
const searchMost = 64 << 20

// next gives some that stand behind each other, nil at the end.
func (p *pageSearch) next() (found []journalEntry) {
	for p.left > 0 {
		at := bytes.IndexByte(p.rest, entryInTxn)
		if at < 0 {
			return nil
		}
		p.rest = p.rest[at:]
		if p.begins() {
			if found, rest := transactions(p.rest); len(found) > 0 {
				p.rest = rest
				return found
			}
		}
		p.rest = p.rest[1:]
	}
	return nil
}

// begins says whether the entry of a page, or of a chunk of one, begins here.
func (p *pageSearch) begins() bool {
	b := p.rest
	if len(b) < 3 || b[1] != 0 || b[2] != pageKeyLen && b[2] != chunkKeyLen {
		return false
	}
	e, n := parseEntry(b)
	if n == 0 || e.expires != 0 || e.key[0] != pageKeyKind || len(e.value) >= segmentThreshold {
		return false
	}
	p.left -= n
	return entryIsWhole(b[:n])
}

// pagesOfJournal gives those of the entries that make pages, each with all of its chunks
// before it. proof says that one of them begins a group when all before it was durable.
//
// The search looks into pages that are torn or damaged, too, where there may be anything
// that a publisher has sent, also what looks like an entry. The tag, which nobody knows,
// tells what we have written.
func pagesOfJournal(found []journalEntry, tag uint64) (pages []journalEntry, proof bool) {
	for i, e := range found {
		if !e.isPage() {
			continue
		}
		v := e.value
		n, chunks := binary.BigEndian.Uint64(e.key[1:]), int(binary.BigEndian.Uint32(v[68:]))
		if binary.BigEndian.Uint64(v[8:]) != n || tagOf(binary.BigEndian.Uint64(v[16:])) != tag || !areChunks(found[:i], n, chunks) {
			continue
		}
		pages = append(pages, found[i-chunks:i+1]...)
		proof = proof || e.beginsBehind()
	}
	return pages, proof
}

// isPage says whether the entry is a page, or the head of one.
func (e journalEntry) isPage() bool {
	return len(e.key) == pageKeyLen && len(e.value) >= pageHeader && string(e.value[:4]) == pageMagic
}

// beginsBehind says whether it is the first page of a group that was begun when all before
// it was durable.
func (e journalEntry) beginsBehind() bool {
	return e.isPage() && e.value[7]&flagBehind != 0 && binary.BigEndian.Uint32(e.value[24:]) == 0
}

// areChunks says whether the last of the entries are the chunks of a page.
func areChunks(entries []journalEntry, n uint64, chunks int) bool {
	if chunks > len(entries) {
		return false
	}
	for i, e := range entries[len(entries)-chunks:] {
		if !bytes.Equal(y.ParseKey(e.key), chunkKey(n, uint32(i+1))) {
			return false
		}
	}
	return true
}
