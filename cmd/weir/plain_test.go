package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

func TestPlain(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"as it is":      {`größe/"a b"/µ`, `größe/"a b"/µ`},
		"escape":        {"a\x1b[2Jb", `a\x1b[2Jb`},
		"line":          {"a\r\nweir  all is well", `a\r\nweir  all is well`},
		"right to left": {"a\u202eb", `a\u202eb`},
		"C1":            {"a\u009bb", `a\u009bb`},
		"a quote, too":  {"\"\x00\"", `"\x00"`},
		"a table's tab": {"a\tb", `a\tb`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plain(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestAuditIsPlain: what somebody calls himself cannot hide that he was there.
func TestAuditIsPlain(t *testing.T) {
	var out bytes.Buffer
	line := `{"time":"2026-01-02T03:04:05Z","event":"login refused","user":"a\u202e\u001b[1A\u001b[2K","client":"x"}` + "\n"
	if err := printAudit(&out, []byte(line), "", 0, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.TrimSuffix(out.String(), "\n"), unprintable) || !strings.Contains(out.String(), `user="a\u202e\x1b[1A\x1b[2K"`) {
		t.Errorf("%q", out.String())
	}
}

// FuzzStatusAnswer: whatever a console answers, it is refused or shown, and nothing in
// it reaches the terminal as anything but text.
func FuzzStatusAnswer(f *testing.F) {
	st := core.Status{
		Gateway: "g", Auth: &core.AuthStatus{Logins: map[string]uint64{"ok": 1}},
		Clients:  []core.ClientStatus{{ClientID: "c", User: "u", Dropped: map[core.Reason]uint64{core.DroppedStoreFull: 1}}},
		Buffer:   core.BufferStatus{Messages: 1, Receivers: []core.ReceiverStatus{{Name: "cloud", Owed: 1}}},
		Bridges:  []core.BridgeStatus{{Name: "cloud", State: "connected", Rules: []core.RuleStatus{{Filter: "#", Owed: 1}}}},
		Adapters: []core.AdapterStatus{{Name: "meters", Devices: []core.DeviceStatus{{Name: "m1"}}}},
	}
	body, err := json.Marshal(st)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"gateway":"\u001b[2J","uptime_seconds":1e300,"clients":[{"client_id":"\u202e"}],"bridges":[{"rules":[{"oldest":-1}]}]}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var st core.Status
		if json.Unmarshal(body, &st) != nil {
			return
		}
		var out bytes.Buffer
		if err := printStatus(&out, st); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unprintable) {
				t.Fatalf("%q is printed", line)
			}
		}
	})
}

// FuzzKept: of a file that is imported only messages are kept that could have been
// published, each as often as it is there.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`{"topic":"a/b","payload":"x","qos":1,"received":"2026-01-02T03:04:05Z","time_synced":true}` + "\n"))
	f.Add([]byte(`{"topic":"a/#","payload_base64":"AA==","qos":2}`))
	f.Add([]byte(`{"topic":"a","qos":1,"expiry_seconds":1e300,"user_properties":[{"name":"a","value":"b"}]}{"topic":"b","qos":1}`))
	f.Add([]byte(`{"topic":"a","qos":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := 0
		n, _ := readKept(bytes.NewReader(text), func(group []*core.Message) error {
			kept += len(group)
			for _, m := range group {
				if topic.ValidName(m.Topic) != nil || m.QoS != core.AtLeastOnce && m.QoS != core.ExactlyOnce || m.Expiry < 0 ||
					m.Properties != nil && strings.Contains(m.Properties.ContentType, "\x00") {
					t.Fatalf("%+v", m)
				}
			}
			return nil
		})
		if n != kept {
			t.Fatalf("%d are said to be kept, and %d are", n, kept)
		}
	})
}
