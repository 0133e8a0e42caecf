//go:build !linux

package broker

import (
	"errors"
	"net"
	"time"
)

// newPoller: without epoll all connections have goroutines.
func newPoller(Config) (poller, error) { return newIdle(), nil }

// watch accepts the listener's connections on a goroutine.
func (l *listener) watch() error {
	l.broker.serving.Go(func() {
		for {
			c, err := l.ln.Accept()
			switch {
			case err == nil:
				l.broker.serving.Go(func() { l.serve(c) })
			case errors.Is(err, net.ErrClosed):
				return
			default:
				time.Sleep(acceptPause)
			}
		}
	})
	return nil
}
