package parse

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listMessage makes a list response with these entries.
func listMessage(entries ...string) string {
	list := "76" + "020a" + "6200" + "6200" + "72" + "630701" +
		"77" + "01" + "0201" + "01" + "01" + "7" + string("0123456789abcdef"[len(entries)]) + strings.Join(entries, "") + "01" + "01" +
		"630000" + "00"
	open := "76" + "0201" + "6200" + "6200" + "72" + "630101" + "76" + "01" + "01" + "0201" + "0201" + "01" + "01" + "630000" + "00"
	return open + list + "00"
}

func TestSML(t *testing.T) {
	text := listMessage(
		"77"+"070100603201 01"+"01"+"01"+"01"+"01"+"04454d48"+"01",                    // text
		"77"+"070100010800ff"+"641c4701"+"01"+"621e"+"52ff"+"59000000000001e240"+"01", // 12345.6 Wh
		"77"+"070100100700ff"+"01"+"01"+"621b"+"5200"+"55fffffe0c"+"01",               // -500 W
		"77"+"0701002007 00ff"+"01"+"01"+"6223"+"52ff"+"6308fd"+"01",                  // 230.1 V
		"77"+"070100600100ff"+"01"+"01"+"01"+"01"+"0500aabbcc"+"01",                   // an id
		"77"+"070100020800ff"+"01"+"01"+"621e"+"01"+"01"+"01",                         // no value
	)
	text = strings.ReplaceAll(text, " ", "")
	frame, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := parsed(t, Config{Kind: "sml"}, string(frame))
	if err != nil {
		t.Fatal(err)
	}
	want := values{
		"1-0:96.50.1*1": "EMH", "energy_import Wh": 12345.6, "power W": int64(-500), "voltage_l1 V": 230.1, "1-0:96.1.0": "00aabbcc",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	// Every shorter transmission is refused, or has fewer values, never others.
	for n := range frame {
		_, some, err := parsed(t, Config{Kind: "sml"}, string(frame[:n]))
		for name, v := range some {
			if err == nil && want[name] != v {
				t.Fatalf("of %d bytes: %s = %v", n, name, v)
			}
		}
	}
}

func TestSMLRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "padding": "0000", "no list": "0201", "too deep": strings.Repeat("71", 40) + "01", "too long": "7f", "endless length": "ffffffff",
	} {
		frame, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := parsed(t, Config{Kind: "sml"}, string(frame)); err == nil {
			t.Errorf("%s: read %v", name, got)
		}
	}
}
