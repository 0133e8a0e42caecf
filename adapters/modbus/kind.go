package modbus

import (
	"fmt"
	"strconv"
	"strings"
)

// kind says how the registers of a point are to be understood.
type kind uint8

const (
	kindBool   kind = iota // a bit; a whole register is true unless it is 0
	kindInt8               // the low byte of a register
	kindInt8H              // the high byte
	kindUint8              //
	kindUint8H             //
	kindInt16
	kindUint16
	kindInt32
	kindUint32
	kindInt64
	kindUint64
	kindFloat16
	kindFloat32
	kindFloat64
	kindBCD16 // four decimal digits
	kindBCD32 // eight
	kindString
	kindStringL // one character a register, in its low byte
	kindStringH // in its high byte
)

// kinds gives each its name in the configuration and its size.
var kinds = [...]struct {
	name      string
	registers uint16
}{
	kindBool: {"bool", 1}, kindInt8: {"int8", 1}, kindInt8H: {"int8h", 1}, kindUint8: {"uint8", 1}, kindUint8H: {"uint8h", 1},
	kindInt16: {"int16", 1}, kindUint16: {"uint16", 1}, kindInt32: {"int32", 2}, kindUint32: {"uint32", 2},
	kindInt64: {"int64", 4}, kindUint64: {"uint64", 4},
	kindFloat16: {"float16", 1}, kindFloat32: {"float32", 2}, kindFloat64: {"float64", 4},
	kindBCD16: {"bcd16", 1}, kindBCD32: {"bcd32", 2}, kindString: {"string", 0},
	kindStringL: {"stringl", 0}, kindStringH: {"stringh", 0},
}

// numeric says whether scale, offset, min and max have a meaning.
func (k kind) numeric() bool { return k != kindBool && !k.text() }

func (k kind) text() bool { return k >= kindString }

// integer says whether values are whole numbers.
func (k kind) integer() bool {
	return k.numeric() && k != kindFloat16 && k != kindFloat32 && k != kindFloat64
}

// parseKind reads a type; length is the bytes of a string(n). The empty type is
// the natural one of the register: bool for a bit, else uint16.
func parseKind(s string, r register) (k kind, length uint16, err error) {
	if s == "" {
		if r.table.bits() || r.bit != noBit {
			return kindBool, 0, nil
		}
		return kindUint16, 0, nil
	}
	if name, inner, ok := strings.Cut(s, "("); ok && strings.HasPrefix(name, "string") {
		return parseText(s, name, inner)
	}
	for k := range kinds {
		if kinds[k].name == s && !kind(k).text() {
			return kind(k), 0, nil
		}
	}
	return 0, 0, fmt.Errorf("type (%q) must be one of %s", s, strings.Join(Types(), ", "))
}

// parseText reads "string(12)" and its kin.
func parseText(s, name, inner string) (k kind, length uint16, err error) {
	for k = kindString; int(k) < len(kinds) && kinds[k].name != name; {
		k++
	}
	most := maxRegisters
	if k == kindString {
		most = 2 * maxRegisters
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(inner, ")"), 10, 16)
	if err != nil || n < 1 || int(n) > most || !strings.HasSuffix(inner, ")") || int(k) == len(kinds) {
		return 0, 0, fmt.Errorf("type (%q) must be string(n) with n from 1 to %d bytes, or stringl(n) or stringh(n) with one byte a register, up to %d", s, 2*maxRegisters, maxRegisters)
	}
	return k, uint16(n), nil
}

// Types lists the names of all types, as the configuration has them.
func Types() []string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		if k.registers == 0 {
			k.name += "(n)"
		}
		names = append(names, k.name)
	}
	return names
}
