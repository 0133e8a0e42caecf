package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"

	"github.com/dgraph-io/badger/v4"
)

// fact is a key with its new value, or without one.
type fact struct {
	key, value []byte
	deleted    bool
}

// A topic may be longer than a key of Badger's. Long keys are stored as a hash,
// behind the part by which they are looked for, and stand whole in the value.
const (
	longKey    = 1000
	keyPrefix  = 9    // kind and receiver
	hashedMark = 0xff // is in no topic, and in no key that is not hashed
)

func storedKey(key []byte) []byte {
	if len(key) <= longKey {
		return key
	}
	hash := sha256.Sum256(key)
	return append(append(bytes.Clone(key[:keyPrefix]), hashedMark), hash[:]...)
}

// A large fact is stored in parts, each under a key of its own, and a head that has their
// number: one transaction does not take more than 150 kB, and what Badger would put into
// its value log it would write through a mapping.
const (
	partSize  = 64 << 10
	inParts   = 1 << 31 // in the length of the long key: this is a head
	mostParts = 1 << 13 // for which memory is made ready: no packet is larger
)

func partKey(stored []byte, n uint32) []byte {
	hash := sha256.Sum256(stored)
	return binary.BigEndian.AppendUint32(append([]byte{keyPart}, hash[:]...), n)
}

// encodeFact gives what is stored under the key, and what under the keys of its parts.
func encodeFact(key, value []byte) (head []byte, parts [][]byte) {
	stored, long := storedKey(key), uint32(0)
	content := value
	if len(key) > longKey {
		content, long = append(bytes.Clone(value), key...), uint32(len(key))
	}
	if len(content) <= partSize {
		return frame(stored, content, long), nil
	}
	for n := uint32(0); len(content) > 0; n++ {
		size := min(partSize, len(content))
		parts = append(parts, frame(partKey(stored, n), content[:size], 0))
		content = content[size:]
	}
	return frame(stored, binary.BigEndian.AppendUint32(nil, uint32(len(parts))), inParts|long), parts
}

// frame appends to the content of an entry the length of the long key that stands at its
// end, and the sum.
func frame(stored, content []byte, long uint32) []byte {
	out := append(make([]byte, 0, len(content)+frameTail), content...)
	out = binary.BigEndian.AppendUint32(out, long)
	return binary.BigEndian.AppendUint32(out, valueSum(stored, out))
}

const frameTail = 8

// unframe undoes frame.
func unframe(stored, framed []byte) (content []byte, long uint32, err error) {
	n := len(framed) - frameTail
	if n < 0 || binary.BigEndian.Uint32(framed[n+4:]) != valueSum(stored, framed[:n+4]) {
		return nil, 0, fmt.Errorf("%w: value in meta", errDamaged)
	}
	return framed[:n:n], binary.BigEndian.Uint32(framed[n:]), nil
}

func valueSum(stored, framed []byte) uint32 {
	return crc32.Update(crc32.Checksum(stored, castagnoli), castagnoli, framed)
}

// decodeFact undoes encodeFact; part gives one of the parts. Key and value are valid as
// long as what is given.
func decodeFact(stored, head []byte, part func(key []byte) ([]byte, error)) (key, value []byte, parts uint32, err error) {
	content, long, err := unframe(stored, head)
	if err != nil {
		return nil, nil, 0, err
	}
	if long&inParts != 0 {
		if content, parts, err = gather(stored, content, part); err != nil {
			return nil, nil, 0, err
		}
	}
	long &^= inParts
	switch cut := int64(len(content)) - int64(long); {
	case long == 0:
		return stored, content, parts, nil
	case cut < 0:
		return nil, nil, 0, fmt.Errorf("%w: key in meta", errDamaged)
	default:
		return content[cut:], content[:cut:cut], parts, nil
	}
}

// gather puts the parts of a fact together. What part gives is valid until it is called
// again.
func gather(stored, head []byte, part func(key []byte) ([]byte, error)) (content []byte, n uint32, err error) {
	if len(head) != 4 {
		return nil, 0, fmt.Errorf("%w: head in meta", errDamaged)
	}
	n = binary.BigEndian.Uint32(head)
	for i := range n {
		key := partKey(stored, i)
		framed, err := part(key)
		if err != nil {
			return nil, 0, err
		}
		piece, _, err := unframe(key, framed)
		if err != nil {
			return nil, 0, err
		}
		if content == nil { // at once, because to grow would cost more than all the rest
			content = make([]byte, 0, min(n, mostParts)*partSize)
		}
		content = append(content, piece...)
	}
	return content, n, nil
}

// getFact is nil for a key that is not set.
func getFact(txn *badger.Txn, key []byte) (value []byte, parts uint32, err error) {
	stored := storedKey(key)
	head, err := getEntry(txn, stored, nil)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	_, value, parts, err = decodeFact(stored, head, partsOf(txn))
	return value, parts, err
}

// partsOf reads parts, of which none may be missing.
func partsOf(txn *badger.Txn) func(key []byte) ([]byte, error) {
	var buf []byte
	return func(key []byte) ([]byte, error) {
		b, err := getEntry(txn, key, buf)
		if errors.Is(err, badger.ErrKeyNotFound) {
			err = fmt.Errorf("%w: a part is missing in meta", errDamaged)
		}
		buf = b
		return b, err
	}
}

// getEntry reads into buf, as far as that is large enough.
func getEntry(txn *badger.Txn, stored, buf []byte) ([]byte, error) {
	item, err := txn.Get(stored)
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	b, err := item.ValueCopy(buf)
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	return b, nil
}

// digest is a sum over facts, in any order.
type digest struct{ count, sum uint64 }

// factHash is FNV-1a, and from format 2 on every bit of it is mixed with every other: of
// facts that differ in their last byte alone, as counters do, sums of FNV-1a can be equal.
func factHash(format uint32, key, value []byte) uint64 {
	f := fnv.New64a()
	f.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	f.Write(key)
	f.Write(value)
	h := f.Sum64()
	if format < 2 {
		return h
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (d *digest) add(format uint32, key, value []byte) {
	d.count++
	d.sum += factHash(format, key, value)
}

func (d *digest) remove(format uint32, key, value []byte) {
	d.count--
	d.sum -= factHash(format, key, value)
}
