package packet

import "strconv"

// Reason is a reason code: how an operation ended [MQTT-2.4]. Codes from 0x80 on
// are errors. In a CONNACK of MQTT 3.1 and 3.1.1 the same byte holds one of the
// return codes below.
type Reason byte

// The reason codes of MQTT 5. Zero has three names, one for each kind of packet
// that carries it.
const (
	Success             Reason = 0x00
	NormalDisconnection Reason = 0x00 // DISCONNECT
	GrantedQoS0         Reason = 0x00 // SUBACK
	GrantedQoS1         Reason = 0x01
	GrantedQoS2         Reason = 0x02

	DisconnectWithWill     Reason = 0x04
	NoMatchingSubscribers  Reason = 0x10
	NoSubscriptionExisted  Reason = 0x11
	ContinueAuthentication Reason = 0x18
	ReAuthenticate         Reason = 0x19

	UnspecifiedError                    Reason = 0x80
	MalformedPacket                     Reason = 0x81
	ProtocolError                       Reason = 0x82
	ImplementationSpecificError         Reason = 0x83
	UnsupportedProtocolVersion          Reason = 0x84
	ClientIdentifierNotValid            Reason = 0x85
	BadUserNameOrPassword               Reason = 0x86
	NotAuthorized                       Reason = 0x87
	ServerUnavailable                   Reason = 0x88
	ServerBusy                          Reason = 0x89
	Banned                              Reason = 0x8A
	ServerShuttingDown                  Reason = 0x8B
	BadAuthenticationMethod             Reason = 0x8C
	KeepAliveTimeout                    Reason = 0x8D
	SessionTakenOver                    Reason = 0x8E
	TopicFilterInvalid                  Reason = 0x8F
	TopicNameInvalid                    Reason = 0x90
	PacketIdentifierInUse               Reason = 0x91
	PacketIdentifierNotFound            Reason = 0x92
	ReceiveMaximumExceeded              Reason = 0x93
	TopicAliasInvalid                   Reason = 0x94
	PacketTooLarge                      Reason = 0x95
	MessageRateTooHigh                  Reason = 0x96
	QuotaExceeded                       Reason = 0x97
	AdministrativeAction                Reason = 0x98
	PayloadFormatInvalid                Reason = 0x99
	RetainNotSupported                  Reason = 0x9A
	QoSNotSupported                     Reason = 0x9B
	UseAnotherServer                    Reason = 0x9C
	ServerMoved                         Reason = 0x9D
	SharedSubscriptionsNotSupported     Reason = 0x9E
	ConnectionRateExceeded              Reason = 0x9F
	MaximumConnectTime                  Reason = 0xA0
	SubscriptionIdentifiersNotSupported Reason = 0xA1
	WildcardSubscriptionsNotSupported   Reason = 0xA2
)

// The CONNACK return codes of MQTT 3.1 and 3.1.1 (3.1.1 table 3.1).
const (
	V3Accepted              Reason = 0
	V3UnacceptableProtocol  Reason = 1
	V3IdentifierRejected    Reason = 2
	V3ServerUnavailable     Reason = 3
	V3BadUserNameOrPassword Reason = 4
	V3NotAuthorized         Reason = 5
)

// IsError says whether the operation failed.
func (r Reason) IsError() bool { return r >= 0x80 }

// fits says whether a packet of type t may carry r. Of the errors every one that
// the standard knows is taken in every packet but AUTH: which of them a server
// answers with is a matter of taste in the field, what they mean is clear, and to
// end the connection over it would help nobody.
func (r Reason) fits(t Type) bool {
	if r.IsError() {
		return t != AUTH && r <= WildcardSubscriptionsNotSupported
	}
	switch t {
	case PUBACK, PUBREC:
		return r == Success || r == NoMatchingSubscribers
	case SUBACK:
		return r <= GrantedQoS2
	case UNSUBACK:
		return r == Success || r == NoSubscriptionExisted
	case DISCONNECT:
		return r == NormalDisconnection || r == DisconnectWithWill
	case AUTH:
		return r == Success || r == ContinueAuthentication || r == ReAuthenticate
	}
	return r == Success
}

// V3 is the CONNACK return code that tells a peer of MQTT 3.1 or 3.1.1 what r
// tells one of MQTT 5. Return codes cannot say everything: what has no
// counterpart becomes "server unavailable", after which a client tries again.
func (r Reason) V3() Reason {
	switch r {
	case Success:
		return V3Accepted
	case UnsupportedProtocolVersion:
		return V3UnacceptableProtocol
	case ClientIdentifierNotValid:
		return V3IdentifierRejected
	case BadUserNameOrPassword, BadAuthenticationMethod:
		return V3BadUserNameOrPassword
	case NotAuthorized, Banned:
		return V3NotAuthorized
	default:
		return V3ServerUnavailable
	}
}

// FromV3 is the reason code that says what a CONNACK return code says.
func FromV3(code Reason) Reason {
	switch code {
	case V3Accepted:
		return Success
	case V3UnacceptableProtocol:
		return UnsupportedProtocolVersion
	case V3IdentifierRejected:
		return ClientIdentifierNotValid
	case V3ServerUnavailable:
		return ServerUnavailable
	case V3BadUserNameOrPassword:
		return BadUserNameOrPassword
	case V3NotAuthorized:
		return NotAuthorized
	default:
		return UnspecifiedError
	}
}

// String is the name that the standard gives the code (section 2.4).
func (r Reason) String() string {
	switch r {
	case Success:
		return "Success"
	case GrantedQoS1:
		return "Granted QoS 1"
	case GrantedQoS2:
		return "Granted QoS 2"
	case DisconnectWithWill:
		return "Disconnect with Will Message"
	case NoMatchingSubscribers:
		return "No matching subscribers"
	case NoSubscriptionExisted:
		return "No subscription existed"
	case ContinueAuthentication:
		return "Continue authentication"
	case ReAuthenticate:
		return "Re-authenticate"
	}
	if i := int(r) - int(UnspecifiedError); i >= 0 && i < len(errorTexts) {
		return errorTexts[i]
	}
	return "Reason code 0x" + strconv.FormatUint(uint64(r), 16)
}

// errorTexts are the names of the codes from 0x80 on, which have no gaps.
var errorTexts = [...]string{
	"Unspecified error",
	"Malformed Packet",
	"Protocol Error",
	"Implementation specific error",
	"Unsupported Protocol Version",
	"Client Identifier not valid",
	"Bad User Name or Password",
	"Not authorized",
	"Server unavailable",
	"Server busy",
	"Banned",
	"Server shutting down",
	"Bad authentication method",
	"Keep Alive timeout",
	"Session taken over",
	"Topic Filter invalid",
	"Topic Name invalid",
	"Packet Identifier in use",
	"Packet Identifier not found",
	"Receive Maximum exceeded",
	"Topic Alias invalid",
	"Packet too large",
	"Message rate too high",
	"Quota exceeded",
	"Administrative action",
	"Payload format invalid",
	"Retain not supported",
	"QoS not supported",
	"Use another server",
	"Server moved",
	"Shared Subscriptions not supported",
	"Connection rate exceeded",
	"Maximum connect time",
	"Subscription Identifiers not supported",
	"Wildcard Subscriptions not supported",
}
