package modbus

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// asciiPeer answers requests in ASCII: want is the line it must hear.
type asciiPeer struct {
	t      *testing.T
	want   string
	answer string
	heard  bool
}

func (p *asciiPeer) link() *scriptedLink {
	return &scriptedLink{chunk: 3, answer: func(b []byte) []byte {
		p.heard = string(b) == p.want
		if !p.heard {
			p.t.Errorf("request is %q, want %q", b, p.want)
		}
		return []byte(p.answer)
	}}
}

// The example of the standard's appendix, and what a line makes of answers.
func TestASCII(t *testing.T) {
	const request = ":1103006B00037E\r\n"
	for name, c := range map[string]struct {
		answer string
		want   []byte // nil: an error
	}{
		"answer":             {":110306AE4156524340CC\r\n", unhex(t, "AE4156524340")},
		"noise before":       {"xx\r\n:11030:110306AE4156524340CC\r\n", unhex(t, "AE4156524340")},
		"echo before":        {request + ":110306AE4156524340CC\r\n", unhex(t, "AE4156524340")},
		"wrong checksum":     {":110306AE4156524340CD\r\n", nil},
		"another unit":       {":120306AE4156524340CB\r\n", nil},
		"no end":             {":110306AE4156524340CC", nil},
		"not hexadecimal":    {":1103Z6AE4156524340CC\r\n", nil},
		"nothing":            {"", nil},
		"refused":            {":1183026A\r\n", nil},
		"odd number of them": {":110306AE4156524340C\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line, err := ParseURL("ascii+tcp://scripted:1")
				if err != nil {
					t.Fatal(err)
				}
				peer := &asciiPeer{t: t, want: request, answer: c.answer}
				b := newBus(t.Context(), line, line.translated(peer.link()), 20*time.Millisecond, make(map[byte]*unitState), new(taps))
				defer b.close()
				got, err := b.read(0x11, holdings, 0x6B, 3, b.timeout)
				if (err == nil) != (c.want != nil) || !slices.Equal(got, c.want) || !peer.heard {
					t.Errorf("data is % X, %v; want % X", got, err, c.want)
				}
				if name == "refused" && exceptionOf(err) != 2 {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// Whatever comes, each RTU frame that is given is one whose ASCII was valid.
func FuzzASCII(f *testing.F) {
	f.Add([]byte(":110306AE4156524340CC\r\n"))
	f.Add([]byte(":::\r\n\n\n:1183026A\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l := &asciiLink{link: &scriptedLink{incoming: bytes.Clone(text), chunk: 7}}
		var b [64]byte
		for {
			n, err := l.Read(b[:], time.Now())
			if err != nil {
				if !os.IsTimeout(err) {
					t.Fatal(err)
				}
				return
			}
			if n == 0 {
				t.Fatal("nothing, and no error")
			}
		}
	})
}
