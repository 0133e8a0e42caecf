package packet

import (
	"strings"
	"testing"
)

func TestReasonString(t *testing.T) {
	for r, want := range map[Reason]string{
		Success: "Success", GrantedQoS2: "Granted QoS 2", NoSubscriptionExisted: "No subscription existed",
		UnspecifiedError: "Unspecified error", MalformedPacket: "Malformed Packet", NotAuthorized: "Not authorized",
		BadAuthenticationMethod: "Bad authentication method", TopicFilterInvalid: "Topic Filter invalid",
		QuotaExceeded: "Quota exceeded", SharedSubscriptionsNotSupported: "Shared Subscriptions not supported",
		WildcardSubscriptionsNotSupported: "Wildcard Subscriptions not supported",
		0x03:                              "Reason code 0x3", 0xA3: "Reason code 0xa3", 0xFF: "Reason code 0xff",
	} {
		if got := r.String(); got != want {
			t.Errorf("0x%02x: got %q, want %q", byte(r), got, want)
		}
	}
	for r := UnspecifiedError; r <= WildcardSubscriptionsNotSupported; r++ {
		if !r.IsError() || strings.HasPrefix(r.String(), "Reason code") {
			t.Errorf("0x%02x: %q, %v", byte(r), r, r.IsError())
		}
	}
	if NoSubscriptionExisted.IsError() {
		t.Error("0x11 is no error")
	}
}

func TestReasonV3(t *testing.T) {
	for r, want := range map[Reason]Reason{
		Success: V3Accepted, UnsupportedProtocolVersion: V3UnacceptableProtocol, ClientIdentifierNotValid: V3IdentifierRejected,
		BadUserNameOrPassword: V3BadUserNameOrPassword, NotAuthorized: V3NotAuthorized, Banned: V3NotAuthorized,
		ServerUnavailable: V3ServerUnavailable, ServerBusy: V3ServerUnavailable, QuotaExceeded: V3ServerUnavailable,
	} {
		if got := r.V3(); got != want {
			t.Errorf("%v: got %d, want %d", r, got, want)
		}
	}
	for code := V3Accepted; code <= V3NotAuthorized; code++ {
		if got := FromV3(code).V3(); got != code {
			t.Errorf("%d there and back: %d", code, got)
		}
	}
	if FromV3(6) != UnspecifiedError {
		t.Error("code 6 is not an unspecified error")
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[Type]string{0: "reserved packet", CONNECT: "CONNECT", AUTH: "AUTH", 16: "packet of unknown type"} {
		if got := typ.String(); got != want {
			t.Errorf("%d: got %q", byte(typ), got)
		}
	}
}
