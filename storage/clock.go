package storage

import "github.com/weir-edge/weir/core"

// correct gives the right times to messages that were received in this boot
// before the clock was known, now that it is. Messages are shared, so that it is
// a copy that gets them.
func (l *Log) correct(next []core.Delivery) {
	if !l.cfg.Clock.Synced() {
		return
	}
	for i := range next {
		if m := next[i].Message; !m.Received.Synced {
			if at := l.cfg.Clock.Correct(m.Received); at.Synced {
				fixed := *m
				fixed.Received = at
				next[i].Message = &fixed
			}
		}
	}
}
