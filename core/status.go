package core

import "time"

// Status is the whole state that the gateway shows: the console's JSON, the
// metrics and `weir status` are made from it. Durations are in seconds, sizes
// in bytes.
type Status struct {
	Gateway     string          `json:"gateway"`
	Version     string          `json:"version"`
	Started     time.Time       `json:"started"`
	Uptime      float64         `json:"uptime_seconds"`
	Ready       bool            `json:"ready"`
	ClockSynced bool            `json:"clock_synced"`
	Broker      BrokerStatus    `json:"broker"`
	Auth        *AuthStatus     `json:"auth,omitempty"` // nil: there are no users
	Clients     []ClientStatus  `json:"clients"`
	Buffer      BufferStatus    `json:"buffer"`
	Adapters    []AdapterStatus `json:"adapters"`
	Bridges     []BridgeStatus  `json:"bridges"`
	Process     ProcessStatus   `json:"process"`
}

// BrokerStatus counts since the start unless it says 'now'.
type BrokerStatus struct {
	Listeners        []ListenerStatus  `json:"listeners"`
	Connections      int               `json:"connections"`   // now
	Sessions         int               `json:"sessions"`      // now, connected or not
	Subscriptions    int               `json:"subscriptions"` // now
	Retained         int               `json:"retained"`      // now
	MessagesReceived uint64            `json:"messages_received"`
	MessagesSent     uint64            `json:"messages_sent"`
	BytesReceived    uint64            `json:"bytes_received"`
	BytesSent        uint64            `json:"bytes_sent"`
	Connects         uint64            `json:"connects"`
	RetainedBytes    int64             `json:"retained_bytes"` // now
	Held             uint64            `json:"held"`           // times that a client was kept to limits.publish_rate
	StoreWaits       uint64            `json:"store_waits"`    // times that a client was held back until the store had room
	Refused          map[string]uint64 `json:"refused"`        // connections refused or ended, by reason
	Dropped          map[Reason]uint64 `json:"dropped"`        // messages, by reason
}

// AuthStatus is who may log in, and how that went since the start.
type AuthStatus struct {
	Users     int               `json:"users"`
	TokenKeys int               `json:"token_keys"`
	Logins    map[string]uint64 `json:"logins"`   // by result
	Waiting   int               `json:"waiting"`  // logins that wait for their check, now
	HeldOff   int               `json:"held_off"` // addresses and user names, now
}

// ListenerStatus is one address that clients connect to.
type ListenerStatus struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Protocol    string `json:"protocol"` // mqtt, mqtts, ws, wss
	Connections int    `json:"connections"`
	// With TLS: when its certificate ends, and why what is in the files now is not
	// in force.
	CertificateExpires *time.Time `json:"certificate_expires,omitempty"`
	Error              string     `json:"error,omitempty"`
}

// ClientStatus is one session, connected or not.
type ClientStatus struct {
	ClientID      string            `json:"client_id"`
	Address       string            `json:"address,omitempty"`
	Listener      string            `json:"listener,omitempty"`
	User          string            `json:"user,omitempty"`
	Protocol      string            `json:"protocol,omitempty"` // "3.1", "3.1.1", "5.0"
	Connected     bool              `json:"connected"`
	Durable       bool              `json:"durable"`
	Since         time.Time         `json:"since"` // connected or disconnected since
	Keepalive     float64           `json:"keepalive_seconds"`
	Subscriptions int               `json:"subscriptions"`
	Queued        uint64            `json:"queued"` // messages owed
	Inflight      int               `json:"inflight"`
	Dropped       map[Reason]uint64 `json:"dropped,omitempty"`
}

// BufferStatus is the store's state: what is owed, and what it costs.
type BufferStatus struct {
	Messages      uint64            `json:"messages"` // on disk and owed, each counted once
	History       uint64            `json:"history"`  // messages that rules keep after delivery
	Bytes         uint64            `json:"bytes"`    // of the store on disk
	Budget        uint64            `json:"budget"`
	OldestSeconds float64           `json:"oldest_seconds"` // age of the oldest message owed
	Segments      int               `json:"segments"`
	Held          int               `json:"held"`          // in memory only, their debts open
	Written       uint64            `json:"written"`       // messages written to disk since the start
	WrittenBytes  uint64            `json:"written_bytes"` // bytes of pages given to the disk since the start
	Commits       uint64            `json:"commits"`
	Dropped       map[Reason]uint64 `json:"dropped"`
	Quarantined   int               `json:"quarantined"`     // segments set aside because they could not be read
	State         string            `json:"state"`           // "ok", "full", "failed", "hangs"
	Error         string            `json:"error,omitempty"` // in plain words, when State is not ok
	HangsSeconds  float64           `json:"hangs_seconds"`   // for which the disk has not answered; 0: it does, or was not asked
	FreeBytes     uint64            `json:"free_bytes"`      // of the file system
	FullSeconds   float64           `json:"full_seconds"`    // until the budget or the disk is used up at this rate; 0: nothing piles up
	Receivers     []ReceiverStatus  `json:"receivers"`
}

