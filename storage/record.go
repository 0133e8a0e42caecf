package storage

//go:generate go tool msgp -file record.go -o record_gen.go -tests=false -io=false -unexported

//msgp:limit arrays:131072

// messageRecord is one message of a page. Times are relative to the page's base
// stamp, so that they cost few bytes.
//
//msgp:tuple messageRecord
type messageRecord struct {
	Seq        uint64 // above the page's base
	Topic      name
	Payload    []byte `msg:",limit=67108864"`
	Flags      uint8  // see flagRetain and its kin
	Publisher  name
	Mono       int64  // above the base
	Skew       int64  // wall minus monotonic time, above that of the base
	Boot       uint64 // xor that of the base
	Expiry     int64  // nanoseconds
	Hops       uint8
	Properties *propertiesRecord
	Owed       []uint32 // indexes into the page's receivers; none means all of them
}

// The bits of messageRecord.Flags; the lowest two are the QoS.
const (
	flagQoS    = 3
	flagRetain = 4
	flagSynced = 8 // the wall clock was known to be right
)

//msgp:tuple propertiesRecord
type propertiesRecord struct {
	UTF8Payload     bool
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte   `msg:",limit=65536"`
	User            []string // name, value, name, value
}

//msgp:tuple stampRecord
type stampRecord struct {
	Wall   int64
	Mono   int64
	Boot   uint64
	Synced bool
}

// indexRecord is the part of a page that is read without decoding its messages.
//
//msgp:tuple indexRecord
type indexRecord struct {
	Base      stampRecord // of the first message
	Newest    stampRecord // of the last message
	Receivers []debtorRecord
	Changes   []op
}

// debtorRecord sums up what a page or a segment owes to one receiver.
//
//msgp:tuple debtorRecord
type debtorRecord struct {
	Receiver uint64
	Count    uint64
	Bytes    uint64
	First    uint64 // seq
	Last     uint64
}

// op is one change of the key space of the state.
//
//msgp:tuple op
type op struct {
	Kind  uint8
	Key   []byte
	Value []byte `msg:",limit=67108864"`
}

// The kinds of op.
const (
	opSet    = 1
	opDelete = 2
	opClear  = 3 // deletes all keys that begin with Key
)

// positionRecord is what a receiver has paid.
//
//msgp:tuple positionRecord
type positionRecord struct {
	Position uint64   // every debt up to it is paid
	Sent     uint64   // the newest seq ever handed out
	Ahead    []uint64 // paid above the position, as distances from one to the next
	Segment  uint64   // the oldest segment in which something is owed
	Paid     uint64   // how much of that segment is paid
	Page     uint64   // no page before this one is needed
	SkipFrom uint64   // the Skip oldest above this seq were dropped
	Skip     uint64
}

//msgp:tuple sessionRecord
type sessionRecord struct {
	Receiver uint64
	Identity string
	Expiry   int64
	Ended    stampRecord
}

//msgp:tuple willRecord
type willRecord struct {
	Identity string
	Delay    int64
	Message  messageRecord
}

//msgp:tuple subscriptionRecord
type subscriptionRecord struct {
	Options uint8
	ID      uint32
}

//msgp:tuple ruleRecord
type ruleRecord struct {
	Receiver uint64
}

//msgp:tuple outgoingRecord
type outgoingRecord struct {
	Receiver uint64
	Seq      uint64
	Released bool
}

// checkpointRecord ends a checkpoint.
//
//msgp:tuple checkpointRecord
type checkpointRecord struct {
	Format uint32
	Page   uint64 // the state is complete up to this page
	Seq    uint64 // no seq above this one was given out before
	Count  uint64 // of facts
	Digest uint64 // of facts
}

// sealRecord describes a segment that will not change any more.
//
//msgp:tuple sealRecord
type sealRecord struct {
	Format    uint32
	First     uint64 // page
	Last      uint64
	Messages  uint64
	Bytes     uint64 // of pages
	Oldest    stampRecord
	Newest    stampRecord
	Receivers []debtorRecord
	Files     []fileRecord
}

//msgp:tuple fileRecord
type fileRecord struct {
	Name string
	Size int64
	CRC  uint32 // Castagnoli
}
