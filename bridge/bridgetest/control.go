package bridgetest

import (
	"maps"
	"slices"

	"github.com/weir-edge/weir/core/packet"
)

// Got is what was published so far.
func (u *Upstream) Got() []Received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.got)
}

// Connects are the CONNECTs so far.
func (u *Upstream) Connects() []packet.Connect {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.connects)
}

// Violations of the protocol so far.
func (u *Upstream) Violations() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.violations)
}

// Pings counts the PINGREQs.
func (u *Upstream) Pings() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pings
}

// Undelivered counts the messages to clients that are not acknowledged.
func (u *Upstream) Undelivered() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sessions {
		n += len(s.unsent) + len(s.open)
	}
	return n
}

// Filters are the subscriptions of a client.
func (u *Upstream) Filters(clientID string) map[string]packet.Options {
	u.mu.Lock()
	defer u.mu.Unlock()
	filters := make(map[string]packet.Options)
	if s := u.sessions[clientID]; s != nil {
		for f, o := range s.filters {
			filters[f] = o
		}
	}
	return filters
}

// Sessions are the client ids for which there is a session.
func (u *Upstream) Sessions() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.sessions))
}

// Discarded counts the messages of QoS 2 without PUBREL that went with their session: a
// broker that passes messages on when they are released has lost them.
func (u *Upstream) Discarded() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.discarded
}

// Wipe loses all sessions of clients that are not connected.
func (u *Upstream) Wipe() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, s := range u.sessions {
		if s.conn == nil {
			delete(u.sessions, id)
		}
	}
}

// Lose forgets the messages that were published so far, and tells which.
func (u *Upstream) Lose() []Received {
	u.mu.Lock()
	defer u.mu.Unlock()
	got := u.got
	u.got = nil
	return got
}

// Change alters the quirks of an upstream at work.
func (u *Upstream) Change(f func(*Quirks)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.Quirks)
}

// Kick ends all connections from the upstream's side, with a DISCONNECT if reason
// is an error.
func (u *Upstream) Kick(reason packet.Reason) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sessions {
		if s.conn == nil {
			continue
		}
		if reason.IsError() {
			p := &packet.Disconnect{Reason: reason}
			if u.Quirks.Reference != "" {
				p.Properties = &packet.Properties{ServerReference: []byte(u.Quirks.Reference)}
			}
			s.conn.send(p)
		}
		s.conn.conn.Close()
	}
}
