package topic

import (
	"errors"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	tests := map[string]struct {
		name string
		want error
	}{
		"plain":                {"plant/line 1/temp", nil},
		"one character":        {"/", nil},
		"empty levels":         {"//a//", nil},
		"of the server":        {"$SYS/broker", nil},
		"not ascii":            {"haus/küche/温度/😀", nil},
		"byte order mark":      {"a/\uFEFFb", nil}, // [MQTT-1.5.4-3]
		"replacement char":     {"a/\uFFFD", nil},
		"control character":    {"a\r\nPUB x", nil},
		"as long as can be":    {strings.Repeat("x", MaxBytes), nil},
		"as deep as can be":    {strings.Repeat("/", MaxLevels-1), nil},
		"empty":                {"", ErrEmpty},
		"too long":             {strings.Repeat("x", MaxBytes+1), ErrTooLong},
		"too deep":             {strings.Repeat("/", MaxLevels), ErrTooDeep},
		"very deep":            {strings.Repeat("/", MaxBytes), ErrTooDeep},
		"plus":                 {"a/+", ErrWildcard},
		"hash":                 {"#", ErrWildcard},
		"plus within":          {"a+b", ErrWildcard},
		"null":                 {"a\x00b", ErrText},
		"cut rune":             {"a/\xE6\xB8", ErrText},
		"surrogate":            {"a/\xED\xA0\x80", ErrText},
		"overlong slash":       {"a\xC0\xAFb", ErrText},
		"beyond the last rune": {"\xF4\x90\x80\x80", ErrText},
		"lone continuation":    {"\x80", ErrText},
	}
	for label, tt := range tests {
		t.Run(label, func(t *testing.T) {
			if err := ValidName(tt.name); !errors.Is(err, tt.want) {
				t.Errorf("string: got %v, want %v", err, tt.want)
			}
			if err := ValidName([]byte(tt.name)); !errors.Is(err, tt.want) {
				t.Errorf("bytes: got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestValidFilter(t *testing.T) {
	tests := map[string]struct {
		filter string
		want   error
	}{
		"name":               {"plant/line 1", nil},
		"all":                {"#", nil},
		"below":              {"a/#", nil},
		"below an empty one": {"/#", nil},
		"any":                {"+", nil},
		"any in the middle":  {"a/+/b", nil},
		"any and below":      {"+/+/#", nil},
		"of the server":      {"$SYS/#", nil},
		"as deep as can be":  {strings.Repeat("+/", MaxLevels-1) + "#", nil},
		"too deep":           {strings.Repeat("+/", MaxLevels) + "#", ErrTooDeep},
		"empty":              {"", ErrEmpty},
		"hash not last":      {"a/#/b", ErrPlace},
		"hash within":        {"a#", ErrPlace},
		"hash after text":    {"a/b#", ErrPlace},
		"two hashes":         {"##", ErrPlace},
		"plus within":        {"a+/b", ErrPlace},
		"plus before text":   {"a/+b", ErrPlace},
		"two pluses":         {"++", ErrPlace},
		"null":               {"a/\x00/#", ErrText},

		"shared":                {"$share/g/a/+/#", nil},
		"shared below":          {"$share/g//", nil},
		"only the word":         {"$share", nil}, // an ordinary filter
		"shared, as deep":       {"$share/g/" + strings.Repeat("/", MaxLevels-1), nil},
		"shared, too deep":      {"$share/g/" + strings.Repeat("/", MaxLevels), ErrTooDeep},
		"shared, no name":       {"$share//t", ErrShare},
		"shared, nothing":       {"$share/", ErrShare},
		"shared, no filter":     {"$share/g", ErrShare},
		"shared, empty filter":  {"$share/g/", ErrShare},
		"shared, plus in name":  {"$share/g+/t", ErrShare},
		"shared, hash in name":  {"$share/#/t", ErrShare},
		"shared, name not text": {"$share/\xFF/t", ErrText},
		"shared, bad filter":    {"$share/g/a#", ErrPlace},
		"shared, too long":      {"$share/" + strings.Repeat("x", MaxBytes), ErrTooLong},
	}
	for label, tt := range tests {
		t.Run(label, func(t *testing.T) {
			if err := ValidFilter(tt.filter); !errors.Is(err, tt.want) {
				t.Errorf("string: got %v, want %v", err, tt.want)
			}
			if err := ValidFilter([]byte(tt.filter)); !errors.Is(err, tt.want) {
				t.Errorf("bytes: got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseShare(t *testing.T) {
	tests := []struct {
		in, group, filter string
		shared            bool
		err               error
	}{
		{"a/b", "", "a/b", false, nil},
		{"$share", "", "$share", false, nil},
		{"$shared/g/t", "", "$shared/g/t", false, nil},
		{"$share/g/t", "g", "t", true, nil},
		{"$share/g/a/+/#", "g", "a/+/#", true, nil},
		{"$share/g//", "g", "/", true, nil},
		{"$share/g", "", "", true, ErrShare},
		{"$share/g/", "", "", true, ErrShare},
		{"$share//t", "", "", true, ErrShare},
		{"$share/g+/t", "", "", true, ErrShare},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			group, filter, shared, err := ParseShare(tt.in)
			if group != tt.group || filter != tt.filter || shared != tt.shared || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %q, %v, %v", group, filter, shared, err)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	for s, want := range map[string]int{"": 1, "a": 1, "/": 2, "a/b/c": 3} {
		if got := Levels(s); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}

// What is valid must be safe to use, and the two forms must agree.
func FuzzValidFilter(f *testing.F) {
	for _, s := range []string{"a/+/#", "$share/g/t/#", "$share//t", "a\x00", "\xED\xA0\x80", "#/a", "+a", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := ValidFilter(s)
		if bytesErr := ValidFilter([]byte(s)); !errors.Is(bytesErr, err) {
			t.Fatalf("string %v, bytes %v", err, bytesErr)
		}
		group, filter, shared, shareErr := ParseShare(s)
		switch {
		case err != nil:
			return
		case shareErr != nil:
			t.Fatalf("valid, but %v", shareErr)
		case shared && "$share/"+group+"/"+filter != s, !shared && filter != s:
			t.Fatalf("%q taken apart into %q and %q", s, group, filter)
		case ValidFilter(filter) != nil:
			t.Fatalf("filter %q within is invalid", filter)
		}
		if ValidName(s) == nil && !shared && !Match(filter, s) {
			t.Fatalf("%q does not match itself", s)
		}
	})
}
