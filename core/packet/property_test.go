package packet

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// will names the properties of a will in the table below.
const will = "will"

// allowed is section 2.2.2.2 of the standard once more, in another form than in
// the code: for each identifier a value and the packets it may be in.
var allowed = map[byte]struct{ value, in string }{
	0x01: {"01", "PUBLISH will"},
	0x02: {"00000000", "PUBLISH will"},
	0x03: {"0001 't'", "PUBLISH will"},
	0x08: {"0001 't'", "PUBLISH will"},
	0x09: {"0001 00", "PUBLISH will"},
	0x0B: {"01", "PUBLISH SUBSCRIBE"},
	0x11: {"00000000", "CONNECT CONNACK DISCONNECT"},
	0x12: {"0000", "CONNACK"},
	0x13: {"0000", "CONNACK"},
	0x15: {"0001 'm'", "CONNECT CONNACK AUTH"},
	0x16: {"0001 00", "CONNECT CONNACK AUTH"},
	0x17: {"00", "CONNECT"},
	0x18: {"00000000", "will"},
	0x19: {"01", "CONNECT"},
	0x1A: {"0000", "CONNACK"},
	0x1C: {"0000", "CONNACK DISCONNECT"},
	0x1F: {"0000", "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"},
	0x21: {"0001", "CONNECT CONNACK"},
	0x22: {"0000", "CONNECT CONNACK"},
	0x23: {"0001", "PUBLISH"},
	0x24: {"00", "CONNACK"},
	0x25: {"01", "CONNACK"},
	0x26: {"0000 0000", "CONNECT CONNACK PUBLISH will PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH"},
	0x27: {"00000001", "CONNECT CONNACK"},
	0x28: {"00", "CONNACK"},
	0x29: {"01", "CONNACK"},
	0x2A: {"00", "CONNACK"},
}

// carriers are packets with a place for properties, shown as PROPS.
var carriers = map[string]string{
	"CONNECT":     "10 0004 'MQTT' 05 02 0000 PROPS 0000",
	will:          "10 0004 'MQTT' 05 06 0000 00 0000 PROPS 0001 'w' 0000",
	"CONNACK":     "20 00 00 PROPS",
	"PUBLISH":     "30 0001 'a' PROPS",
	"PUBACK":      "40 0001 00 PROPS",
	"PUBREC":      "50 0001 00 PROPS",
	"PUBREL":      "62 0001 00 PROPS",
	"PUBCOMP":     "70 0001 00 PROPS",
	"SUBSCRIBE":   "82 0001 PROPS 0001 'a' 00",
	"SUBACK":      "90 0001 PROPS 00",
	"UNSUBSCRIBE": "a2 0001 PROPS 0001 'a'",
	"UNSUBACK":    "b0 0001 PROPS 00",
	"DISCONNECT":  "e0 00 PROPS",
	"AUTH":        "f0 18 PROPS",
}

func parseWith(carrier string, props []byte) (Packet, error) {
	text := fmt.Sprintf("%x %x", appendVarint(nil, len(props)), props)
	return parseBody(wire(strings.Replace(carrier, "PROPS", text, 1)), V5)
}

// Each property in each packet, once and twice.
func TestPropertyInPacketB8(t *testing.T) {
	for id, row := range allowed {
		once := append([]byte{id}, wire(row.value)...)
		if id == 0x16 { // data goes with a method
			once = append(once, wire("15 0001 'm'")...)
		}
		for name, carrier := range carriers {
			t.Run(fmt.Sprintf("0x%02x in %s", id, name), func(t *testing.T) {
				fits := strings.Contains(" "+row.in+" ", " "+name+" ")
				want := MalformedPacket
				if fits {
					want = Success
				}
				checkReason(t, carrier, once, want)

				want = ProtocolError
				switch {
				case !fits:
					want = MalformedPacket
				case id == 0x26, id == 0x0B && name == "PUBLISH":
					want = Success
				}
				checkReason(t, carrier, bytes.Repeat(once, 2), want)
			})
		}
	}
}

func checkReason(t *testing.T, carrier string, props []byte, want Reason) {
	t.Helper()
	_, err := parseWith(carrier, props)
	got := Success
	if e, ok := errors.AsType[*Error](err); ok {
		got = e.Reason
	}
	if got != want {
		t.Errorf("% x: got %v (%v), want %v", props, got, err, want)
	}
}

func TestPropertyValues(t *testing.T) {
	for name, tt := range map[string]struct {
		carrier, props string
		want           Reason
	}{
		"payload format 2":           {"PUBLISH", "01 02", ProtocolError},
		"will payload format 2":      {will, "01 02", ProtocolError},
		"problem information 2":      {"CONNECT", "17 02", ProtocolError},
		"response information 2":     {"CONNECT", "19 02", ProtocolError},
		"receive maximum 0":          {"CONNECT", "21 0000", ProtocolError},
		"receive maximum 0, server":  {"CONNACK", "21 0000", ProtocolError},
		"maximum packet size 0":      {"CONNECT", "27 00000000", ProtocolError},
		"maximum QoS 2":              {"CONNACK", "24 02", ProtocolError},
		"retain available 2":         {"CONNACK", "25 02", ProtocolError},
		"wildcard available 2":       {"CONNACK", "28 02", ProtocolError},
		"identifiers available 2":    {"CONNACK", "29 02", ProtocolError},
		"shared available 2":         {"CONNACK", "2a 02", ProtocolError},
		"subscription identifier 0":  {"PUBLISH", "0b 00", ProtocolError},
		"topic alias 0":              {"PUBLISH", "23 0000", TopicAliasInvalid},
		"greatest subscription id":   {"PUBLISH", "0b ffffff7f", Success},
		"no end to subscription id":  {"PUBLISH", "0b ffffffff", MalformedPacket},
		"half a number":              {"CONNECT", "11 0000", MalformedPacket},
		"half a string":              {"CONNACK", "1f 0002 'x'", MalformedPacket},
		"half a pair":                {"PUBACK", "26 0001 'k'", MalformedPacket},
		"nothing behind the id":      {"AUTH", "15", MalformedPacket},
		"reason string not UTF-8":    {"DISCONNECT", "1f 0001 ff", MalformedPacket},
		"correlation data any bytes": {"PUBLISH", "09 0003 00ffed", Success},
	} {
		t.Run(name, func(t *testing.T) { checkReason(t, carriers[tt.carrier], wire(tt.props), tt.want) })
	}
}

// Very many user properties must not cost more than their number.
func TestManyUserProperties(t *testing.T) {
	props := bytes.Repeat(wire("26 0001 'k' 0001 'v'"), 100_000)
	start := time.Now()
	p, err := parseWith(carriers["PUBLISH"], props)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", time.Since(start))
	if n := len(p.(*Publish).Properties.User); n != 100_000 {
		t.Errorf("got %d", n)
	}
}
