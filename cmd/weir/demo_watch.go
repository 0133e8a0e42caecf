package main

import (
	"context"
	"errors"
	"time"
)

// frame is how often the moving line of the demo changes.
const frame = 200 * time.Millisecond

// watch shows something for a while, unless the user ends the demo.
func (d *demo) watch(how time.Duration, show func()) error {
	err := d.until(how, func() bool { show(); return false })
	if errors.Is(err, errTooLate) {
		return nil
	}
	return err
}

var errTooLate = errors.New("it took too long")

// until polls until ok holds.
func (d *demo) until(limit time.Duration, ok func() bool) error {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	end := time.After(limit)
	for {
		if ok() {
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			return errTooLate
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
	}
}

func (d *demo) showBuffer() {
	s, err := d.gateway.status()
	if err != nil {
		return // it shows up in the next chapter
	}
	d.screen.moving("buffered %s messages, the oldest for %s, %s on disk   press: %s acknowledged", count(s.Buffer.Messages), span(s.Buffer.OldestSeconds), size(s.Buffer.Bytes), count(d.ackedBy(d.press)))
}

func (d *demo) ackedBy(s *source) int {
	_, acked := s.counts()
	return acked
}

// arrivedFrom counts a publisher's different messages in the cloud.
func (d *demo) arrivedFrom(level string) int {
	t := d.cloud.tallies[level]
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.times)
}

func (d *demo) judge(level string) verdict {
	s := d.press
	if level == "batch" {
		s = d.batch
	}
	return judge(s, d.cloud.tallies[level])
}

func (d *demo) stopPublishers() {
	if d.endPublishing != nil {
		d.endPublishing()
		d.publishing.Wait()
	}
}

// close ends everything, also in the middle of the story.
func (d *demo) close() {
	d.stopPublishers()
	d.stage.close()
}
