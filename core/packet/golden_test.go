package packet

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// golden is a packet beside its bytes.
type golden struct {
	name   string
	v      Version
	bytes  string // see wire
	packet Packet

	// Cut bodies of these lengths are packets too, see TestPrefixes.
	alsoWhole []int
}

// wire makes bytes of hexadecimal digits and 'text', spaces between.
func wire(s string) (b []byte) {
	for token := range strings.FieldsSeq(s) {
		if text, ok := strings.CutPrefix(token, "'"); ok {
			b = append(b, strings.TrimSuffix(text, "'")...)
			continue
		}
		digits, err := hex.DecodeString(token)
		if err != nil {
			panic(err)
		}
		b = append(b, digits...)
	}
	return b
}

func str(s string) []byte { return []byte(s) }

func goldens() []golden {
	return slices.Concat(connects(), connacks(), publishes(), acks(), subscriptions(), endings())
}

func connects() []golden {
	return []golden{
		{
			name: "connect", v: V311, bytes: "10 10 0004 'MQTT' 04 02 003c 0004 'dev1'",
			packet: &Connect{Version: V311, CleanStart: true, Keepalive: 60, ClientID: str("dev1")},
		},
		{
			name: "connect with everything", v: V311,
			bytes: "10 28 0004 'MQTT' 84 ee ffff 0002 'id' 0004 'w/to' 0003 'bye' 0004 'anna' 0007 00 'secret'",
			packet: &Connect{
				Version: V311, Bridge: true, CleanStart: true, Keepalive: 65535, ClientID: str("id"),
				Will:        &Will{QoS: 1, Retain: true, Topic: str("w/to"), Payload: str("bye")},
				HasUsername: true, Username: str("anna"), HasPassword: true, Password: str("\x00secret"),
			},
		},
		{
			name: "connect with empty fields", v: V311, bytes: "10 15 0004 'MQTT' 04 c6 0000 0000 0001 'w' 0000 0000 0000",
			packet: &Connect{
				Version: V311, CleanStart: true, ClientID: str(""), Will: &Will{Topic: str("w"), Payload: str("")},
				HasUsername: true, Username: str(""), HasPassword: true, Password: str(""),
			},
		},
		{
			name: "connect of a 3.1 bridge", v: V31, bytes: "10 15 0006 'MQIsdp' 83 80 000a 0002 'id' 0003 'bob'",
			packet: &Connect{Version: V31, Bridge: true, Keepalive: 10, ClientID: str("id"), HasUsername: true, Username: str("bob")},
			// the user name may be missing although its flag is set
			alsoWhole: []int{16},
		},
		{
			name: "connect without properties", v: V5, bytes: "10 0f 0004 'MQTT' 05 00 0000 00 0002 'id'",
			packet: &Connect{Version: V5, ClientID: str("id")},
		},
		{
			name: "connect with a password alone", v: V5, bytes: "10 12 0004 'MQTT' 05 40 0000 00 0000 0003 'key'",
			packet: &Connect{Version: V5, ClientID: str(""), HasPassword: true, Password: str("key")},
		},
		{
			name: "connect with all properties", v: V5,
			bytes: "10 6c 0004 'MQTT' 05 f6 003c" +
				" 2b 11 00000e10 15 0002 'ok' 16 0002 ff00 17 00 19 01 21 0014 22 000a 26 0001 'a' 0001 '1' 26 0001 'a' 0000 27 00010000" +
				" 0002 'id'" +
				" 23 01 01 02 0000003c 03 0004 'text' 08 0001 'r' 09 0002 0001 18 00000005 26 0001 'b' 0001 '2'" +
				" 0001 'w' 0003 'bye' 0001 'u' 0001 'p'",
			packet: &Connect{
				Version: V5, CleanStart: true, Keepalive: 60, ClientID: str("id"),
				Properties: &Properties{
					SessionExpiry: new(uint32(3600)), AuthMethod: str("ok"), AuthData: str("\xff\x00"),
					RequestProblemInfo: new(byte(0)), RequestResponseInfo: new(byte(1)),
					ReceiveMaximum: new(uint16(20)), TopicAliasMaximum: new(uint16(10)), MaximumPacketSize: new(uint32(65536)),
					User: []UserProperty{{str("a"), str("1")}, {str("a"), str("")}},
				},
				Will: &Will{
					QoS: 2, Retain: true, Topic: str("w"), Payload: str("bye"),
					Properties: &Properties{
						PayloadFormat: new(byte(1)), MessageExpiry: new(uint32(60)), ContentType: str("text"),
						ResponseTopic: str("r"), CorrelationData: str("\x00\x01"), WillDelay: new(uint32(5)),
						User: []UserProperty{{str("b"), str("2")}},
					},
				},
				HasUsername: true, Username: str("u"), HasPassword: true, Password: str("p"),
			},
		},
	}
}

