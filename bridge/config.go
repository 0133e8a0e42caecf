package bridge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// Config is one bridge. Zero values mean the defaults given here.
type Config struct {
	Name    string // "bridge:NAME" is the publisher of what it brings in
	Gateway string // begins weir-id, so it must differ from gateway to gateway

	URLs     []string // mqtt, mqtts, ws or wss; when one fails the next is tried
	Select   string   // which of them: "primary" (default) or "round-robin"
	Preset   string   // one of Presets; default "generic"
	ClientID string   // names the session upstream, so it must stay the same
	Username string
	Password string
	Protocol string // "5" or "3.1.1"; default: 5, and 3.1.1 where that is refused
	TLS      TLS    // for mqtts and wss
	SASKey   string // of an Azure IoT Hub device, from which passwords are made
	// What is in these files at a connection is used in the place of Password and SASKey,
	// if there is something: a secret is changed without a restart, as a certificate is.
	PasswordFile, SASKeyFile string

	Proxy       Proxy
	BindAddress string // the IP address that connections come from; default: any
	// FailBack is how often the first server is tried while another one is in use.
	// Default 1 min.
	FailBack time.Duration
	// Quarantine keeps a message that the upstream cannot have, and has synced it
	// when it returns. Default: such messages are dropped, counted and logged.
	Quarantine func(Quarantined) error
	// Home is the session that KeepHome was told last, in a process before; "": not known.
	// KeepHome has it on the disk when it returns. It matters where there are several
	// servers, or the client id was another one: packet ids belong to one session.
	// Default: it is not kept.
	Home     string
	KeepHome func(session string) error

	Out []OutRule
	In  []InRule

	// StateTopic is where the upstream shows, retained, whether the uplink is "online"
	// or "offline", also when it ends without a goodbye. Default: nowhere.
	StateTopic string

	// Gather is how long the messages of a steady stream may wait for each other, so
	// that several leave at once; see gather.go. 0: none waits.
	Gather    time.Duration
	Connect   Connect
	Drain     Drain
	Keepalive time.Duration // default 30 s
	Backoff   Backoff

	// SessionExpiry is how long the upstream keeps our session without us (MQTT 5).
	// Default: for ever.
	SessionExpiry time.Duration
	// MaxInflight bounds the messages of QoS 1 and 2 that are under way, below the
	// upstream's Receive Maximum. Default 1000 in MQTT 5, 100 in 3.1.1, where the
	// upstream cannot tell how many it takes, and 20 there with a rule of QoS 2.
	MaxInflight int
	// MaxPacket is the largest packet that we take from the upstream, in bytes.
	// Default 2 MiB.
	MaxPacket int
	// MaxHops is how many gateways a message may have passed. Default 8.
	MaxHops int
	// Transit passes on what came over another bridge also where MQTT 3.1.1 carries no
	// sign by which a message that goes round could be known. Default: not.
	Transit bool
	// ConnectTimeout is for DNS, TCP, TLS and CONNACK together. Default 20 s.
	ConnectTimeout time.Duration
	// AckTimeout: an upstream that lives but acknowledges nothing for so long while
	// something is under way is dialled anew. Default 60 s.
	AckTimeout time.Duration
	// UserTimeout is how long sent bytes may stay unacknowledged by the peer's TCP
	// (Linux). Default 10 s.
	UserTimeout time.Duration

	Clock *core.Clock // default: one of its own
	Seen  *Seen       // of the gateway, for all its bridges; default: one of its own
	// Dial opens a connection to "host:port". Default: TCP with keep-alive and
	// UserTimeout.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// TLS is how mqtts checks the upstream and proves who we are. The files are read
// at each connection, so that renewed certificates need no restart.
type TLS struct {
	CA         string // file of PEM certificates; default: those of the system
	Cert, Key  string // files of PEM
	ServerName string // default: the host in the URL
	ALPN       []string
	Insecure   bool // any certificate is good
}

// OutRule selects what goes to the upstream. See the package comment for prefixes.
type OutRule struct {
	Filter       string
	Exclude      []string
	QoS          core.QoS // at most
	BufferQoS0   bool     // keep messages of QoS 0 that cannot go now as if they had QoS 1
	Retain       string   // "keep" (default) or "strip"
	LocalPrefix  string
	RemotePrefix string
	RemoteTopic  string // a template, in the place of RemotePrefix; see template.go
	Priority     int    // 0..9, 9 first
	OnFull       core.OnFull
	MaxBytes     int64
	MaxAge       time.Duration
	History      time.Duration // how long what was delivered is kept
	Stamp        string        // "buffered" (default), "always" or "never": see stamp.go
	Thin         Thin
	// Properties are added to each message (MQTT 5).
	Properties []core.UserProperty
}

// LocalFilter is what the local broker matches.
func (r OutRule) LocalFilter() string { return r.LocalPrefix + r.Filter }

// LocalExcludes are the filters of what the rule leaves out.
func (r OutRule) LocalExcludes() []string {
	out := make([]string, len(r.Exclude))
	for i, f := range r.Exclude {
		out[i] = r.LocalPrefix + f
	}
	return out
}

// Policy bounds the rule's queue.
func (r OutRule) Policy() core.Policy {
	return core.Policy{Priority: r.Priority, MaxBytes: r.MaxBytes, MaxAge: r.MaxAge, OnFull: r.OnFull}
}

// InRule selects what comes from the upstream.
type InRule struct {
	Filter       string
	QoS          core.QoS
	LocalPrefix  string
	RemotePrefix string
	LocalTopic   string // a template, in the place of LocalPrefix
}

// RemoteFilter is what the upstream matches.
func (r InRule) RemoteFilter() string { return r.RemotePrefix + r.Filter }

// Drain limits how fast messages leave.
type Drain struct {
	Rate  float64 // messages a second; 0: as fast as the upstream takes them
	Burst int     // default 100
	// LiveShare is the part of what leaves that messages get that are new, while a
	// backlog drains beside them; 0: they wait behind it. See the package comment.
	LiveShare float64
}

// Backoff is the pause between attempts to connect: decorrelated jitter from Min
// (default 1 s) to Max (default 60 s). When the upstream has refused us, it is
// between one and two times Max.
type Backoff struct{ Min, Max time.Duration }

// The words of the configuration.
const (
	Keep  = "keep"
	Strip = "strip"

	StampBuffered = "buffered"
	StampAlways   = "always"
	StampNever    = "never"

	PresetGeneric = "generic"

	protocol5   = "5"
	protocol311 = "3.1.1"
)

func (c Config) withDefaults() Config {
	setDefault(&c.Preset, PresetGeneric)
	setDefault(&c.Select, SelectPrimary)
	setDefault(&c.FailBack, time.Minute)
	c.withPreset()
	setDefault(&c.Drain.Burst, 100)
	setDefault(&c.Keepalive, 30*time.Second)
	setDefault(&c.Backoff.Min, time.Second)
	setDefault(&c.Backoff.Max, time.Minute)
	setDefault(&c.SessionExpiry, core.NeverExpires)
	setDefault(&c.MaxPacket, 2<<20)
	setDefault(&c.MaxHops, 8)
	setDefault(&c.ConnectTimeout, 20*time.Second)
	setDefault(&c.AckTimeout, time.Minute)
	setDefault(&c.UserTimeout, 10*time.Second)
	if c.Seen == nil {
		c.Seen = NewSeen()
	}
	if c.Clock == nil {
		c.Clock = core.NewClock()
	}
	c.Out = append([]OutRule(nil), c.Out...)
	for i := range c.Out {
		setDefault(&c.Out[i].Retain, Keep)
		setDefault(&c.Out[i].Stamp, StampBuffered)
		setDefault(&c.Out[i].OnFull, core.DropOldest)
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Validate names everything that is wrong, each on a line of its own. It reads
// the files of TLS.
func (c Config) Validate() error {
	c = c.withDefaults()
	var f faults
	f.check(c.Name != "", "name", c.Name, "given")
	f.check(c.ClientID != "", "client_id", c.ClientID, "given: it names the session upstream")
	c.checkPreset(&f)
	c.checkWay(&f)
	f.oneOf("protocol", c.Protocol, "", protocol5, protocol311)
	f.check(c.Username != "" || c.Password == "" || c.Protocol == protocol5, "username", c.Username,
		"given with a password before MQTT 5") // [MQTT-3.1.2-22] of 3.1.1
	f.check(c.Keepalive >= time.Second && c.Keepalive <= 65535*time.Second, "keepalive", c.Keepalive, "between 1s and 65535s")
	f.check(c.Backoff.Min > 0 && c.Backoff.Min <= c.Backoff.Max, "backoff.min", c.Backoff.Min, "more than 0 and at most backoff.max")
	f.check(c.Drain.Rate >= 0, "drain.rate", c.Drain.Rate, "0 or more")
	f.check(c.Drain.Burst >= 1, "drain.burst", c.Drain.Burst, "at least 1")
	f.check(c.Drain.LiveShare >= 0 && c.Drain.LiveShare <= 1, "drain.live_share", c.Drain.LiveShare, "between 0 and 1")
	f.check(c.MaxInflight >= 0 && c.MaxInflight <= 65535, "max_inflight", c.MaxInflight, "at most 65535")
	f.check(c.MaxPacket >= 1<<10 && c.MaxPacket <= packet.MaxLength, "max_packet", c.MaxPacket, "between 1 KiB and 256 MiB")
	f.check(len(c.Out)+len(c.In) > 0, "out", "none", "given, or in: a bridge without rules does nothing")
	c.Connect.check(&f)
	if err := topic.ValidName(c.StateTopic); c.StateTopic != "" && err != nil {
		f.check(false, "state_topic", c.StateTopic, "a topic: "+err.Error())
	}
	c.checkServers(&f)
	for i, r := range c.Out {
		r.check(&f, fmt.Sprintf("out[%d]", i))
	}
	for i, r := range c.In {
		r.check(&f, fmt.Sprintf("in[%d]", i))
	}
	return errors.Join(f...)
}

// checkWay looks at how the servers are reached.
func (c Config) checkWay(f *faults) {
	f.oneOf("select", c.Select, SelectPrimary, SelectRoundRobin)
	f.check(c.FailBack >= time.Second, "fail_back", c.FailBack, "at least 1s")
	if c.Proxy.URL != "" {
		if _, _, err := c.Proxy.parse(); err != nil {
			f.check(false, "proxy.url", c.Proxy.URL, err.Error())
		}
	}
	f.check(len(c.Proxy.Username) <= 255 && len(c.Proxy.Password) <= 255, "proxy.username", c.Proxy.Username, "at most 255 bytes, and the password too")
	if c.BindAddress != "" {
		f.check(net.ParseIP(c.BindAddress) != nil, "bind_address", c.BindAddress, "an IP address of this machine")
	}
	if c.SASKey != "" {
		if _, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.SASKey)); err != nil {
			f.check(false, "sas_key", "given", "base64, as the portal shows it")
		}
	}
}

func (c Config) checkServers(f *faults) {
	f.check(len(c.URLs) > 0, "url", "", "given")
	secure := false
	for _, u := range c.URLs {
		s, err := parseServer(u)
		if err != nil {
			*f = append(*f, fmt.Errorf("url: %w", err))
			continue
		}
		secure = secure || s.tls
	}
	if secure {
		if _, err := c.TLS.load(""); err != nil {
			*f = append(*f, fmt.Errorf("tls: %w", err))
		}
	}
}

func (r OutRule) check(f *faults, path string) {
	f.filter(path+".filter", r.Filter)
	if r.LocalPrefix != "" {
		f.filter(path+".local_prefix + filter", r.LocalFilter())
	}
	f.prefix(path+".local_prefix", r.LocalPrefix)
	f.prefix(path+".remote_prefix", r.RemotePrefix)
	f.template(path+".remote_topic", r.RemoteTopic)
	f.check(r.RemoteTopic == "" || r.RemotePrefix == "", path+".remote_topic", r.RemoteTopic, "without remote_prefix")
	for i, x := range r.LocalExcludes() {
		f.filter(fmt.Sprintf("%s.exclude[%d]", path, i), x)
	}
	f.check(r.QoS <= core.ExactlyOnce, path+".qos", r.QoS, "0, 1 or 2")
	f.check(!r.BufferQoS0 || r.QoS > core.AtMostOnce, path+".buffer_qos0", r.BufferQoS0, "false where qos is 0: such a rule keeps nothing")
	f.check(r.Priority >= 0 && r.Priority <= 9, path+".priority", r.Priority, "between 0 and 9")
	f.check(r.MaxBytes >= 0, path+".max_bytes", r.MaxBytes, "0 or more")
	f.check(r.MaxAge >= 0, path+".max_age", r.MaxAge, "0 or more")
	r.Thin.check(f, path)
	f.oneOf(path+".retain", r.Retain, Keep, Strip)
	f.oneOf(path+".stamp", r.Stamp, StampBuffered, StampAlways, StampNever)
	f.oneOf(path+".on_full", string(r.OnFull), string(core.Refuse), string(core.DropOldest), string(core.DropNewest))
}

func (r InRule) check(f *faults, path string) {
	f.filter(path+".remote_prefix + filter", r.RemoteFilter())
	f.prefix(path+".local_prefix", r.LocalPrefix)
	f.prefix(path+".remote_prefix", r.RemotePrefix)
	f.template(path+".local_topic", r.LocalTopic)
	f.check(r.LocalTopic == "" || r.LocalPrefix == "", path+".local_topic", r.LocalTopic, "without local_prefix")
	f.check(!strings.HasPrefix(r.LocalPrefix+r.Filter, "$"), path+".local_prefix", r.LocalPrefix,
		"one that does not make topics with $ in front: those are the broker's own")
	f.check(r.QoS <= core.ExactlyOnce, path+".qos", r.QoS, "0, 1 or 2")
}

// faults gathers what is wrong.
type faults []error

func (f *faults) check(ok bool, field string, value any, want string) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s (%v) must be %s", field, value, want))
	}
}

func (f *faults) oneOf(field, value string, words ...string) {
	for _, w := range words {
		if value == w {
			return
		}
	}
	if words[0] == "" {
		words = words[1:]
	}
	last := len(words) - 1
	f.check(false, field, value, strings.Join(words[:last], ", ")+" or "+words[last])
}

func (f *faults) filter(field, filter string) {
	if strings.HasPrefix(filter, "$share/") {
		f.check(false, field, filter, "one without $share")
	} else if err := topic.ValidFilter(filter); err != nil {
		f.check(false, field, filter, "a topic filter: "+err.Error())
	}
}

func (f *faults) prefix(field, prefix string) {
	if prefix == "" {
		return
	}
	if err := topic.ValidName(prefix); err != nil {
		f.check(false, field, prefix, "the beginning of a topic: "+err.Error())
	}
}