// ReceiverStatus is what is owed to one durable receiver.
type ReceiverStatus struct {
	Receiver ReceiverID `json:"receiver"`
	Name     string     `json:"name"` // client id, or bridge and rule
	Rule     bool       `json:"rule"` // of a bridge, not a session
	Owed     uint64     `json:"owed"`
	Bytes    uint64     `json:"bytes"`          // roughly
	Oldest   float64    `json:"oldest_seconds"` // age of the oldest that is on disk
	// Dropped is what was owed and given up since the start, by reason.
	Dropped  map[Reason]uint64 `json:"dropped,omitempty"`
	Priority int               `json:"priority,omitempty"` // of the rule
	MaxBytes uint64            `json:"max_bytes,omitempty"`
	OnFull   string            `json:"on_full,omitempty"`
}

// AdapterStatus is one configured adapter.
type AdapterStatus struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	State    string            `json:"state"` // "starting", "running", "waiting", "failed"
	Error    string            `json:"error,omitempty"`
	Since    time.Time         `json:"since"`
	Readings uint64            `json:"readings"`
	Errors   map[string]uint64 `json:"errors,omitempty"` // by kind
	Devices  []DeviceStatus    `json:"devices,omitempty"`
	BusLoad  float64           `json:"bus_load,omitempty"`                  // 0..1, of the line's time
	Asked    float64           `json:"asked_load,omitempty"`                // what the periods ask for of it; above 1 they can't be kept
	Possible float64           `json:"achievable_period_seconds,omitempty"` // the shortest period that can; only while too much is asked for
}

// DeviceStatus is one device of an adapter.
type DeviceStatus struct {
	Name     string            `json:"name"`
	Up       bool              `json:"up"`
	Error    string            `json:"error,omitempty"`
	LastSeen time.Time         `json:"last_seen"`
	Requests uint64            `json:"requests"`
	Errors   map[string]uint64 `json:"errors,omitempty"`
	P50      float64           `json:"p50_seconds"`
	P99      float64           `json:"p99_seconds"`
}

// Transaction is a request on a line of devices with its answer, for who looks on.
type Transaction struct {
	Time    time.Time `json:"ts"`
	Took    float64   `json:"took_seconds"`
	Unit    int       `json:"unit"`
	Request string    `json:"request"` // the frame, in hexadecimal
	Answer  string    `json:"answer,omitempty"`
	Meaning string    `json:"meaning"` // of the request, in words
	Result  string    `json:"result,omitempty"`
	Error   string    `json:"error,omitempty"`
	Lost    uint64    `json:"lost,omitempty"` // transactions before it that are not told: there were too many
}

// BridgeStatus is one configured bridge.
type BridgeStatus struct {
	Name       string    `json:"name"`
	URL        string    `json:"url"`
	File       string    `json:"file,omitempty"` // where it is configured; none: in the file of the gateway
	State      string    `json:"state"`          // "connecting", "connected", "waiting", "refused", "paused", "resting"
	Error      string    `json:"error,omitempty"`
	Until      string    `json:"until,omitempty"` // what it connects at, while resting
	Since      time.Time `json:"since"`
	Protocol   string    `json:"protocol,omitempty"`
	Published  uint64    `json:"published"` // acknowledged by the upstream, or sent at QoS 0
	Received   uint64    `json:"received"`
	Reconnects uint64    `json:"reconnects"`
	Inflight   int       `json:"inflight"`
	Window     int       `json:"window"`
	RTT        float64   `json:"rtt_seconds"`
	Writes     uint64    `json:"writes"`             // to the connection; each carries all that has come together
	Gathering  bool      `json:"gathering"`          // messages of a steady stream wait for each other now
	PerWrite   float64   `json:"messages_per_write"` // of late
	Owed       uint64    `json:"owed"`
	// DrainRate is how fast Owed gets less, in messages a second; negative: it grows.
	DrainRate    float64      `json:"drain_per_second"`
	DrainSeconds float64      `json:"drain_seconds"` // until nothing is owed at this rate; 0: not known
	FullSeconds  float64      `json:"full_seconds"`  // until the store is full, while what is owed grows; else 0
	Quarantined  int          `json:"quarantined"`   // messages set aside, which the upstream could not have
	Rules        []RuleStatus `json:"rules"`
}

// RuleStatus is one rule of a bridge.
type RuleStatus struct {
	Direction string            `json:"direction"` // "out", "in"
	Filter    string            `json:"filter"`
	Messages  uint64            `json:"messages"`
	Owed      uint64            `json:"owed"`
	Receiver  ReceiverID        `json:"receiver,omitempty"` // of an out rule that keeps messages
	Beside    ReceiverID        `json:"beside,omitempty"`   // the other part, where what is new goes beside a backlog
	Bytes     uint64            `json:"bytes"`              // owed, roughly
	Oldest    float64           `json:"oldest_seconds"`     // age of the oldest owed that is on disk
	Paused    bool              `json:"paused,omitempty"`
	Dropped   map[Reason]uint64 `json:"dropped,omitempty"`
}

// ProcessStatus is what the gateway costs.
type ProcessStatus struct {
	PID        int     `json:"pid"`
	RSS        uint64  `json:"rss_bytes"`
	CPU        float64 `json:"cpu_seconds"`
	Goroutines int     `json:"goroutines"`
	FDs        int     `json:"fds"`
	Written    uint64  `json:"written_bytes"` // to block devices, as the kernel counts
}
