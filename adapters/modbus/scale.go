package modbus

import (
	"math"
	"strconv"
	"strings"
)

// scale is value = raw × factor + offset, computed so that the result is what
// one gets with a pencil: 2301 × 0.1 is 230.1 and not 230.10000000000002.
//
// A factor of 0.1 has no exact binary form, but 1/10 has two exact terms. So
// factor and offset are kept as integers over one power of ten:
//
//	value = (raw × num + add) / den
//
// which has one rounding, the last one, as long as the integers stay below 2^53.
type scale struct {
	num, add, den float64
}

// newScale makes the scale of a point; a factor of 0 is 1.
func newScale(factor, offset float64) scale {
	if factor == 0 {
		factor = 1
	}
	digits := max(decimals(factor), decimals(offset))
	if digits > 15 { // no decimal fraction that anybody wrote down
		return scale{num: factor, add: offset, den: 1}
	}
	den := math.Pow10(digits)
	return scale{num: math.Round(factor * den), add: math.Round(offset * den), den: den}
}

// decimals counts the digits behind the point of x's shortest decimal form.
func decimals(x float64) int {
	_, fraction, _ := strings.Cut(strconv.FormatFloat(x, 'f', -1, 64), ".")
	return len(fraction)
}

// identity says whether nothing changes.
func (s scale) identity() bool { return s.num == s.den && s.add == 0 }

func (s scale) apply(raw float64) float64 { return (raw*s.num + s.add) / s.den }

// invert is the raw value that stands for value.
func (s scale) invert(value float64) float64 { return (value*s.den - s.add) / s.num }

// shortest is the number with the digits that a float32 has: 230.1 and not
// 230.10000610351562.
func shortest(x float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	if err != nil { // infinite, or no number
		return float64(x)
	}
	return v
}
