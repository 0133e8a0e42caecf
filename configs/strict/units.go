package strict

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errUnit = errors.New("no number with a unit")

// Day is what the unit d stands for.
const Day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration reads, and days (d), without a sign.
func ParseDuration(s string) (time.Duration, error) {
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		return 0, errUnit
	}
	number, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return time.ParseDuration(s)
	}
	days, err := strconv.ParseFloat(number, 64)
	if err != nil || !(days*float64(Day) < math.MaxInt64/2) {
		return 0, errUnit
	}
	d := time.Duration(days * float64(Day))
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more > math.MaxInt64/2 {
		return 0, errUnit
	}
	return d + more, nil
}

// FormatDuration writes d as a person would: 7d, 1h30m, 250ms.
func FormatDuration(d time.Duration) string {
	if d >= Day && d%Day == 0 {
		return strconv.FormatInt(int64(d/Day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// units of a size; the largest of a kind stands first.
var units = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a number of bytes with its unit; only 0 needs none.
func ParseSize(s string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	for _, u := range units {
		number, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(f >= 0 && f*u.bytes < math.MaxInt64) {
			return 0, errUnit
		}
		return int64(f * u.bytes), nil
	}
	return 0, errUnit
}

// FormatSize writes n with the largest unit that keeps it whole.
func FormatSize(n int64) string {
	for _, u := range units[:4] {
		if b := int64(u.bytes); n >= b && n%b == 0 {
			return strconv.FormatInt(n/b, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
