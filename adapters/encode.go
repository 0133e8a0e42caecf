package adapters

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// appendReading appends the payload of one reading. r is checked.
//
//	{"ts":"2026-11-22T10:00:00.123Z","value":230.1,"quality":"good","unit":"V"}
func appendReading(b []byte, format Format, r *Reading, ts string) []byte {
	switch format {
	case Raw:
		return appendText(b, r.Value)
	case Msgpack:
		return appendMsgpack(b, r)
	}
	b = append(b, `{"ts":"`...)
	b = append(b, ts...)
	b = append(b, `","value":`...)
	b = appendValue(b, r.Value)
	b = append(b, `,"quality":"`...)
	b = append(b, r.Quality...)
	b = append(b, '"')
	if r.Unit != "" {
		b = append(b, `,"unit":`...)
		b = appendString(b, r.Unit)
	}
	if r.Error != "" {
		b = append(b, `,"error":`...)
		b = appendString(b, r.Error)
	}
	return appendEnd(b, r.Time.Synced)
}

// appendEnd closes a JSON document; it says so when the time in it may be wrong.
func appendEnd(b []byte, synced bool) []byte {
	if !synced {
		b = append(b, `,"ts_synced":false`...)
	}
	return append(b, '}')
}

// appendBatch appends one document of all readings of a device.
//
//	{"ts":"…","device":"m1","quality":"good","values":{"voltage":230.1,"power":1200}}
//
// Units are not in it: they never change, and would double its size. When a
// reading is not good, the document's quality is the first such reading's and
// "problems" says what is wrong with which:
//
//	…,"values":{"power":null},"problems":{"power":{"quality":"device-error","error":"…"}}}
func appendBatch(b []byte, device string, readings []Reading, ts string, synced bool) []byte {
	b = append(b, `{"ts":"`...)
	b = append(b, ts...)
	b = append(b, `","device":`...)
	b = appendString(b, device)
	b = append(b, `,"quality":"`...)
	b = append(b, worst(readings)...)
	b = append(b, `","values":{`...)
	for i := range readings {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, readings[i].Point)
		b = append(b, ':')
		b = appendValue(b, readings[i].Value)
	}
	b = append(b, '}')
	return appendEnd(appendProblems(b, readings), synced)
}

// worst is the quality of a document: good when all its readings are.
func worst(readings []Reading) Quality {
	for i := range readings {
		if q := readings[i].Quality; q != Good {
			return q
		}
	}
	return Good
}

func appendProblems(b []byte, readings []Reading) []byte {
	opening := `,"problems":{`
	for i := range readings {
		r := &readings[i]
		if r.Quality == Good {
			continue
		}
		b = append(b, opening...)
		b = appendString(b, r.Point)
		b = append(b, `:{"quality":"`...)
		b = append(b, r.Quality...)
		b = append(b, `","error":`...)
		b = appendString(b, r.Error)
		b = append(b, '}')
		opening = ","
	}
	if opening == "," {
		b = append(b, '}')
	}
	return b
}

// appendValue appends v as JSON; what JSON can't carry is null.
func appendValue(b []byte, v any) []byte {
	if s, ok := v.(string); ok {
		return appendString(b, s)
	}
	n := len(b)
	if b = appendText(b, v); len(b) == n {
		b = append(b, "null"...)
	}
	return b
}

// appendText appends v as bare text, nothing for a value that there isn't.
func appendText(b []byte, v any) []byte {
	switch v := v.(type) {
	case float64:
		return appendFloat(b, v, 64)
	case float32:
		return appendFloat(b, float64(v), 32)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return append(b, v...)
	case List:
		return append(b, v...)
	}
	return b
}

// appendFloat appends the shortest digits that give x again, with an exponent
// only where the number would be long without.
func appendFloat(b []byte, x float64, bits int) []byte {
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, bits)
}

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what was not copied yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size != 1 {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if c >= utf8.RuneSelf {
		return append(b, "\uFFFD"...)
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendMsgpack appends the fields of the JSON form in MessagePack.
func appendMsgpack(b []byte, r *Reading) []byte {
	fields := uint32(3)
	for _, present := range []bool{r.Unit != "", r.Error != "", !r.Time.Synced} {
		if present {
			fields++
		}
	}
	b = msgp.AppendMapHeader(b, fields)
	b = msgp.AppendString(b, "ts")
	b = msgp.AppendTimeExt(b, r.Time.Time())
	b = msgp.AppendString(b, "value")
	b = appendMsgpackValue(b, r.Value)
	b = msgp.AppendString(b, "quality")
	b = msgp.AppendString(b, string(r.Quality))
	if r.Unit != "" {
		b = msgp.AppendString(b, "unit")
		b = msgp.AppendString(b, r.Unit)
	}
	if r.Error != "" {
		b = msgp.AppendString(b, "error")
		b = msgp.AppendString(b, r.Error)
	}
	if !r.Time.Synced {
		b = msgp.AppendString(b, "ts_synced")
		b = msgp.AppendBool(b, false)
	}
	return b
}

func appendMsgpackValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case float64:
		return msgp.AppendFloat64(b, v)
	case float32:
		return msgp.AppendFloat32(b, v)
	case int64:
		return msgp.AppendInt64(b, v)
	case uint64:
		return msgp.AppendUint64(b, v)
	case bool:
		return msgp.AppendBool(b, v)
	case string:
		return msgp.AppendString(b, v)
	case List:
		return msgp.AppendString(b, string(v))
	}
	return msgp.AppendNil(b)
}

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// timeText formats times; it remembers the last one, because the readings of one
// transaction have the same.
type timeText struct {
	ms   int64
	text string
}

func (t *timeText) of(at time.Time) string {
	if ms := at.UnixMilli(); ms != t.ms || t.text == "" {
		t.ms, t.text = ms, at.UTC().Format(timeFormat)
	}
	return t.text
}
