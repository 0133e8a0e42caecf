package packet

import (
	"errors"
	"strings"
	"testing"
)

// malformed is a packet that must be refused. Header lengths are put in by the
// test: the bytes are the first byte and the body.
type malformedCase struct {
	name   string
	v      Version
	bytes  string
	reason Reason
	clause string
}

func TestRefused(t *testing.T) {
	for _, tt := range refusals() {
		t.Run(tt.name+" "+versionName(tt.v), func(t *testing.T) {
			_, err := parseBody(wire(tt.bytes), tt.v)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Reason != tt.reason || e.Clause != tt.clause {
				t.Errorf("got %v, want %v %s", e, tt.reason, tt.clause)
			}
		})
	}
}

// parseBody reads a packet given as its first byte and its body.
func parseBody(b []byte, v Version) (Packet, error) {
	h, _, err := ReadHeader(append([]byte{b[0]}, 0))
	if err != nil {
		return nil, err
	}
	h.Length = len(b) - 1
	return Parse(h, b[1:], v)
}

func refusals() []malformedCase {
	const (
		bad   = MalformedPacket
		proto = ProtocolError
	)
	return []malformedCase{
		// CONNECT
		{"protocol name", V5, "10 0004 'MQTt' 05 02 0000 00 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-1"},
		{"protocol name, longer", V5, "10 0005 'MQTTx' 05 02 0000 00 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-1"},
		{"protocol level 6", V5, "10 0004 'MQTT' 06 02 0000 00 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"protocol level 3 by its new name", V31, "10 0004 'MQTT' 03 02 0000 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"protocol level 4 by its old name", V311, "10 0006 'MQIsdp' 04 02 0000 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"protocol level 0", V311, "10 0004 'MQTT' 00 02 0000 0000", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"reserved connect flag", V311, "10 0004 'MQTT' 04 03 0000 0000", bad, "MQTT-3.1.2-3"},
		{"reserved connect flag", V5, "10 0004 'MQTT' 05 03 0000 00 0000", bad, "MQTT-3.1.2-3"},
		{"will with QoS 3", V5, "10 0004 'MQTT' 05 1e 0000 00 0000 00 0001 'w' 0000", bad, "MQTT-3.1.2-12"},
		{"will with QoS 3", V31, "10 0006 'MQIsdp' 03 1e 0000 0000 0001 'w' 0000", bad, "MQTT-3.1.2-12"},
		{"will QoS without a will", V311, "10 0004 'MQTT' 04 08 0000 0000", bad, "MQTT-3.1.2-11"},
		{"will retain without a will", V5, "10 0004 'MQTT' 05 20 0000 00 0000", bad, "MQTT-3.1.2-13"},
		{"password without user", V311, "10 0004 'MQTT' 04 42 0000 0000 0001 'p'", bad, "MQTT-3.1.2-22"},
		{"client id with null", V311, "10 0004 'MQTT' 04 02 0000 0003 'a' 00 'b'", bad, "MQTT-1.5.4-2"},
		{"client id not UTF-8", V311, "10 0004 'MQTT' 04 02 0000 0001 ff", bad, "MQTT-1.5.4-1"},
		{"user name a surrogate", V311, "10 0004 'MQTT' 04 82 0000 0000 0003 eda080", bad, "MQTT-1.5.4-1"},
		{"will topic with a wildcard", V5, "10 0004 'MQTT' 05 06 0000 00 0000 00 0001 '#' 0000", TopicNameInvalid, "MQTT-3.3.2-2"},
		{"will topic with null", V311, "10 0004 'MQTT' 04 06 0000 0000 0001 00 0000", bad, "MQTT-1.5.4-2"},
		{"will topic empty", V311, "10 0004 'MQTT' 04 06 0000 0000 0000 0000", TopicNameInvalid, "MQTT-4.7.3-1"},
		{"more than announced", V311, "10 0004 'MQTT' 04 02 0000 0000 0001 'u'", bad, ""},
		{"client id longer than the packet", V311, "10 0004 'MQTT' 04 02 0000 ffff 'x'", bad, ""},
		{"user name missing", V311, "10 0004 'MQTT' 04 82 0000 0000", bad, ""},

		// CONNACK
		{"acknowledge flags", V311, "20 02 00", bad, "MQTT-3.2.2-1"},
		{"acknowledge flags in the old form", V5, "20 98 98", bad, "MQTT-3.2.2-1"},
		{"return code 6", V311, "20 00 06", proto, ""},
		{"session present with refusal", V311, "20 01 05", proto, "MQTT-3.2.2-6"},
		{"session present with refusal", V5, "20 01 87 00", proto, "MQTT-3.2.2-6"},
		{"reason code of another", V5, "20 00 18 00", proto, "MQTT-3.2.2-8"},
		{"accepted in the old form", V5, "20 00 00", bad, ""},
		{"unknown old code", V5, "20 00 06", proto, ""},

		// PUBLISH
		{"DUP with QoS 0", V5, "38 0001 'a' 00", proto, "MQTT-3.3.1-2"},
		{"DUP with QoS 0", V311, "38 0001 'a'", proto, "MQTT-3.3.1-2"},
		{"no topic", V5, "30 0000 00", proto, "MQTT-4.7.3-1"},
		{"no topic", V311, "30 0000", proto, "MQTT-4.7.3-1"},
		{"topic with plus", V5, "30 0003 'a/+' 00", TopicNameInvalid, "MQTT-3.3.2-2"},
		{"topic with hash", V311, "30 0001 '#'", TopicNameInvalid, "MQTT-3.3.2-2"},
		{"topic with null", V5, "30 0001 00 00", bad, "MQTT-1.5.4-2"},
		{"topic a surrogate", V5, "30 0003 eda080 00", bad, "MQTT-1.5.4-1"},
		{"topic overlong", V311, "30 0002 c0af", bad, "MQTT-1.5.4-1"},
		{"packet id 0", V5, "32 0001 'a' 0000 00", proto, "MQTT-2.2.1-3"},
		{"packet id 0", V311, "34 0001 'a' 0000", proto, "MQTT-2.2.1-3"},
		{"topic alias 0", V5, "30 0000 03 23 0000", TopicAliasInvalid, "MQTT-3.3.2-8"},
		{"response topic with hash", V5, "30 0001 'a' 06 08 0003 'r/#'", TopicNameInvalid, "MQTT-3.3.2-2"},
		{"response topic empty", V5, "30 0001 'a' 03 08 0000", proto, "MQTT-4.7.3-1"},
		{"properties longer than the packet", V5, "30 0001 'a' 7f 01 01", bad, ""},
		{"property cut by their length", V5, "30 0001 'a' 02 02 00000001", bad, ""},
		{"property length padded", V5, "30 0001 'a' 80 00", bad, "MQTT-1.5.5-1"},
		{"property length of five bytes", V5, "30 0001 'a' ffffffff7f", bad, ""},
		{"property id padded", V5, "30 0001 'a' 03 8100 01", bad, "MQTT-1.5.5-1"},
		{"subscription identifier padded", V5, "30 0001 'a' 03 0b 8100", bad, "MQTT-1.5.5-1"},
		{"property unknown", V5, "30 0001 'a' 02 04 00", bad, ""},
		{"property id 0x2b", V5, "30 0001 'a' 02 2b 00", bad, ""},
		{"property id 128", V5, "30 0001 'a' 03 8001 00", bad, ""},
		{"user property name not UTF-8", V5, "30 0001 'a' 06 26 0001 ff 0000", bad, "MQTT-1.5.4-1"},
		{"user property value with null", V5, "30 0001 'a' 06 26 0000 0001 00", bad, "MQTT-1.5.4-2"},
		{"content type not UTF-8", V5, "30 0001 'a' 04 03 0001 80", bad, "MQTT-1.5.4-1"},

		// PUBACK and its kin
		{"PUBACK of id 0", V311, "40 0000", proto, "MQTT-2.2.1-3"},
		{"PUBREL with DUP", V311, "6a 0001", bad, "MQTT-2.1.3-1"},
		{"PUBREL with DUP", V5, "6a 0001", bad, "MQTT-2.1.3-1"},
		{"PUBACK too long", V311, "40 0001 00", bad, ""},
		{"PUBACK with an unknown reason", V5, "40 0001 03", proto, "MQTT-3.4.2-1"},
		{"PUBACK with a reason beyond the last", V5, "40 0001 a3", proto, "MQTT-3.4.2-1"},
		{"PUBREC with a reason of SUBACK", V5, "50 0001 01", proto, "MQTT-3.5.2-1"},
		{"PUBREL with a reason of PUBACK", V5, "62 0001 10", proto, "MQTT-3.6.2-1"},
		{"PUBCOMP with a reason of PUBACK", V5, "70 0001 10", proto, "MQTT-3.7.2-1"},

		// SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK
		{"SUBSCRIBE of nothing", V5, "82 0001 00", proto, "MQTT-3.8.3-2"},
		{"SUBSCRIBE of nothing", V311, "82 0001", proto, "MQTT-3.8.3-2"},
		{"SUBSCRIBE with id 0", V311, "82 0000 0001 'a' 00", proto, "MQTT-2.2.1-3"},
		{"SUBSCRIBE with DUP", V311, "8a 0001 0001 'a' 00", bad, "MQTT-2.1.3-1"},
		{"SUBSCRIBE with QoS 3", V5, "82 0001 00 0001 'a' 03", proto, ""},
		{"SUBSCRIBE with QoS 3", V311, "82 0001 0001 'a' 03", bad, "MQTT-3.8.3-4"},
		{"options of MQTT 5", V311, "82 0001 0001 'a' 04", bad, "MQTT-3.8.3-5"},
		{"reserved options", V5, "82 0001 00 0001 'a' 40", bad, "MQTT-3.8.3-5"},
		{"reserved options", V5, "82 0001 00 0001 'a' 80", bad, "MQTT-3.8.3-5"},
		{"retain handling 3", V5, "82 0001 00 0001 'a' 30", proto, ""},
		{"filter with null", V5, "82 0001 00 0001 00 00", bad, "MQTT-1.5.4-2"},
		{"filter without options", V311, "82 0001 0001 'a'", bad, ""},
		{"two subscription identifiers", V5, "82 0001 04 0b01 0b02 0001 'a' 00", proto, ""},
		{"subscription identifier 0", V5, "82 0001 02 0b00 0001 'a' 00", proto, ""},
		{"SUBACK of nothing", V311, "90 0001", proto, ""},
		{"SUBACK of nothing", V5, "90 0001 00", proto, ""},
		{"SUBACK with code 3", V311, "90 0001 03", proto, "MQTT-3.9.3-2"},
		{"SUBACK with a code of MQTT 5", V311, "90 0001 87", proto, "MQTT-3.9.3-2"},
		{"SUBACK with an unknown reason", V5, "90 0001 00 ff", proto, "MQTT-3.9.3-2"},
		{"UNSUBSCRIBE of nothing", V5, "a2 0001 00", proto, "MQTT-3.10.3-2"},
		{"UNSUBSCRIBE with id 0", V5, "a2 0000 00 0001 'a'", proto, "MQTT-2.2.1-3"},
		{"UNSUBACK of nothing", V5, "b0 0001 00", proto, ""},
		{"UNSUBACK with reasons", V311, "b0 0001 00", bad, ""},
		{"UNSUBACK with an unknown reason", V5, "b0 0001 00 10", proto, "MQTT-3.11.3-2"},

		// The rest
		{"PINGREQ with a body", V311, "c0 00", bad, ""},
		{"PINGRESP with a body", V5, "d0 00", bad, ""},
		{"DISCONNECT with a reason", V311, "e0 00", bad, ""},
		{"DISCONNECT with an unknown reason", V5, "e0 05", proto, "MQTT-3.14.2-1"},
		{"AUTH", V311, "f0", bad, "MQTT-2.2.2-2"},
		{"AUTH with an error", V5, "f0 87 00", proto, "MQTT-3.15.2-1"},
		{"authentication data without a method", V5, "f0 18 04 16 0001 01", proto, ""},
	}
}

func TestPaddedLength(t *testing.T) {
	for _, tt := range []struct {
		name, bytes string
		v           Version
		ok          bool
	}{
		{"CONNECT", "10 8e00 0004 'MQTT' 04 02 003c 0002 'id'", V311, true},
		{"CONNECT", "10 8f00 0004 'MQTT' 05 02 003c 00 0002 'id'", V5, false},
		{"PUBACK", "40 8200 0001", V311, true},
		{"PUBACK", "40 8200 0001", V5, false},
		{"PUBLISH", "30 8400 0001 'a' 00", V5, false},
	} {
		t.Run(tt.name+" "+versionName(tt.v), func(t *testing.T) {
			if _, err := parse(wire(tt.bytes), tt.v); tt.ok != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What devices of MQTT 3.1 send and its standard lets them.
func TestTakenFromMQTT31(t *testing.T) {
	for name, s := range map[string]string{
		"DUP with QoS 0":             "38 0001 'a'",
		"PUBREL with DUP":            "6a 0001",
		"SUBSCRIBE with DUP":         "8a 0001 0001 'a' 00",
		"UNSUBSCRIBE with DUP":       "aa 0001 0001 'a'",
		"options that are not used":  "82 0001 0001 'a' fd",
		"CONNACK flags not used":     "20 ff 00",
		"reserved connect flag":      "10 0006 'MQIsdp' 03 03 0000 0001 'a'",
		"retain of no will":          "10 0006 'MQIsdp' 03 2a 0000 0001 'a'",
		"user name that is missing":  "10 0006 'MQIsdp' 03 c2 0000 0001 'a'",
		"password that is missing":   "10 0006 'MQIsdp' 03 c2 0000 0001 'a' 0001 'u'",
		"client id of 24 characters": "10 0006 'MQIsdp' 03 02 0000 0018 '012345678901234567890123'",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseBody(wire(s), V31); err != nil {
				t.Error(err)
			}
		})
	}
}

// A refused CONNECT still says in which version the answer should be.
func TestRefusedConnectHasVersion(t *testing.T) {
	for s, want := range map[string]Version{
		"10 0004 'MQTT' 05 03 0000 00 0000": V5,
		"10 0004 'MQTT' 84 03 0000 0000":    V311,
		"10 0004 'MQTT' 06 02 0000 00 0000": 6,
		"10 0006 'MQIsdp' 03 1e":            V31,
		"10 0004 'MQTt' 05 02 0000 00 0000": 0,
		"10 0004 'MQ'":                      0,
	} {
		p, err := parseBody(wire(s), 0)
		if c, ok := p.(*Connect); !ok || err == nil || c.Version != want {
			t.Errorf("%s: got %#v, %v", s, p, err)
		}
	}
}

// An old server refuses MQTT 5 in the form of its own version.
func TestConnackOfOldServer(t *testing.T) {
	p, err := parseBody(wire("20 00 01"), V5)
	if err != nil {
		t.Fatal(err)
	}
	if c := p.(*Connack); c.Reason != UnsupportedProtocolVersion {
		t.Errorf("got %v", c.Reason)
	}
}

func TestErrorText(t *testing.T) {
	_, err := parseBody(wire("30 0003 'a/+' 00"), V5)
	const want = "topic name invalid: topic name contains a wildcard [MQTT-3.3.2-2]"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	_, err = parseBody(wire("30"), V5)
	if err == nil || strings.Contains(err.Error(), "[") {
		t.Errorf("got %v", err)
	}
}
