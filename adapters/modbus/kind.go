package modbus

import (
	"cmp"
	"fmt"
	"slices"
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
}

// numeric says whether scale, offset, min and max have a meaning.
func (k kind) numeric() bool { return k != kindBool && k != kindString }

// parseKind reads a type; length is the bytes of a string(n). The empty type is
// the natural one of the register: bool for a bit, else uint16.
func parseKind(s string, r register) (k kind, length uint16, err error) {
	if s == "" {
		if r.table.bits() || r.bit != noBit {
			return kindBool, 0, nil
		}
		return kindUint16, 0, nil
	}
	if inner, ok := strings.CutPrefix(s, "string("); ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(inner, ")"), 10, 16)
		if err != nil || n < 1 || n > 2*maxRegisters || !strings.HasSuffix(inner, ")") {
			return 0, 0, fmt.Errorf("type (%q) must be string(n) with n from 1 to %d bytes", s, 2*maxRegisters)
		}
		return kindString, uint16(n), nil
	}
	for k := range kinds {
		if kinds[k].name == s && kind(k) != kindString {
			return kind(k), 0, nil
		}
	}
	return 0, 0, fmt.Errorf("type (%q) must be one of %s", s, strings.Join(Types(), ", "))
}

// Types lists the names of all types, as the configuration has them.
func Types() []string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		if k.name == "string" {
			k.name = "string(n)"
		}
		names = append(names, k.name)
	}
	return names
}

// Order is the order of the bytes of a value in its registers, where A is the
// most significant byte. A value of four registers goes on in the same manner:
// ABCD is ABCDEFGH, CDAB is GHEFCDAB, BADC is BADCFEHG, DCBA is HGFEDCBA.
type Order string

// The orders.
const (
	ABCD Order = "ABCD" // as the standard has it: the high byte and the high register first
	CDAB Order = "CDAB" // the low register first
	BADC Order = "BADC" // the low byte first
	DCBA Order = "DCBA" // both
)

func (o Order) validate() error {
	switch cmp.Or(o, ABCD) {
	case ABCD, CDAB, BADC, DCBA:
		return nil
	}
	return fmt.Errorf("order (%q) must be ABCD, CDAB, BADC or DCBA", string(o))
}

// swapsBytes says whether the bytes within a register change places.
func (o Order) swapsBytes() bool { return o == BADC || o == DCBA }

// swapsWords says whether the low register comes first.
func (o Order) swapsWords() bool { return o == CDAB || o == DCBA }

// arrange turns registers as they are on the wire into ABCD, or back: each step
// is its own inverse. Text has no low register, so only its bytes are swapped.
func (o Order) arrange(b []byte, text bool) {
	if o.swapsBytes() {
		for i := 0; i+1 < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	if o.swapsWords() && !text {
		slices.Reverse(b)
		for i := 0; i+1 < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
}
