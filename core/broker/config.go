package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
)

// Config is what a broker is made from. The zero value is a broker without
// listeners that takes connections through Serve and publications through Publish.
type Config struct {
	Listeners []Listener
	Limits    Limits
	// SpillAfter is how long a QoS 1 message may stay in memory only, in the hope
	// that all its receivers acknowledge it. Default 250 ms.
	SpillAfter time.Duration
	// RetainedFlush is how long a retained message of QoS 0 may stay in memory
	// only. Default 10 s.
	RetainedFlush time.Duration
	// SysInterval is how often $SYS is published. Default 10 s; negative: never.
	SysInterval time.Duration
	Version     string       // shown on $SYS/broker/version
	Clock       *core.Clock  // default: one of its own
	Logger      *slog.Logger // default: discards
	// Fleeting: the store keeps nothing now, so that only sessions that end with
	// their connection are let in. The others are to come again.
	Fleeting bool
	Auth     Authenticator // nil: nobody has a user name, everybody may do everything
	// Loops says whether a client's message, which has user properties, has been here
	// before; it is called by the loop and must not wait. nil: none has.
	Loops func(*core.Message) bool
}

// Listener is one address that clients connect to.
type Listener struct {
	Name      string
	Address   string // "host:port" or "unix:///path"
	Anonymous bool   // clients without a user name are welcome

	TLS       *transport.TLSFiles  // nil: none
	WebSocket *transport.WebSocket // nil: MQTT without it
	// ProxyFrom are the addresses of proxies, whose connections begin with the
	// header of the PROXY protocol; nobody else may connect then. Empty: no proxies.
	// On a Unix socket any prefix will do.
	ProxyFrom []netip.Prefix

	Versions []packet.Version // of MQTT that are spoken; empty: all

	MaxConnections int // 0: only the limit of all together
	MaxPacket      int // 0: that of all
}

// Limits bound what clients may cost.
type Limits struct {
	MaxPacket         int           // bytes of a packet from a client; default 2 MiB
	MaxConnections    int           // default 10,000
	MaxPerAddress     int           // connections from one IP address; default: no limit of its own
	MaxOpening        int           // connections that have not sent CONNECT; the oldest gives way; default 1,000
	MaxInflight       int           // QoS > 0 messages on their way to a client; default 64
	ReceiveMaximum    int           // QoS > 0 messages on their way from an MQTT 5 client; default 256
	MaxQueuedBytes    int64         // of messages in memory that wait for slow clients, all together; default 256 MiB
	MaxClientMessages int           // the same for one client, in messages; default 20,000
	MaxClientBytes    int           // and in bytes; default 8 MiB
	MaxSessions       int           // connected or not; default 100,000
	MaxSubscriptions  int           // of one session; default 20,000
	MaxSessionExpiry  time.Duration // default: as long as the client wishes
	MaxKeepalive      time.Duration // longer wishes are cut (MQTT 5) or refused; default: none
	ConnectTimeout    time.Duration // from accept to CONNECT, absolute; default 5 s
}

// maxConnect bounds a CONNECT packet: nobody is known yet who could answer for
// more memory. Three fields and a will fit easily.
const maxConnect = 64 << 10

// maxAliases is the Topic Alias Maximum that clients are told.
const maxAliases = 32

func (c Config) withDefaults() Config {
	setDefault(&c.SpillAfter, 250*time.Millisecond)
	setDefault(&c.RetainedFlush, 10*time.Second)
	setDefault(&c.SysInterval, 10*time.Second)
	if c.Clock == nil {
		c.Clock = core.NewClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l := &c.Limits
	setDefault(&l.MaxPacket, 2<<20)
	setDefault(&l.MaxConnections, 10_000)
	setDefault(&l.MaxPerAddress, l.MaxConnections)
	setDefault(&l.MaxOpening, 1000)
	setDefault(&l.MaxInflight, 64)
	setDefault(&l.ReceiveMaximum, 256)
	setDefault(&l.MaxQueuedBytes, 256<<20)
	setDefault(&l.MaxClientMessages, 20_000)
	setDefault(&l.MaxClientBytes, 8<<20)
	setDefault(&l.MaxSessions, 100_000)
	setDefault(&l.MaxSubscriptions, 20_000)
	setDefault(&l.MaxSessionExpiry, core.NeverExpires)
	setDefault(&l.ConnectTimeout, 5*time.Second)
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate names everything that is wrong with c, after its defaults were set.
func (c Config) validate() error {
	var errs []error
	bad := func(field string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s (%v) must be %s", field, value, want))
	}
	l := c.Limits
	if l.MaxPacket < 1<<10 || l.MaxPacket > 268_435_460 {
		bad("max packet", l.MaxPacket, "between 1 KiB and 256 MiB")
	}
	if l.MaxInflight < 1 || l.MaxInflight > 65535 {
		bad("max inflight", l.MaxInflight, "between 1 and 65535")
	}
	if l.ReceiveMaximum < 1 || l.ReceiveMaximum > 65535 {
		bad("receive maximum", l.ReceiveMaximum, "between 1 and 65535")
	}
	if l.MaxConnections < 1 {
		bad("max connections", l.MaxConnections, "at least 1")
	}
	names := map[string]bool{}
	for _, listener := range c.Listeners {
		if names[listener.Name] {
			bad("listener name", listener.Name, "given once only")
		}
		names[listener.Name] = true
	}
	return errors.Join(errs...)
}

// Authenticator decides who may connect and what they may do.
type Authenticator interface {
	// Authenticate is called on the loop and must not wait. It calls verdict once,
	// from any goroutine. The credentials are the callee's.
	Authenticate(c Credentials, verdict func(Verdict))
	// May is called on the loop for every topic (to publish, to receive) and every
	// filter (to subscribe).
	May(who Principal, do Access, topic string) bool
}

// Credentials are what a client said about itself.
type Credentials struct {
	Listener string
	Address  string
	ClientID string
	// HasUsername and HasPassword tell an empty field from a missing one.
	HasUsername, HasPassword bool
	Username                 string
	Password                 []byte
}

// Verdict is the answer: the identity to which the session will belong, or a
// refusal.
type Verdict struct {
	OK       bool
	Identity string
}

// Principal is a connected client.
type Principal struct{ Identity, ClientID string }

// Access is what a client wants to do.
type Access byte

// The kinds of access.
const (
	Publish   Access = iota // send to a topic
	Subscribe               // subscribe to a filter
	Receive                 // be sent what was published to a topic
)
