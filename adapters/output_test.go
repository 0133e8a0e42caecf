package adapters

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTopics(t *testing.T) {
	for name, c := range map[string]struct {
		template, device, point string
		wantPoint, wantDevice   string
	}{
		"as in the design": {"plant/{adapter}/{device}/{point}", "m1", "voltage", "plant/meters/m1/voltage", "plant/meters/m1"},
		"field is point":   {"plant/{adapter}/{field}", "", "speed", "plant/meters/speed", "plant/meters"},
		"within a level":   {"a-{device}-z/x{point}", "d", "p", "a-d-z/xp", "a-d-z"},
		"no placeholder":   {"scale", "d", "p", "scale", "scale"},
		"empty names":      {"{device}/{point}", "", "", "_/_", "_"},
		"reserved":         {"{device}/{point}", "$SYS", "a/b+c#d\x00e", "_SYS/a_b_c_d_e", "_SYS"},
		"not expanded":     {"{device}/{point}", "{point}", "{adapter}", "{point}/{adapter}", "{point}"},
		"no UTF-8":         {"{point}", "", "a\xffb\uFFFFc", "a_b_c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := Output{Adapter: "meters", Topic: c.template}
			if got := o.PointTopic(c.device, c.point); got != c.wantPoint {
				t.Errorf("topic of the point is %q, want %q", got, c.wantPoint)
			}
			if got := o.DeviceTopic(c.device); got != c.wantDevice {
				t.Errorf("topic of the device is %q, want %q", got, c.wantDevice)
			}
		})
	}
}

func TestOutputValidate(t *testing.T) {
	for name, c := range map[string]struct {
		o    Output
		want []string // parts of the error
	}{
		"good":                {output(JSON), nil},
		"all at once":         {Output{Topic: "a/+/{devise}", Format: "xml", QoS: 3}, []string{"adapter name", "payload (\"xml\")", "qos (3)", "wildcards", "{adapter}, {device}"}},
		"no topic":            {Output{Adapter: "a"}, []string{"topic must not be empty"}},
		"open brace":          {Output{Adapter: "a", Topic: "x/{point"}, []string{"in its braces"}},
		"batch needs a topic": {Output{Adapter: "a", Topic: "{point}", Format: JSONBatch}, []string{"json-batch"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.o.Validate()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("error is %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error does not have %q:\n%v", part, err)
				}
			}
		})
	}
}

// Whatever the names are, a topic stays one that MQTT allows, at its level.
func FuzzTopic(f *testing.F) {
	f.Add("m1", "voltage")
	f.Add("", "a/b")
	f.Add("\xff+", "#\u0000")
	f.Fuzz(func(t *testing.T, device, point string) {
		o := Output{Adapter: "a", Topic: "{device}/x/{point}"}
		topic := o.PointTopic(device, point)
		switch {
		case strings.Count(topic, "/") != 2, strings.ContainsAny(topic, "+#\x00"), topic[0] == '$':
			t.Errorf("topic is %q", topic)
		case !utf8.ValidString(topic), len(topic) > 65535, strings.HasPrefix(topic, "/"), strings.HasSuffix(topic, "/"):
			t.Errorf("topic is %q", topic)
		}
	})
}
