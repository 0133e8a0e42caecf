package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Limits.
const (
	MaxBytes  = 65_535 // [MQTT-4.7.3-3]
	MaxLevels = 128    // ours: nobody needs more, and it bounds the work of a match
)

// What is wrong with a name or a filter.
var (
	ErrEmpty    = errors.New("topic is empty")                                // [MQTT-4.7.3-1]
	ErrTooLong  = errors.New("topic is longer than 65535 bytes")              // [MQTT-4.7.3-3]
	ErrTooDeep  = errors.New("topic has more than 128 levels")                //
	ErrText     = errors.New("topic is not UTF-8 or has a null character")    // [MQTT-4.7.3-2]
	ErrWildcard = errors.New("topic has a wildcard where none is allowed")    // [MQTT-4.7.0-1]
	ErrPlace    = errors.New("+ and # must be a whole level, # the last one") // [MQTT-4.7.1-1] [MQTT-4.7.1-2]
	ErrShare    = errors.New("shared subscription is not $share/NAME/FILTER") // [MQTT-4.8.2-1]
)

// ValidName says what is wrong with the name of a topic; nil if nothing is.
func ValidName[S ~string | ~[]byte](name S) error { return valid(name, false) }

// ValidFilter says what is wrong with a topic filter, which may be one of a shared
// subscription; nil if nothing is.
func ValidFilter[S ~string | ~[]byte](filter S) error {
	if len(filter) < len(sharePrefix) || string(filter[:len(sharePrefix)]) != sharePrefix {
		return valid(filter, true)
	}
	if len(filter) > MaxBytes {
		return ErrTooLong
	}
	rest := filter[len(sharePrefix):]
	end := shareNameEnd(rest)
	if end < 0 {
		return ErrShare
	}
	if err := valid(rest[:end], false); err != nil {
		return err
	}
	return valid(rest[end+1:], true)
}

// Levels counts the levels of a name or filter.
func Levels[S ~string | ~[]byte](s S) int {
	n := 1
	for i := range len(s) {
		if s[i] == '/' {
			n++
		}
	}
	return n
}

// valid checks everything in one pass.
func valid[S ~string | ~[]byte](s S, filter bool) error {
	switch {
	case len(s) == 0:
		return ErrEmpty
	case len(s) > MaxBytes:
		return ErrTooLong
	}
	levels := 1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0:
			return ErrText
		case c >= utf8.RuneSelf:
			size := runeSize(s, i)
			if size == 0 {
				return ErrText
			}
			i += size - 1
		case !filter && (c == '+' || c == '#'):
			return ErrWildcard
		case c == '+' && !alone(s, i), c == '#' && !(alone(s, i) && i == len(s)-1):
			return ErrPlace
		case c == '/':
			if levels++; levels > MaxLevels {
				return ErrTooDeep
			}
		}
	}
	return nil
}

// alone says whether the byte at i fills its level.
func alone[S ~string | ~[]byte](s S, i int) bool {
	return (i == 0 || s[i-1] == '/') && (i == len(s)-1 || s[i+1] == '/')
}

// runeSize is the size of the rune at i, 0 if it is not well-formed.
func runeSize[S ~string | ~[]byte](s S, i int) int {
	r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

// sharePrefix begins the filter of a shared subscription.
const sharePrefix = "$share/"

// ParseShare takes the filter of a subscription apart. An ordinary one comes back
// as it is; the one of a shared subscription, $share/GROUP/FILTER, in its parts.
// It does not check the filter within: that is for [ValidFilter].
func ParseShare(s string) (group, filter string, shared bool, err error) {
	rest, shared := strings.CutPrefix(s, sharePrefix)
	if !shared {
		return "", s, false, nil
	}
	end := shareNameEnd(rest)
	if end < 0 {
		return "", "", true, ErrShare
	}
	return rest[:end], rest[end+1:], true, nil
}

// shareNameEnd is where the share name at the start of s ends; -1 if it is empty,
// has a wildcard [MQTT-4.8.2-2], or is not followed by a filter.
func shareNameEnd[S ~string | ~[]byte](s S) int {
	for i := range len(s) {
		switch s[i] {
		case '+', '#':
			return -1
		case '/':
			if i == 0 || i == len(s)-1 {
				return -1
			}
			return i
		}
	}
	return -1
}
