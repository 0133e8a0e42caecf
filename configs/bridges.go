package configs

import (
	"math"
	"strings"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core"
)

func (c *Config) readBridges(m *strict.Map) {
	var names strict.Names
	m.List("bridges", func(m *strict.Map) { c.Bridges = append(c.Bridges, readBridge(m, &names)) })
}

func readBridge(m *strict.Map, names *strict.Names) bridge.Config {
	b := bridge.Config{
		Keepalive: 30 * time.Second, Select: bridge.SelectPrimary, FailBack: time.Minute,
		UserTimeout: 10 * time.Second, AckTimeout: time.Minute, Gather: 5 * time.Millisecond,
	}
	m.Need("name", &b.Name)
	b.Name = m.Unique("name", b.Name, names)
	m.Require("url")
	m.OneOrMore("url", &b.URLs)
	readPreset(m, &b.Preset)
	m.Need("client_id", &b.ClientID)
	readLogin(m, &b)
	b.SASKeyFile = m.SecretFile("sas_key_file", &b.SASKey)
	strict.Choice(m, "select", &b.Select, bridge.SelectPrimary, bridge.SelectRoundRobin)
	m.Duration("fail_back", &b.FailBack, time.Second, strict.Day)
	m.Map("proxy", func(m *strict.Map) { readProxy(m, &b.Proxy) })
	m.String("bind_address", &b.BindAddress)
	m.Duration("tcp_user_timeout", &b.UserTimeout, time.Second, time.Hour)
	m.Duration("ack_timeout", &b.AckTimeout, time.Second, time.Hour)
	strict.Choice(m, "protocol", &b.Protocol, "5", "3.1.1")
	m.Map("tls", func(m *strict.Map) { readTLS(m, &b.TLS) })
	m.List("out", func(m *strict.Map) { b.Out = append(b.Out, readOut(m)) })
	m.List("in", func(m *strict.Map) { b.In = append(b.In, readIn(m)) })
	m.List("both", func(m *strict.Map) { readBoth(m, &b) })
	m.Bool("transit", &b.Transit)
	m.Duration("gather", &b.Gather, 0, time.Second)
	m.String("state_topic", &b.StateTopic)
	m.Map("connect", func(m *strict.Map) { readConnect(m, &b.Connect) })
	m.Section("drain", func(m *strict.Map) { readDrain(m, &b.Drain) })
	m.Duration("keepalive", &b.Keepalive, time.Second, math.MaxUint16*time.Second)
	m.Section("backoff", func(m *strict.Map) { readBackoff(m, &b.Backoff) })
	strict.Int(m, "max_inflight", &b.MaxInflight, 0, math.MaxUint16)
	m.Check(b.Validate())
	return b
}

func readPreset(m *strict.Map, preset *string) {
	*preset = bridge.PresetGeneric
	strict.Choice(m, "preset", preset, bridge.Presets()...)
}

func readProxy(m *strict.Map, p *bridge.Proxy) {
	m.Need("url", &p.URL)
	m.String("username", &p.Username)
	m.Secret("password", &p.Password)
	m.SecretFile("password_file", &p.Password)
}

// readBoth is a rule in each direction: what goes out is not brought in again.
func readBoth(m *strict.Map, b *bridge.Config) {
	out := bridge.OutRule{QoS: core.AtLeastOnce, Retain: bridge.Keep, OnFull: core.DropOldest, Stamp: bridge.StampBuffered}
	m.Need("filter", &out.Filter)
	strict.Int(m, "qos", &out.QoS, core.AtMostOnce, core.ExactlyOnce)
	m.String("local_prefix", &out.LocalPrefix)
	m.String("remote_prefix", &out.RemotePrefix)
	b.Out = append(b.Out, out)
	b.In = append(b.In, bridge.InRule{Filter: out.Filter, QoS: out.QoS, LocalPrefix: out.LocalPrefix, RemotePrefix: out.RemotePrefix})
}

// readProperties reads "name=value" lines.
func readProperties(m *strict.Map, to *[]core.UserProperty) {
	var lines []string
	m.Strings("properties", &lines)
	for _, line := range lines {
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			m.Problem("properties", "properties ("+line+") must be name=value", "")
			continue
		}
		*to = append(*to, core.UserProperty{Name: name, Value: value})
	}
}

