package exchange

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTemplate(t *testing.T) {
	tests := map[string]struct {
		text   Template
		values Values
		want   string // "": refused
	}{
		"plain":               {"P\r\n", Values{}, "P\r\n"},
		"json is no template": {`{"cmd":1}{x}`, Values{}, `{"cmd":1}{x}`},
		"address":             {"#{address}?", Values{Address: 7}, "#7?"},
		"address in hex":      {"#{address:%02X}?", Values{Address: 31}, "#1F?"},
		"m-bus":               {"\x10\x5b{address:byte}{sum:sum8@1}\x16", Values{Address: 5}, "\x10\x5b\x05\x60\x16"},
		"crc":                 {"123456789{sum:crc16-modbus}", Values{}, "123456789\x37\x4b"},
		"sum in digits":       {"123456789{sum:xor:hex}\r", Values{}, "12345678931\r"},
		"value":               {"SP={value}", Values{Value: 21.5}, "SP=21.5"},
		"value, whole":        {"SP={value:%04d}", Values{Value: int64(42)}, "SP=0042"},
		"value, float":        {"SP={value:%.2f}", Values{Value: int64(1)}, "SP=1.00"},
		"value, bool":         {"R{value}", Values{Value: true}, "R1"},
		"value, text":         {"M{value:%5s}", Values{Value: "ab"}, "M   ab"},
		"no whole number":     {"{value:%d}", Values{Value: 1.5}, ""},
		"no number":           {"{value:%f}", Values{Value: "x"}, ""},
		"no byte":             {"{address:byte}", Values{Address: 256}, ""},
		"no value":            {"{value}", Values{}, ""},
		"a bad format":        {"{address:%n}", Values{}, ""},
		"an unknown sum":      {"{sum:md5}", Values{}, ""},
		"a sum of too few":    {"a{sum:xor@2}", Values{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.text.Execute(tt.values)
			if string(got) != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("Execute = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if err := Template("{value:%s}").Validate(true); err != nil {
		t.Error(err)
	}
	if err := Template("{value}").Validate(false); err == nil || !strings.Contains(err.Error(), "no value") {
		t.Errorf("a request with a value: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("{address:%02X}{sum:sum8@1}{value:%.1f}", 3)
	f.Fuzz(func(t *testing.T, text string, address int) {
		b, err := Template(text).Execute(Values{Address: address, Value: int64(address)})
		if err == nil && !strings.Contains(text, "{") && string(b) != text {
			t.Errorf("%q became %q", text, b)
		}
	})
}

// Under any course of answers and silence: one exchange at a time, none before its
// time or within a pause, no more repeats than allowed, and nobody starves.
func TestRotation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ms := func(name string, lo, hi int) time.Duration {
			return time.Duration(rapid.IntRange(lo, hi).Draw(rt, name)) * time.Millisecond
		}
		var all []*Exchange
		for range rapid.IntRange(1, 4).Draw(rt, "exchanges") {
			all = append(all, &Exchange{
				Every: ms("every", 1, 50), Timeout: ms("timeout", 1, 20), Pause: ms("pause", 0, 5),
				Retries: rapid.IntRange(0, 2).Draw(rt, "retries"),
			})
		}
		r := NewRotation(all)
		turns := make(map[*Exchange]int)
		now, tries := time.Unix(1000, 0), 0
		free := now
		for range 400 {
			if e := r.Pick(now); e != nil {
				if r.Current() != nil || now.Before(free) {
					rt.Fatal("picked while the line was in use")
				}
				if tries > 0 && !r.Repeats() {
					rt.Fatal("another one before the repeat")
				}
				if tries++; tries > e.Retries+1 {
					rt.Fatalf("asked %d times", tries)
				}
				r.Sent(e, now)
				took := ms("answer", 0, 30)
				if took < e.Timeout {
					now = now.Add(took)
					if got := r.Answered(now); got != took {
						rt.Fatalf("took %v; want %v", got, took)
					}
					tries = 0
				} else {
					now = now.Add(e.Timeout)
					if !r.Overdue(now) {
						rt.Fatal("not overdue")
					}
					if !r.Failed(now) {
						tries = 0
					}
				}
				if tries == 0 {
					turns[e]++
				}
				free = now.Add(e.Pause)
			}
			if at := r.Deadline(); at.After(now) {
				now = at
			}
		}
		for _, e := range all {
			if turns[e] == 0 {
				rt.Fatal("an exchange never had its turn")
			}
		}
	})
}
