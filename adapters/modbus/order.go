package modbus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Order is the order of the bytes of a value in its registers, where A is the
// most significant byte. A value of four registers goes on in the same manner:
// ABCD is ABCDEFGH, CDAB is GHEFCDAB, BADC is BADCFEHG, DCBA is HGFEDCBA. It may
// also be given in full, which has four more: those in which only the halves
// change places, or only the registers within each half.
type Order string

// The orders.
const (
	ABCD Order = "ABCD" // as the standard has it: the high byte and the high register first
	CDAB Order = "CDAB" // the low register first
	BADC Order = "BADC" // the low byte first
	DCBA Order = "DCBA" // both
)

// exchanges is what changes places in an order: the bytes of each register, the
// registers of each half, the halves.
type exchanges struct{ bytes, words, halves bool }

// orders are all there are.
var orders = map[Order]exchanges{
	"ABCD":     {},
	"CDAB":     {words: true, halves: true},
	"BADC":     {bytes: true},
	"DCBA":     {true, true, true},
	"ABCDEFGH": {},
	"GHEFCDAB": {words: true, halves: true},
	"BADCFEHG": {bytes: true},
	"HGFEDCBA": {true, true, true},
	"EFGHABCD": {halves: true},
	"CDABGHEF": {words: true},
	"FEHGBADC": {bytes: true, halves: true},
	"DCBAHGFE": {bytes: true, words: true},
}

// Orders lists the names of all orders: the four first.
func Orders() []Order {
	names := make([]Order, 0, len(orders))
	for o := range orders {
		names = append(names, o)
	}
	slices.SortFunc(names, func(a, b Order) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	return names
}

func (o Order) validate() error {
	if _, known := orders[cmp.Or(o, ABCD)]; known {
		return nil
	}
	var names []string
	for _, o := range Orders() {
		names = append(names, string(o))
	}
	return fmt.Errorf("order (%q) must be one of %s", string(o), strings.Join(names, ", "))
}

// arrange turns registers as they are on the wire into ABCD, or back: each step
// is its own inverse. Text has no low register, so only its bytes are swapped.
func (swap exchanges) arrange(b []byte, text bool) {
	if swap.bytes {
		exchangeRuns(b, 1)
	}
	if text {
		return
	}
	if swap.words {
		exchangeRuns(b, 2)
	}
	if swap.halves {
		exchangeRuns(b, 4)
	}
}

// exchangeRuns exchanges each run of n bytes with the next.
func exchangeRuns(b []byte, n int) {
	for ; len(b) >= 2*n; b = b[2*n:] {
		for i := range n {
			b[i], b[n+i] = b[n+i], b[i]
		}
	}
}
