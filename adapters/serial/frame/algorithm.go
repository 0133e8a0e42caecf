package frame

import (
	"hash/crc32"
	"math/bits"
)

// algorithm is a way to sum bytes.
type algorithm struct {
	kind   string
	size   int // of the sum, in bytes
	little bool
	sum    func([]byte) uint32
}

// algorithms are all that there are, by their names in the configuration.
func algorithms() []algorithm {
	return []algorithm{
		{"xor", 1, false, xor},
		{"sum8", 1, false, func(b []byte) uint32 { return sum(b) & 0xff }},
		{"lrc", 1, false, func(b []byte) uint32 { return -sum(b) & 0xff }},
		{"crc8", 1, false, crc8(0x07)},
		{"crc8-maxim", 1, false, crc8Reflected(0x31)},
		{"sum16", 2, false, func(b []byte) uint32 { return sum(b) & 0xffff }},
		{"crc16-modbus", 2, true, crc16{0x8005, 0xffff, 0, true}.function()},
		{"crc16-arc", 2, true, arc().function()},
		{"crc16-ccitt", 2, false, crc16{0x1021, 0xffff, 0, false}.function()},
		{"crc16-xmodem", 2, false, crc16{0x1021, 0, 0, false}.function()},
		{"crc16-aug", 2, false, crc16{0x1021, 0x1d0f, 0, false}.function()},
		{"crc16-kermit", 2, true, crc16{0x1021, 0, 0, true}.function()},
		{"crc16-x25", 2, true, x25().function()},
		{"crc32", 4, true, crc32.ChecksumIEEE},
	}
}

// algorithm is that of c's kind.
func (c Sum) algorithm() (algorithm, bool) {
	for _, a := range algorithms() {
		if a.kind == c.Kind {
			return a, true
		}
	}
	return algorithm{}, false
}

func xor(b []byte) (sum uint32) {
	for _, c := range b {
		sum ^= uint32(c)
	}
	return sum
}

func sum(b []byte) (sum uint32) {
	for _, c := range b {
		sum += uint32(c)
	}
	return sum
}

func crc8(poly uint8) func([]byte) uint32 {
	return func(b []byte) uint32 {
		crc := uint8(0)
		for _, c := range b {
			crc ^= c
			for range 8 {
				crc = crc<<1 ^ poly*(crc>>7)
			}
		}
		return uint32(crc)
	}
}

// crc8Reflected takes the low bit of each byte first.
func crc8Reflected(poly uint8) func([]byte) uint32 {
	poly = bits.Reverse8(poly)
	return func(b []byte) uint32 {
		crc := uint8(0)
		for _, c := range b {
			crc ^= c
			for range 8 {
				crc = crc>>1 ^ poly*(crc&1)
			}
		}
		return uint32(crc)
	}
}

// crc16 is the parameters of a CRC of 16 bits, in the terms of the catalogues.
type crc16 struct {
	poly, init, xorOut uint16
	reflected          bool // low bit of each byte first
}

func arc() crc16 { return crc16{0x8005, 0, 0, true} }

func x25() crc16 { return crc16{0x1021, 0xffff, 0xffff, true} }

// function makes the function, over a table.
func (c crc16) function() func([]byte) uint32 {
	var table [256]uint16
	for i := range table {
		if c.reflected {
			table[i] = c.reflectedEntry(uint16(i))
		} else {
			table[i] = c.entry(uint16(i) << 8)
		}
	}
	return func(b []byte) uint32 {
		crc := c.init
		for _, v := range b {
			if c.reflected {
				crc = crc>>8 ^ table[byte(crc)^v]
			} else {
				crc = crc<<8 ^ table[byte(crc>>8)^v]
			}
		}
		return uint32(crc ^ c.xorOut)
	}
}

func (c crc16) entry(v uint16) uint16 {
	for range 8 {
		v = v<<1 ^ c.poly*(v>>15)
	}
	return v
}

func (c crc16) reflectedEntry(v uint16) uint16 {
	poly := bits.Reverse16(c.poly)
	for range 8 {
		v = v>>1 ^ poly*(v&1)
	}
	return v
}
