package core

import "time"

// The user properties that say when a gateway received a message.
const (
	PropTime   = "weir-ts"        // see Timestamp
	PropSynced = "weir-ts-synced" // "false": its clock was not known to be right
)

// AppendMarks appends the user properties that tell s.
func (s Stamp) AppendMarks(us []UserProperty) []UserProperty {
	us = append(us, UserProperty{Name: PropTime, Value: Timestamp(s.Time())})
	if !s.Synced {
		us = append(us, UserProperty{Name: PropSynced, Value: "false"})
	}
	return us
}

// Timestamp is a moment in RFC 3339, to the millisecond. The library is several times
// faster with a layout that it knows.
func Timestamp(t time.Time) string {
	var room [24]byte
	return string(AppendTimestamp(room[:0], t))
}

// AppendTimestamp appends what Timestamp gives.
func AppendTimestamp(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-1], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
}