func connacks() []golden {
	return []golden{
		{name: "connack", v: V311, bytes: "20 02 01 00", packet: &Connack{SessionPresent: true}},
		{name: "connack refusing", v: V311, bytes: "20 02 00 05", packet: &Connack{Reason: V3NotAuthorized}},
		{name: "connack", v: V31, bytes: "20 02 00 02", packet: &Connack{Reason: V3IdentifierRejected}},
		{name: "connack", v: V5, bytes: "20 03 01 00 00", packet: &Connack{SessionPresent: true}},
		{name: "connack refusing", v: V5, bytes: "20 03 00 87 00", packet: &Connack{Reason: NotAuthorized}},
		{
			name: "connack with all properties", v: V5,
			bytes: "20 41 00 00 3e 11 00000000 12 0002 'g1' 13 001e 15 0001 'm' 16 0001 01 1a 0001 'i' 1c 0001 's'" +
				" 1f 0002 'no' 21 0040 22 0000 24 01 25 00 26 0001 'k' 0001 'v' 27 00100000 28 00 29 00 2a 00",
			packet: &Connack{Properties: &Properties{
				SessionExpiry: new(uint32(0)), AssignedClientID: str("g1"), ServerKeepalive: new(uint16(30)),
				AuthMethod: str("m"), AuthData: str("\x01"), ResponseInfo: str("i"), ServerReference: str("s"),
				ReasonString: str("no"), ReceiveMaximum: new(uint16(64)), TopicAliasMaximum: new(uint16(0)),
				MaximumQoS: new(byte(1)), RetainAvailable: new(byte(0)), User: []UserProperty{{str("k"), str("v")}},
				MaximumPacketSize: new(uint32(1 << 20)), WildcardAvailable: new(byte(0)),
				SubscriptionIDsAvail: new(byte(0)), SharedSubscriptionsAvl: new(byte(0)),
			}},
		},
	}
}

func publishes() []golden {
	return []golden{
		{
			name: "publish", v: V311, bytes: "30 07 0003 'a/b' 'hi'", alsoWhole: []int{5, 6},
			packet: &Publish{Topic: str("a/b"), Payload: str("hi")},
		},
		{
			name: "publish empty", v: V31, bytes: "31 03 0001 'a'",
			packet: &Publish{Topic: str("a"), Retain: true, Payload: str("")},
		},
		{
			name: "publish again", v: V311, bytes: "3d 08 0001 'a' 1234 'yes'", alsoWhole: []int{5, 6, 7},
			packet: &Publish{Dup: true, QoS: 2, Retain: true, Topic: str("a"), PacketID: 0x1234, Payload: str("yes")},
		},
		{
			name: "publish", v: V5, bytes: "32 07 0001 'a' ffff 00 'x'", alsoWhole: []int{6},
			packet: &Publish{QoS: 1, Topic: str("a"), PacketID: 65535, Payload: str("x")},
		},
		{
			name: "publish by alias", v: V5, bytes: "30 06 0000 03 23 0001",
			packet: &Publish{Topic: str(""), Properties: &Properties{TopicAlias: new(uint16(1))}, Payload: str("")},
		},
		{
			name: "publish with all properties", v: V5,
			bytes: "30 30 0001 'a' 2a 01 00 02 ffffffff 03 0001 't' 08 0003 'r/s' 09 0000 0b 01 0b ffffff7f 23 ffff" +
				" 26 0001 'k' 0001 'v' 26 0000 0000 '12'",
			alsoWhole: []int{46, 47},
			packet: &Publish{
				Topic: str("a"), Payload: str("12"),
				Properties: &Properties{
					PayloadFormat: new(byte(0)), MessageExpiry: new(uint32(0xFFFFFFFF)), ContentType: str("t"),
					ResponseTopic: str("r/s"), CorrelationData: str(""), SubscriptionIDs: []uint32{1, MaxLength},
					TopicAlias: new(uint16(65535)), User: []UserProperty{{str("k"), str("v")}, {str(""), str("")}},
				},
			},
		},
	}
}

func acks() []golden {
	list := []golden{
		{name: "puback", v: V311, bytes: "40 02 0001", packet: &Ack{Kind: PUBACK, PacketID: 1}},
		{name: "pubrec", v: V311, bytes: "50 02 0102", packet: &Ack{Kind: PUBREC, PacketID: 0x102}},
		{name: "pubrel", v: V31, bytes: "62 02 ffff", packet: &Ack{Kind: PUBREL, PacketID: 65535}},
		{name: "pubcomp", v: V311, bytes: "70 02 0001", packet: &Ack{Kind: PUBCOMP, PacketID: 1}},
	}
	for kind, head := range map[Type]string{PUBACK: "40", PUBREC: "50", PUBREL: "62", PUBCOMP: "70"} {
		list = append(
			list,
			golden{name: kind.String(), v: V5, bytes: head + " 02 0001", packet: &Ack{Kind: kind, PacketID: 1}},
			golden{
				name: kind.String() + " refusing", v: V5, bytes: head + " 03 0001 92", alsoWhole: []int{2},
				packet: &Ack{Kind: kind, PacketID: 1, Reason: PacketIdentifierNotFound},
			},
			golden{
				name: kind.String() + " with properties", v: V5, bytes: head + " 10 0001 00 0c 1f 0002 'no' 26 0001 'k' 0001 'v'",
				alsoWhole: []int{2, 3},
				packet: &Ack{Kind: kind, PacketID: 1, Properties: &Properties{
					ReasonString: str("no"), User: []UserProperty{{str("k"), str("v")}},
				}},
			},
		)
	}
	return list
}

