//go:build !linux

package broker

import "math"

// newPoller: without epoll all connections have goroutines.
func newPoller(Config) (poller, error) { return newIdle(), nil }

// watch accepts the listener's connections on a goroutine.
func (l *listener) watch() error {
	l.broker.serving.Go(l.acceptLoop)
	return nil
}

// maxSockets: the listeners notice when there are no descriptors left.
func maxSockets() int { return math.MaxInt }

// member is what epoll would call.
type member interface {
	ready(in, out bool) (drained bool)
}

// Without epoll nothing is watched, see errNoSockets.
func (b *Broker) watchFor(int, member) error { return errNoSockets }
func (b *Broker) rewatch(int, bool, bool)    {}
func (b *Broker) forget(int)                 {}
