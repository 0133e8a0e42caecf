package session_test

import (
	"testing"

	"github.com/weir-edge/weir/core/session"
)

func TestAliasesIn(t *testing.T) {
	a := session.NewAliasesIn(2)
	for _, tc := range []struct {
		name  string
		alias uint16
		topic string
		want  string
		ok    bool
	}{
		{"never set", 1, "", "", false},
		{"set [MQTT-3.3.2-12]", 1, "a/b", "a/b", true},
		{"used", 1, "", "a/b", true},
		{"set anew", 1, "c", "c", true},
		{"used anew", 1, "", "c", true},
		{"zero [MQTT-3.3.2-8]", 0, "a", "", false},
		{"beyond the maximum [MQTT-3.3.2-9]", 3, "a", "", false},
	} {
		if got, ok := a.Resolve(tc.alias, []byte(tc.topic)); got != tc.want || ok != tc.ok {
			t.Errorf("%s: %q %v, want %q %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
	topic := []byte("c")
	if n := testing.AllocsPerRun(100, func() { a.Resolve(1, topic) }); n != 0 {
		t.Errorf("%v allocations for a topic that is known", n)
	}
}

func TestAliasesOut(t *testing.T) {
	a := session.NewAliasesOut(2)
	for _, tc := range []struct {
		topic string
		alias uint16
		known bool
	}{
		{"a", 1, false},
		{"a", 1, true},
		{"b", 2, false},
		{"a", 1, true},
		{"c", 1, false}, // takes the place of the oldest
		{"b", 2, true},
		{"a", 2, false},
		{"c", 1, true},
	} {
		if alias, known := a.Assign(tc.topic); alias != tc.alias || known != tc.known {
			t.Errorf("%s: %d %v, want %d %v", tc.topic, alias, known, tc.alias, tc.known)
		}
	}
	if alias, _ := session.NewAliasesOut(0).Assign("a"); alias != 0 {
		t.Error("an alias where none is allowed")
	}
}
