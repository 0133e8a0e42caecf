package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
)

// A page is one value in a segment:
//
//	 0  "WEPG"
//	 4  version  1
//	 5  codec of the index section, codec of the messages section
//	 7  flags    1: last of its group
//	             2: what was written before its group was durable when that was begun
//	 8  page number
//	16  group    the tag of the segment (5 bytes) and a random number (3), the same for
//	             all pages of one group commit
//	24  place in the group            u32
//	28  number of messages            u32
//	32  seq base: below all of its messages
//	40  seq mark: no seq above it had been given out
//	48  index: stored length, raw length       u32 u32
//	56  messages: stored length, raw length    u32 u32
//	64  CRC-32C of all but this field          u32
//	68  chunks that follow in entries of their own
//	72  index section, messages section
const (
	pageMagic   = "WEPG"
	pageVersion = 1
	pageHeader  = 72

	codecNone = 0
	codecZstd = 1

	flagLast   = 1
	flagBehind = 2
)

// What a page may hold. A single message may be larger than pageRaw; then it
// has a page of its own.
const (
	pageRaw      = 128 << 10
	pageMessages = 1000
	sectionMax   = 64 << 20 // no section is larger: a longer one is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pageInfo is the header of a page.
type pageInfo struct {
	page     uint64
	group    uint64
	place    uint32
	last     bool
	behind   bool // all that was written before its group was durable when that was begun
	messages uint32
	base     uint64
	mark     uint64
}

// tagBits are those of a group that are random. The others are the tag of its segment.
const tagBits = 24

func tagOf(group uint64) uint64 { return group >> tagBits }

// newGroup gives an id to a group. It need only differ from that of a group whose numbers
// are used again.
func newGroup(tag uint64) uint64 { return tag<<tagBits | rand.Uint64N(1<<tagBits) }

// Tags that no segment has.
const (
	tagNone    = 0                   // the directory has no pages
	tagUnknown = 1 << (64 - tagBits) // of a segment that has lost its tag, or has none yet
)

// readTag gives the tag of the segment in a directory: what is random in the registry of
// keys that Badger makes for each database, and of no use otherwise.
func readTag(dir string, s *seam) (uint64, error) {
	path := filepath.Join(dir, badger.KeyRegistryFileName)
	b, err := s.readFile(path)
	switch {
	case os.IsNotExist(err):
		return tagUnknown, nil
	case err != nil:
		return tagUnknown, s.blame(path, fmt.Errorf("read key registry: %w", err))
	case len(b) < 8:
		return tagUnknown, nil
	}
	return tagOf(binary.BigEndian.Uint64(b)), nil
}

// errDamaged: the bytes are not those that were written.
var errDamaged = errors.New("page is damaged")

// codec compresses and expands sections. It belongs to one goroutine.
type codec struct {
	enc      *zstd.Encoder
	dec      *zstd.Decoder
	expanded []byte // memory for the next section
}

// zstdWindow keeps the memory of encoder and decoder small; a page is hardly larger.
const zstdWindow = 128 << 10

func newEncoder() (*codec, error) {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return &codec{enc: enc}, nil
}

func newDecoder() (*codec, error) {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(sectionMax))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &codec{dec: dec}, nil
}

func (c *codec) close() {
	if c.enc != nil {
		c.enc.Close()
	}
	if c.dec != nil {
		c.dec.Close()
	}
}

// compressFrom is the length from which compressing is worth a try.
const compressFrom = 128

// appendSection appends raw, compressed where that makes it smaller.
func (c *codec) appendSection(b, raw []byte) (out []byte, kind byte) {
	if len(raw) < compressFrom {
		return append(b, raw...), codecNone
	}
	out = c.enc.EncodeAll(raw, b)
	if len(out)-len(b) < len(raw) {
		return out, codecZstd
	}
	return append(b, raw...), codecNone
}

