package broker

import (
	"strings"

	"github.com/weir-edge/weir/core/packet"
)

// explained are properties with a reason string for an answer of so many bytes, or
// nil: before MQTT 5, where the client does not want to know [MQTT-3.1.2-29], and
// where the packet would become larger than it takes [MQTT-3.2.2-19]
// [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
func (c *conn) explained(text string, size int) *packet.Properties {
	const around = 1 + 2 + 3 + 3 // identifier, length, and that two lengths may get longer
	if text == "" || !c.explains || size+around+len(text) > c.maxPacket {
		return nil
	}
	return &packet.Properties{ReasonString: []byte(text)}
}

// explanation says in plain words what is behind a reason, where its name does not.
func explanation(r packet.Reason) string {
	switch r {
	case packet.SessionTakenOver:
		return "another connection with this client id"
	case packet.KeepAliveTimeout:
		return "nothing was heard for one and a half times the keep alive"
	case packet.NotAuthorized:
		return "the rules of this broker do not allow it"
	case packet.QuotaExceeded:
		return "a limit of this broker is reached"
	case packet.PayloadFormatInvalid:
		return "the payload is said to be UTF-8 and is not"
	}
	return ""
}

// because is the explanation of what is wrong with a packet.
func because(e *packet.Error) string {
	if e.Clause == "" {
		return e.Text
	}
	return e.Text + " [" + e.Clause + "]"
}

// explainSuback names the filters that were refused.
func (c *conn) explainSuback(p *packet.Suback, filters []packet.Filter) {
	if !c.explains {
		return
	}
	var refused []string
	for i, r := range p.Reasons {
		if r.IsError() {
			refused = append(refused, string(filters[i].Filter)+": "+strings.ToLower(r.String()))
		}
	}
	p.Properties = c.explained(strings.Join(refused, "; "), p.Size(c.version))
}
