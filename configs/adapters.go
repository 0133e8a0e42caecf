package configs

import (
	"regexp"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core"
)

// longestPeriod is the longest time between two requests to a device.
const longestPeriod = 31 * strict.Day

func (c *Config) readAdapters(m *strict.Map) {
	var names strict.Names
	lines := make(lineUsers)
	m.List("adapters", func(m *strict.Map) {
		var a Adapter
		kind := ""
		m.Need("name", &a.Name)
		a.Name = m.Unique("name", a.Name, &names)
		m.Require("type")
		strict.Choice(m, "type", &kind, "modbus", "serial")
		switch kind {
		case "modbus":
			a.Modbus = readModbus(m, a.Name)
			lines.modbus(m, &a)
		case "serial":
			a.Serial = readSerial(m, a.Name)
			lines.serial(m, &a)
		default:
			m.Skip()
		}
		c.Adapters = append(c.Adapters, a)
	})
}

// readOutput reads how readings become messages.
func readOutput(m *strict.Map, name, topic string) adapters.Output {
	o := adapters.Output{Adapter: name, Topic: topic, Format: adapters.JSON, QoS: core.AtLeastOnce}
	m.String("topic", &o.Topic)
	strict.Choice(m, "payload", &o.Format, adapters.JSON, adapters.Raw, adapters.JSONBatch, adapters.Msgpack)
	strict.Int(m, "qos", &o.QoS, core.AtMostOnce, core.ExactlyOnce)
	m.Bool("retain", &o.Retain)
	return o
}

// readRule reads when a value is reported.
func readRule(m *strict.Map, r *adapters.Rule) {
	m.Bool("on_change", &r.OnChange)
	m.FloatOrPercent("deadband", &r.Deadband, &r.Percent)
	m.Duration("heartbeat", &r.Heartbeat, 0, longest)
	m.Duration("min_interval", &r.MinInterval, 0, longest)
}

// readPeriod reads how often something is asked; 0 leaves it to what is around.
func readPeriod(m *strict.Map, v *time.Duration) {
	m.Duration("every", v, time.Millisecond, longestPeriod)
}

// unstable are the names that Linux gives to USB adapters in the order in which
// they were found.
var unstable = regexp.MustCompile(`/dev/tty(USB|ACM)[0-9]+`)

func warnUnstable(m *strict.Map, key, device string) {
	if name := unstable.FindString(device); name != "" {
		m.Warn(key, name+" may be another adapter after the next start", "name it by /dev/serial/by-id/…, which stays the same")
	}
}
