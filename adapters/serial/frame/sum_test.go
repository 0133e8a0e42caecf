package frame

import (
	"bytes"
	"strings"
	"testing"
)

func TestChecksum(t *testing.T) {
	const digits = "123456789" // the check values of the catalogues are of this
	tests := map[string]struct {
		sum   Sum
		frame string
		want  string
	}{
		"nothing":             {Sum{}, digits, digits},
		"nmea":                {Sum{Kind: "nmea"}, "$INDPT,2.2,0.0*47\r", "INDPT,2.2,0.0"},
		"nmea, small letters": {Sum{Kind: "nmea"}, "$GPGSV,4,1,14,30,77,063,18,28,70,264,19,07,48,101,27,13,41,305,16*7b", "GPGSV,4,1,14,30,77,063,18,28,70,264,19,07,48,101,27,13,41,305,16"},
		"nmea behind garbage": {Sum{Kind: "nmea"}, "\x00\xff$IN$INMTW,17.9,C*1B", "INMTW,17.9,C"},
		"p1":                  {Sum{Kind: "p1"}, "/X\r\n\r\n1-0:1.8.1(1*kWh)\r\n!6888\r\n", "/X\r\n\r\n1-0:1.8.1(1*kWh)\r\n"},
		"xor":                 {Sum{Kind: "xor"}, digits + "\x31", digits},
		"xor in hex":          {Sum{Kind: "xor", Hex: true}, digits + "31", digits},
		"sum8":                {Sum{Kind: "sum8"}, digits + "\xdd", digits},
		"lrc":                 {Sum{Kind: "lrc"}, digits + "\x23", digits},
		"lrc in hex":          {Sum{Kind: "lrc", Hex: true}, digits + "23", digits},
		"modbus":              {Sum{Kind: "crc16-modbus"}, digits + "\x37\x4b", digits},
		"ccitt":               {Sum{Kind: "crc16-ccitt"}, digits + "\x29\xb1", digits},
		"ccitt in hex":        {Sum{Kind: "crc16-ccitt", Hex: true}, digits + "29b1", digits},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			verify, err := tt.sum.verifier()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := verify([]byte(tt.frame))
			if !ok || string(got) != tt.want {
				t.Fatalf("verify = %q, %v; want %q", got, ok, tt.want)
			}
			if tt.sum.Kind == "" {
				return
			}
			// Every shorter frame is wrong, and so is every frame with one bit turned
			// over that the checksum covers.
			for n := range len(strings.TrimRight(tt.frame, "\r\n")) {
				if p, ok := verify([]byte(tt.frame[:n])); ok {
					t.Errorf("%q passed as %q", tt.frame[:n], p)
				}
			}
			for _, i := range []int{strings.Index(tt.frame, tt.want), len(tt.frame) - 3} {
				b := []byte(tt.frame)
				b[i] ^= 1
				if p, ok := verify(b); ok {
					t.Errorf("%q passed as %q", b, p)
				}
			}
		})
	}
}

func TestChecksumUnknown(t *testing.T) {
	if _, err := (Sum{Kind: "md5"}).verifier(); err == nil || !strings.Contains(err.Error(), `checksum ("md5") must be`) {
		t.Errorf("verifier() = %v", err)
	}
}

func TestNMEAChecksumNeedsTheWholeSentence(t *testing.T) {
	for name, line := range map[string]string{
		"no dollar":           "INDPT,2.2,0.0*47",
		"no checksum":         "$POLYN,TIME,RESTART_OCCURRED",
		"one digit":           "$INDPT,2.2,0.0*4",
		"no hexadecimal":      "$INDPT,2.2,0.0*4G",
		"more behind":         "$INDPT,2.2,0.0*47,",
		"a control character": "$INDP\x14,2.2,0.0*07",
		"nothing":             "$*00",
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := verifyNMEA([]byte(line)); ok {
				t.Errorf("%q passed as %q", line, got)
			}
		})
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte("$INDPT,2.2,0.0*47"))
	f.Add([]byte("/X\r\n!0000\r\n"))
	f.Add([]byte("12345678931"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, kind := range Kinds()[1:] {
			for _, inHex := range []bool{false, true} {
				verify, err := Sum{Kind: kind, Hex: inHex}.verifier()
				if err != nil {
					t.Fatal(err)
				}
				before := bytes.Clone(frame)
				payload, ok := verify(frame)
				if ok && (len(payload) == 0 || len(payload) >= len(frame)) {
					t.Errorf("%s: payload %q of %q", kind, payload, frame)
				}
				if !bytes.Equal(before, frame) {
					t.Errorf("%s changed the frame", kind)
				}
			}
		}
	})
}