// section expands a stored section. The result is valid until the next, and aliases
// the stored one where that is not compressed.
func (c *codec) section(stored []byte, kind byte, raw uint32) ([]byte, error) {
	if raw > sectionMax {
		return nil, fmt.Errorf("%w: section of %d bytes", errDamaged, raw)
	}
	switch kind {
	case codecNone:
		if uint64(len(stored)) != uint64(raw) {
			return nil, fmt.Errorf("%w: section length", errDamaged)
		}
		return stored, nil
	case codecZstd:
		out, err := c.dec.DecodeAll(stored, c.expanded[:0])
		if err != nil || uint64(len(out)) != uint64(raw) {
			return nil, fmt.Errorf("%w: section does not expand", errDamaged)
		}
		if cap(out) <= 2*pageRaw {
			c.expanded = out
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%w: codec %d", errDamaged, kind)
	}
}

// appendPage encodes a page from its raw sections.
func (c *codec) appendPage(b []byte, p pageInfo, index, messages []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, pageHeader)...)
	b, indexCodec := c.appendSection(b, index)
	indexStored := len(b) - start - pageHeader
	b, bodyCodec := c.appendSection(b, messages)
	bodyStored := len(b) - start - pageHeader - indexStored

	h := b[start : start+pageHeader]
	copy(h, pageMagic)
	h[4], h[5], h[6] = pageVersion, indexCodec, bodyCodec
	if p.last {
		h[7] |= flagLast
	}
	if p.behind {
		h[7] |= flagBehind
	}
	binary.BigEndian.PutUint64(h[8:], p.page)
	binary.BigEndian.PutUint64(h[16:], p.group)
	binary.BigEndian.PutUint32(h[24:], p.place)
	binary.BigEndian.PutUint32(h[28:], p.messages)
	binary.BigEndian.PutUint64(h[32:], p.base)
	binary.BigEndian.PutUint64(h[40:], p.mark)
	binary.BigEndian.PutUint32(h[48:], uint32(indexStored))
	binary.BigEndian.PutUint32(h[52:], uint32(len(index)))
	binary.BigEndian.PutUint32(h[56:], uint32(bodyStored))
	binary.BigEndian.PutUint32(h[60:], uint32(len(messages)))
	binary.BigEndian.PutUint32(h[64:], pageSum(b[start:]))
	return b
}

// pageSum covers everything but the sum itself and the count of chunks, which
// only says how the bytes are laid out in the segment.
func pageSum(page []byte) uint32 {
	sum := crc32.Update(0, castagnoli, page[:64])
	return crc32.Update(sum, castagnoli, page[pageHeader:])
}

// page is a page whose sum is right.
type page struct {
	pageInfo
	index indexRecord
	codec byte
	body  []byte // stored messages section, aliases the input
	raw   uint32
}

// parsePage checks a page and decodes all of it but the messages.
func (c *codec) parsePage(b []byte) (page, error) {
	if len(b) < pageHeader || string(b[:4]) != pageMagic {
		return page{}, fmt.Errorf("%w: no page", errDamaged)
	}
	if b[4] != pageVersion {
		return page{}, fmt.Errorf("%w: version %d", errDamaged, b[4])
	}
	indexLen, bodyLen := binary.BigEndian.Uint32(b[48:]), binary.BigEndian.Uint32(b[56:])
	if uint64(len(b)) != pageHeader+uint64(indexLen)+uint64(bodyLen) {
		return page{}, fmt.Errorf("%w: length", errDamaged)
	}
	if pageSum(b) != binary.BigEndian.Uint32(b[64:]) {
		return page{}, fmt.Errorf("%w: checksum", errDamaged)
	}
	p := page{
		pageInfo: pageInfo{
			page:     binary.BigEndian.Uint64(b[8:]),
			group:    binary.BigEndian.Uint64(b[16:]),
			place:    binary.BigEndian.Uint32(b[24:]),
			last:     b[7]&flagLast != 0,
			behind:   b[7]&flagBehind != 0,
			messages: binary.BigEndian.Uint32(b[28:]),
			base:     binary.BigEndian.Uint64(b[32:]),
			mark:     binary.BigEndian.Uint64(b[40:]),
		},
		codec: b[6],
		body:  b[pageHeader+indexLen:],
		raw:   binary.BigEndian.Uint32(b[60:]),
	}
	index, err := c.section(b[pageHeader:pageHeader+indexLen], b[5], binary.BigEndian.Uint32(b[52:]))
	if err != nil {
		return page{}, err
	}
	if rest, err := p.index.UnmarshalMsg(index); err != nil || len(rest) > 0 {
		return page{}, fmt.Errorf("%w: index", errDamaged)
	}
	return p, nil
}
