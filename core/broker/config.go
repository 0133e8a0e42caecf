package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
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
	// their connection are let in. The others are to come again. It also does not
	// know to whom a message may be owed: one that is owed to nobody here is refused.
	Fleeting bool
	Auth     Authenticator // who a client is; nil: nobody has a user name
	Access   Authorizer    // what it may do; nil: everything
	Audit    Auditor       // nil: nobody
}

// Listener is one address that clients connect to.
type Listener struct {
	Name      string
	Address   string // "host:port" or "unix:///path"
	Anonymous bool   // clients without a user name are welcome

	// Promise is what the acknowledgement of a message from its clients stands for;
	// default: what the store says for all.
	Promise core.Promise

	TLS       *transport.TLSFiles  // nil: none
	WebSocket *transport.WebSocket // nil: MQTT without it
	// ProxyFrom are the addresses of proxies, whose connections begin with the
	// header of the PROXY protocol; nobody else may connect then. Empty: no proxies.
	// On a Unix socket any prefix will do.
	ProxyFrom []netip.Prefix

	Versions []packet.Version // of MQTT that are spoken; empty: all

	MaxConnections int // 0: only the limit of all together
	MaxPacket      int // 0: that of all

	// MountPoint stands before all topics and filters of the clients, who do not
	// see it: they are among themselves below it. Empty, or ending in "/".
	MountPoint string
	// Answers is the response information for clients that ask for it: where they
	// may have answers sent to. {client} is the client id. Empty: none.
	Answers string
	// Redirect sends the clients elsewhere.
	Redirect Redirect
}

// Redirect is another server for clients: as one that is to be used now, or, if it
// has Moved, from now on. To is what MQTT 5 calls a server reference; clients of
// older versions are only refused. An empty To does nothing.
type Redirect struct {
	To    string
	Moved bool
}

func (r Redirect) reason() packet.Reason {
	switch {
	case r.To == "":
		return packet.Success
	case r.Moved:
		return packet.ServerMoved
	}
	return packet.UseAnotherServer
}

// Limits bound what clients may cost. Where a default is a share of the memory, it is so
// where Memory says that there is little.
type Limits struct {
	Memory              int64         // bytes that the process may use; 0: plenty
	MaxPacket           int           // bytes of a packet from a client; default 2 MiB
	MaxConnections      int           // default 10,000
	MaxPerAddress       int           // connections from one IP address; default: no limit of its own
	MaxOpening          int           // connections that have not sent CONNECT; the oldest gives way; default 1,000
	MaxInflight         int           // QoS > 0 messages on their way to a client; default 64
	ReceiveMaximum      int           // QoS > 0 messages on their way from an MQTT 5 client; default 256
	MaxQueuedBytes      int64         // of messages in memory that wait for slow clients, all together; default 256 MiB, or 1/16 of the memory
	MaxPendingBytes     int64         // of packets that have not come whole, and as much of output that peers do not take, all together; default 256 MiB, or 1/16
	MaxClientMessages   int           // that wait for one client; default 20,000
	MaxClientBytes      int           // and in bytes; default 8 MiB
	MaxSessions         int           // connected or not; default 100,000, or one for each 16 KiB of the memory
	MaxSessionsPerUser  int           // of one user, who may be nobody; default: as many as may be connected, so that only those who have gone can be too many
	MaxSubscriptions    int           // of one session; default 20,000
	MaxAllSubscriptions int           // of all; default 1,000,000, or one for each 4 KiB of the memory
	MaxRetainedBytes    int64         // of retained messages in memory; default 256 MiB, or 1/8 of the memory
	MaxWillBytes        int64         // of wills; default 64 MiB, or 1/32 of the memory
	ReconnectRate       int           // connections a second of one session, and five times as many at once; 0: any
	PublishRate         int           // messages a second of one client, and as many at once; who sends more is read from more slowly; 0: any
	MaxSessionExpiry    time.Duration // default: as long as the client wishes
	MaxKeepalive        time.Duration // longer wishes are cut (MQTT 5) or refused; default: none
	ConnectTimeout      time.Duration // at most, from the connection to CONNECT, whatever comes in between; default 5 s
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
	setDefault(&l.MaxClientMessages, 20_000)
	setDefault(&l.MaxClientBytes, 8<<20)
	l.setShares()
	setDefault(&l.MaxSessionsPerUser, l.MaxConnections)
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
		if m := listener.MountPoint; m != "" && (topic.ValidName(m) != nil || !strings.HasSuffix(m, "/") || strings.HasPrefix(m, "$")) {
			bad("mount point", m, `a topic that ends in "/"`)
		}
	}
	return errors.Join(errs...)
}

// Authenticator decides who may connect.
type Authenticator interface {
	// Authenticate is called on the loop and must not wait. It calls verdict once,
	// from any goroutine. The credentials are the callee's.
	Authenticate(c Credentials, verdict func(Verdict))
}

// Authorizer decides what those who are connected may do.
type Authorizer interface {
	// Rights is called on the loop when a client comes, and once more after the
	// rules were replaced (see Broker.Authorize). It must not wait.
	Rights(who Principal) Rights
}

// Rights are what one client may do. They do not change.
type Rights interface {
	// May is called on the loop for every topic (to publish, to receive) and every
	// filter (to subscribe), and should not allocate.
	May(do Access, topic string) bool
}

// Auditor is told who came, who was refused, and who was denied what. The args are
// those of slog.Logger.Info.
type Auditor interface {
	// Often is called on the loop and must not wait.
	Often(event string, args ...any)
}

// Credentials are what a client said about itself: a user name and a password, or
// the first step of an enhanced authentication (MQTT 5).
type Credentials struct {
	Listener string
	Address  string     // as text
	From     netip.Addr // the same; not valid for a Unix socket
	ClientID string
	// HasUsername and HasPassword tell an empty field from a missing one.
	HasUsername, HasPassword bool
	Username                 string
	Password                 []byte
	Method                   string // of the enhanced authentication; "": none
	Data                     []byte
	Renews                   bool // the login of a client that is connected
}

// Verdict is the answer: the identity to which the session will belong, a refusal,
// or, in an enhanced authentication, a question.
type Verdict struct {
	OK       bool
	Identity string
	// Anonymous: nobody has a user name, so that the listener says whether the
	// client is welcome.
	Anonymous bool
	Reason    packet.Reason // of a refusal; default: not authorized
	Why       string        // the same for the log

	Until time.Time   // on the wall clock: the login ends then; zero: never
	Holds func() bool // whether it still holds, asked on the loop (see Recheck); nil: yes

	Data []byte // what the method has to say to the client, with any verdict but a refusal
	// Next is neither yes nor no: the client is asked for more, which goes to Next
	// as to Authenticate.
	Next func(data []byte, verdict func(Verdict))
}

// Principal is a connected client.
type Principal struct {
	Identity, ClientID string
	From               netip.Addr // not valid where it is not known, or for a Unix socket
}

// Access is what a client wants to do.
type Access byte

// The kinds of access.
const (
	Publish   Access = iota // send to a topic
	Subscribe               // subscribe to a filter
	Receive                 // be sent what was published to a topic
)
