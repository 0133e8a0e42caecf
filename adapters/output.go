package adapters

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-edge/weir/core"
)

// Format is the form of the payload.
type Format string

// The payload formats.
const (
	JSON      Format = "json"       // {"ts":…,"value":…,"quality":…,"unit":…}
	Raw       Format = "raw"        // the value as text; a reading without a value is not published
	JSONBatch Format = "json-batch" // one document a device and round of polling
	Msgpack   Format = "msgpack"    // the same fields as JSON, in MessagePack; ts is a timestamp
)

// Output says how an adapter's readings become messages. It is part of every
// adapter's configuration.
type Output struct {
	Adapter string   // the adapter's name
	Topic   string   // template: {adapter} {device} {point} {field}
	Format  Format   // default JSON
	QoS     core.QoS // taken as it is: the configuration file's default is 1
	Retain  bool
}

// Validate returns everything that is wrong with o, joined.
func (o Output) Validate() error {
	var errs []error
	if o.Adapter == "" {
		errs = append(errs, errors.New("adapter name must not be empty"))
	}
	switch o.Format {
	case "", JSON, Raw, JSONBatch, Msgpack:
	default:
		errs = append(errs, fmt.Errorf("payload (%q) must be json, raw, json-batch or msgpack", o.Format))
	}
	if o.QoS > core.ExactlyOnce {
		errs = append(errs, fmt.Errorf("qos (%d) must be 0, 1 or 2", o.QoS))
	}
	if o.Format == JSONBatch && o.Topic != "" && o.DeviceTopic("d") == "" {
		errs = append(errs, fmt.Errorf("topic (%q) must have a level without {point} for json-batch", o.Topic))
	}
	return errors.Join(append(errs, validateTemplate(o.Topic)...)...)
}

func validateTemplate(topic string) (errs []error) {
	if topic == "" {
		return []error{errors.New("topic must not be empty")}
	}
	if strings.ContainsAny(topic, "+#\x00") {
		errs = append(errs, fmt.Errorf("topic (%q) must not contain the wildcards + and #", topic))
	}
	if len(topic) > maxTemplate || !utf8.ValidString(topic) {
		errs = append(errs, fmt.Errorf("topic (%q) must be valid UTF-8 of at most %d bytes", topic, maxTemplate))
	}
	for rest := topic; ; {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			return errs
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || !known(name) {
			return append(errs, fmt.Errorf("topic (%q) must use {adapter}, {device}, {point} or {field} in its braces", topic))
		}
		rest = behind
	}
}

// maxTemplate leaves room for the names within the 65,535 bytes of a topic.
const maxTemplate = 1024

func known(placeholder string) bool {
	switch placeholder {
	case "adapter", "device", "point", "field":
		return true
	}
	return false
}

// PointTopic is the topic of a point.
func (o Output) PointTopic(device, point string) string {
	return o.expand(o.Topic, device, point)
}

// DeviceTopic is the topic of a device's document: the template without the
// levels that name a point.
func (o Output) DeviceTopic(device string) string {
	levels := strings.Split(o.Topic, "/")
	levels = slices.DeleteFunc(levels, func(l string) bool {
		return strings.Contains(l, "{point}") || strings.Contains(l, "{field}")
	})
	return o.expand(strings.Join(levels, "/"), device, "")
}

// expand replaces each placeholder once: what a name brings in stays as it is.
func (o Output) expand(template, device, point string) string {
	var b strings.Builder
	for {
		before, after, open := strings.Cut(template, "{")
		b.WriteString(before)
		if !open {
			return b.String()
		}
		placeholder, behind, _ := strings.Cut(after, "}")
		switch placeholder {
		case "adapter":
			b.WriteString(level(o.Adapter))
		case "device":
			b.WriteString(level(device))
		default:
			b.WriteString(level(point))
		}
		template = behind
	}
}

// level makes name fit for one level of a topic: it can't be empty, add a level,
// be a wildcard or start the reserved tree.
func level(name string) string {
	if name == "" {
		return "_"
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/+#\uFFFD", r) || unicode.IsControl(r) || r&0xFFFE == 0xFFFE {
			return '_'
		}
		return r
	}, name)
	if name[0] == '$' {
		name = "_" + name[1:]
	}
	if len(name) > maxLevel {
		name = strings.ToValidUTF8(name[:maxLevel], "")
	}
	return name
}

// maxLevel keeps a topic of many long names below the limit of MQTT.
const maxLevel = 1024