func subscriptions() []golden {
	return []golden{
		{
			name: "subscribe", v: V311, bytes: "82 0b 0007 0001 'a' 01 0002 'b/' 00", alsoWhole: []int{6},
			packet: &Subscribe{PacketID: 7, Filters: []Filter{{str("a"), 1}, {str("b/"), 0}}},
		},
		{
			name: "subscribe", v: V31, bytes: "82 06 0007 0001 '#' 02",
			packet: &Subscribe{PacketID: 7, Filters: []Filter{{str("#"), 2}}},
		},
		{
			name: "subscribe", v: V5, bytes: "82 12 0001 09 0b 80 01 26 0000 0001 'x' 0003 'a/#' 2e",
			packet: &Subscribe{
				PacketID:   1,
				Properties: &Properties{SubscriptionIDs: []uint32{128}, User: []UserProperty{{str(""), str("x")}}},
				Filters:    []Filter{{str("a/#"), 0x2E}},
			},
		},
		{
			name: "suback", v: V311, bytes: "90 06 0007 00 01 02 80", alsoWhole: []int{3, 4, 5},
			packet: &Suback{PacketID: 7, Reasons: []Reason{0, 1, 2, UnspecifiedError}},
		},
		{
			name: "suback", v: V5, bytes: "90 08 0007 03 1f 0000 02 97", alsoWhole: []int{7},
			packet: &Suback{PacketID: 7, Properties: &Properties{ReasonString: str("")}, Reasons: []Reason{GrantedQoS2, QuotaExceeded}},
		},
		{
			name: "unsubscribe", v: V311, bytes: "a2 08 0007 0001 'a' 0001 '#'", alsoWhole: []int{5},
			packet: &Unsubscribe{PacketID: 7, Filters: [][]byte{str("a"), str("#")}},
		},
		{
			name: "unsubscribe", v: V5, bytes: "a2 0d 0007 07 26 0001 'k' 0001 'v' 0001 'a'",
			packet: &Unsubscribe{
				PacketID: 7, Properties: &Properties{User: []UserProperty{{str("k"), str("v")}}},
				Filters: [][]byte{str("a")},
			},
		},
		{name: "unsuback", v: V311, bytes: "b0 02 0007", packet: &Unsuback{PacketID: 7}},
		{
			name: "unsuback", v: V5, bytes: "b0 05 0007 00 00 11", alsoWhole: []int{4},
			packet: &Unsuback{PacketID: 7, Reasons: []Reason{Success, NoSubscriptionExisted}},
		},
	}
}

func endings() []golden {
	return []golden{
		{name: "pingreq", v: V311, bytes: "c0 00", packet: &Pingreq{}},
		{name: "pingresp", v: V5, bytes: "d0 00", packet: &Pingresp{}},
		{name: "disconnect", v: V311, bytes: "e0 00", packet: &Disconnect{}},
		{name: "disconnect", v: V5, bytes: "e0 00", packet: &Disconnect{}},
		{name: "disconnect with will", v: V5, bytes: "e0 01 04", packet: &Disconnect{Reason: DisconnectWithWill}, alsoWhole: []int{0}},
		{
			name: "disconnect with properties", v: V5,
			bytes:     "e0 16 9c 14 11 00000001 1c 0003 'b:1' 1f 0000 26 0001 'k' 0000",
			alsoWhole: []int{0, 1},
			packet: &Disconnect{Reason: UseAnotherServer, Properties: &Properties{
				SessionExpiry: new(uint32(1)), ServerReference: str("b:1"), ReasonString: str(""),
				User: []UserProperty{{str("k"), str("")}},
			}},
		},
		{
			name: "auth", v: V5, bytes: "f0 0a 18 08 15 0001 'm' 16 0001 01", alsoWhole: []int{0, 1},
			packet: &Auth{Reason: ContinueAuthentication, Properties: &Properties{AuthMethod: str("m"), AuthData: str("\x01")}},
		},
		{
			name: "auth with all properties", v: V5, bytes: "f0 0f 19 0d 15 0001 'm' 1f 0001 'r' 26 0000 0000", alsoWhole: []int{0, 1},
			packet: &Auth{Reason: ReAuthenticate, Properties: &Properties{
				AuthMethod: str("m"), ReasonString: str("r"), User: []UserProperty{{str(""), str("")}},
			}},
		},
	}
}

func runGoldens(t *testing.T, check func(t *testing.T, g golden, b []byte)) {
	t.Helper()
	for _, g := range goldens() {
		t.Run(g.name+" "+versionName(g.v), func(t *testing.T) { check(t, g, wire(g.bytes)) })
	}
}

func versionName(v Version) string {
	return map[Version]string{V31: "3.1", V311: "3.1.1", V5: "5"}[v]
}