// readLogin reads the user and its password, which stands in the file itself or
// in one of its own.
func readLogin(m *strict.Map, b *bridge.Config) {
	m.String("username", &b.Username)
	if m.Has("password") && m.Has("password_file") {
		m.Problem("password", "password and password_file exclude each other", "keep password_file")
	}
	m.Secret("password", &b.Password)
	b.PasswordFile = m.SecretFile("password_file", &b.Password)
	if b.Password == "" {
		return
	}
	for _, url := range b.URLs {
		if strings.HasPrefix(url, "mqtt://") {
			m.Warn("url", "the password goes to the upstream in the clear", "use mqtts:// where the upstream has it")
		}
	}
}

func readTLS(m *strict.Map, t *bridge.TLS) {
	m.File("ca", &t.CA)
	m.File("cert", &t.Cert)
	m.File("key", &t.Key)
	m.String("server_name", &t.ServerName)
	m.Strings("alpn", &t.ALPN)
	if m.Bool("insecure", &t.Insecure); t.Insecure {
		m.Warn("insecure", "everybody can pass himself off as the upstream: its certificate is not checked", "name the authority that signed it with ca")
	}
}

func readOut(m *strict.Map) bridge.OutRule {
	r := bridge.OutRule{QoS: core.AtLeastOnce, Retain: bridge.Keep, OnFull: core.DropOldest, Stamp: bridge.StampBuffered}
	m.Need("filter", &r.Filter)
	m.Strings("exclude", &r.Exclude)
	strict.Int(m, "qos", &r.QoS, core.AtMostOnce, core.ExactlyOnce)
	if m.Bool("buffer_qos0", &r.BufferQoS0); r.BufferQoS0 && r.QoS == core.AtMostOnce {
		m.Problem("buffer_qos0", "a rule with qos 0 keeps nothing", "set qos to 1 or 2: messages of QoS 0 still go with QoS 0 while the uplink is there")
	}
	strict.Choice(m, "retain", &r.Retain, bridge.Keep, bridge.Strip)
	m.String("local_prefix", &r.LocalPrefix)
	m.String("remote_prefix", &r.RemotePrefix)
	m.String("remote_topic", &r.RemoteTopic)
	readProperties(m, &r.Properties)
	strict.Int(m, "priority", &r.Priority, 0, 9)
	strict.Choice(m, "on_full", &r.OnFull, core.DropOldest, core.DropNewest, core.Refuse)
	m.Size("max_bytes", &r.MaxBytes, 0, 1024*tib)
	m.Duration("max_age", &r.MaxAge, 0, longest)
	readHistory(m, &r)
	strict.Choice(m, "stamp", &r.Stamp, bridge.StampBuffered, bridge.StampAlways, bridge.StampNever)
	m.Duration("min_interval", &r.Thin.Interval, 0, longest)
	m.FloatOrPercent("deadband", &r.Thin.Deadband, &r.Thin.Percent)
	return r
}

// readHistory takes a history for rules whose messages are in the log.
func readHistory(m *strict.Map, r *bridge.OutRule) {
	m.Duration("history", &r.History, 0, longest)
	if r.History > 0 && r.QoS == core.AtMostOnce {
		m.Problem("history", "a rule with qos 0 keeps no history", "set qos to 1 or 2, or remove history")
	}
}

func readIn(m *strict.Map) bridge.InRule {
	r := bridge.InRule{QoS: core.AtLeastOnce}
	m.Need("filter", &r.Filter)
	strict.Int(m, "qos", &r.QoS, core.AtMostOnce, core.ExactlyOnce)
	m.String("local_prefix", &r.LocalPrefix)
	m.String("remote_prefix", &r.RemotePrefix)
	m.String("local_topic", &r.LocalTopic)
	return r
}

func readConnect(m *strict.Map, c *bridge.Connect) {
	c.Linger = 10 * time.Second
	m.Strings("windows", &c.Windows)
	strict.Int(m, "when_owed", &c.Owed, 0, math.MaxInt32)
	m.Duration("when_waiting", &c.Age, 0, longest)
	m.Duration("linger", &c.Linger, time.Second, strict.Day)
}

func readDrain(m *strict.Map, d *bridge.Drain) {
	d.Burst = 100
	m.Float("rate", &d.Rate, 0, math.Inf(1))
	strict.Int(m, "burst", &d.Burst, 1, 1_000_000)
	m.Float("live_share", &d.LiveShare, 0, 1)
}

func readBackoff(m *strict.Map, b *bridge.Backoff) {
	b.Min, b.Max = time.Second, time.Minute
	m.Duration("min", &b.Min, 10*time.Millisecond, strict.Day)
	m.Duration("max", &b.Max, 10*time.Millisecond, strict.Day)
}
