package packet

// Pingreq and Pingresp keep a connection alive.
type (
	Pingreq  struct{}
	Pingresp struct{}
)

// Type is PINGREQ.
func (*Pingreq) Type() Type { return PINGREQ }

// Size is the size of the whole packet.
func (*Pingreq) Size(Version) int { return 2 }

// AppendTo appends the whole packet.
func (*Pingreq) AppendTo(b []byte, _ Version) []byte { return appendHeader(b, PINGREQ, 0, 0) }

// Type is PINGRESP.
func (*Pingresp) Type() Type { return PINGRESP }

// Size is the size of the whole packet.
func (*Pingresp) Size(Version) int { return 2 }

// AppendTo appends the whole packet.
func (*Pingresp) AppendTo(b []byte, _ Version) []byte { return appendHeader(b, PINGRESP, 0, 0) }
