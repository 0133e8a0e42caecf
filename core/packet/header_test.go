package packet

import (
	"errors"
	"testing"
)

func TestReadHeader(t *testing.T) {
	tests := map[string]struct {
		bytes string
		want  Header
		size  int
	}{
		"nothing":             {"", Header{}, 0},
		"only the type":       {"30", Header{PUBLISH, 0, 0, false}, 0},
		"half a length":       {"30 ff ff ff", Header{PUBLISH, 0, 0, false}, 0},
		"short":               {"c0 00", Header{PINGREQ, 0, 0, false}, 2},
		"one byte":            {"3d 7f 00", Header{PUBLISH, 0xD, 127, false}, 2},
		"two bytes":           {"32 80 01", Header{PUBLISH, 2, 128, false}, 3},
		"three bytes":         {"82 80 80 01", Header{SUBSCRIBE, 2, 16384, false}, 4},
		"four bytes":          {"10 ff ff ff 7f", Header{CONNECT, 0, MaxLength, false}, 5},
		"padded":              {"10 90 00", Header{CONNECT, 0, 16, true}, 3},
		"padded to the limit": {"10 80 80 80 00", Header{CONNECT, 0, 0, true}, 5},
		"DUP of MQTT 3.1":     {"6a 02", Header{PUBREL, 0xA, 2, false}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, n, err := ReadHeader(wire(tt.bytes))
			if err != nil || n != tt.size || h != tt.want {
				t.Errorf("got %+v, %d, %v", h, n, err)
			}
		})
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	tests := map[string]struct{ bytes, clause string }{
		"type 0":                  {"00", "MQTT-2.1.2-1"},
		"QoS 3":                   {"36", "MQTT-3.3.1-4"},
		"QoS 3 with all flags":    {"3f", "MQTT-3.3.1-4"},
		"flags of CONNECT":        {"11", "MQTT-2.1.3-1"},
		"flags of CONNACK":        {"28", "MQTT-2.1.3-1"},
		"flags of PUBACK":         {"42", "MQTT-2.1.3-1"},
		"flags of PUBREC":         {"52", "MQTT-2.1.3-1"},
		"flags of PUBREL":         {"60", "MQTT-2.1.3-1"},
		"flags of PUBCOMP":        {"71", "MQTT-2.1.3-1"},
		"flags of SUBSCRIBE":      {"80", "MQTT-2.1.3-1"},
		"retain of SUBSCRIBE":     {"83", "MQTT-2.1.3-1"},
		"flags of SUBACK":         {"92", "MQTT-2.1.3-1"},
		"flags of UNSUBSCRIBE":    {"a4", "MQTT-2.1.3-1"},
		"flags of UNSUBACK":       {"b2", "MQTT-2.1.3-1"},
		"flags of PINGREQ":        {"c1", "MQTT-2.1.3-1"},
		"flags of PINGRESP":       {"d8", "MQTT-2.1.3-1"},
		"flags of DISCONNECT":     {"e1", "MQTT-2.1.3-1"},
		"flags of AUTH":           {"f2", "MQTT-2.1.3-1"},
		"length of five bytes":    {"10 ff ff ff ff 7f", ""},
		"length without an end":   {"10 80 80 80 80", ""},
		"five bytes, five padded": {"10 80 80 80 80 00", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, n, err := ReadHeader(wire(tt.bytes))
			e, ok := errors.AsType[*Error](err)
			if !ok || n != 0 || e.Reason != MalformedPacket || e.Clause != tt.clause {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
}

func TestVarint(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MaxLength} {
		b := appendVarint(nil, n)
		if v, size := varint(b); int(v) != n || size != len(b) || size != varintSize(n) {
			t.Errorf("%d: got %d in %d bytes of %d, varintSize %d", n, v, size, len(b), varintSize(n))
		}
	}
}
