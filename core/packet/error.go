package packet

import "strings"

// Error is a packet that breaks the rules. It ends the connection.
type Error struct {
	Reason Reason // what a peer of MQTT 5 is told
	Text   string // what is wrong, for the log
	Clause string // the statement that is broken, such as "MQTT-3.3.1-4"; may be empty
}

// Error is the text with its clause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(e.Reason.String()))
	b.WriteString(": ")
	b.WriteString(e.Text)
	if e.Clause != "" {
		b.WriteString(" [" + e.Clause + "]")
	}
	return b.String()
}

func malformed(clause, text string) error {
	return &Error{Reason: MalformedPacket, Text: text, Clause: clause}
}
