package broker

// What every single client may cost is bounded, and there may be thousands of them. So
// what they cost together is bounded, too, and on a small machine (Limits.Memory) by a
// share of it: with 64 MiB, 8 for retained messages and 4 for each of the others.

// shareOf is a default: most, or a part of the memory where that is less.
func (l *Limits) shareOf(most, parts int64) int64 {
	if l.Memory <= 0 {
		return most
	}
	return min(most, l.Memory/parts)
}

// setShares sets the defaults that grow with the memory.
func (l *Limits) setShares() {
	const (
		mib          = 1 << 20
		session      = 16 * 1 << 10 // a session and its connection take 2 to 3 KiB: a sixth of the memory at most
		subscription = 16 * 256     // a subscription takes 230 bytes
	)
	setDefault(&l.MaxQueuedBytes, l.shareOf(256*mib, 16))
	setDefault(&l.MaxRetainedBytes, l.shareOf(256*mib, 8))
	setDefault(&l.MaxWillBytes, l.shareOf(64*mib, 32))
	setDefault(&l.MaxSessions, int(l.shareOf(100_000*session, 1)/session))
	setDefault(&l.MaxAllSubscriptions, int(l.shareOf(1_000_000*subscription, 1)/subscription))
	setDefault(&l.MaxPendingBytes, max(l.shareOf(256*mib, 16), int64(2*l.MaxPacket)))
}

// pending is what connections keep of packets that have not come whole, and of output
// that is not written yet. A connection's part of it is counted when it changes.
type pending struct{ in, out int64 }

// keepRest puts away the beginning of a packet.
func (c *conn) keepRest(b []byte) {
	c.broker.pending.in += int64(cap(b)) - int64(cap(c.rest))
	c.rest = b
}

// crowded says whether a connection waits for the rest of a large packet while all
// together keep too much of such.
func (c *conn) crowded() bool {
	return c.want > minRead && len(c.rest) > minRead && c.broker.pending.in > c.broker.cfg.Limits.MaxPendingBytes
}

// countOutput notes what is to be written.
func (c *conn) countOutput() {
	now := int64(cap(c.out) + len(c.tail))
	c.broker.pending.out += now - c.unwritten
	c.unwritten = now
}

// flooded says whether all together have too much to write. Then nobody's output waits
// for the end of the turn, and nobody who does not read gets more of it.
func (c *conn) flooded() bool {
	return c.broker.pending.out > c.broker.cfg.Limits.MaxPendingBytes
}

// forgetBytes lets go of what was not handled and not sent.
func (c *conn) forgetBytes() {
	c.keepRest(nil)
	c.out = nil
	c.dropTail()
	c.countOutput()
}
