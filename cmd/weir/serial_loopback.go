package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/serialport"
)

func newSerialLoopbackCommand() *cobra.Command {
	var (
		flags lineFlags
		total int
	)
	c := &cobra.Command{
		Use:   "loopback PORT",
		Short: "Test a port and its cable: TX and RX are bridged, what is sent must come back",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if total < 1 || total > 1<<20 {
				return usageError{fmt.Errorf("%d bytes: use 1 to %d", total, 1<<20)}
			}
			p, err := flags.open(args[0])
			if err != nil {
				return err
			}
			defer p.Close()
			stop := context.AfterFunc(c.Context(), p.Interrupt)
			defer stop()
			l := &loopback{port: p, charTime: flags.cfg.CharTime(), total: total}
			if s := newScreen(c.ErrOrStderr()); s.terminal && !flags.asJSON {
				l.progress = s.bar(total, "bytes there and back")
			}
			r, err := l.run()
			if c.Context().Err() != nil {
				return nil // the user pressed Ctrl-C: a normal end
			}
			return errors.Join(err, r.print(c.OutOrStdout(), flags.asJSON), r.verdict())
		},
	}
	flags.register(c)
	c.Flags().IntVarP(&total, "bytes", "n", 2048, "how many bytes to send")
	return c
}

// loopback sends blocks and waits for each to come back.
type loopback struct {
	port     *serialport.Port
	charTime time.Duration
	total    int
	progress func(done int) // nil: nobody looks
}

// loopbackResult is what came of it.
type loopbackResult struct {
	Sent     int           `json:"sent"`
	Received int           `json:"received"`
	Wrong    int           `json:"wrong"`
	Took     time.Duration `json:"took_ns"`
	Rate     float64       `json:"bytes_per_second"`
}

const loopbackBlock = 64

func (l *loopback) run() (r loopbackResult, err error) {
	if err := l.port.Flush(); err != nil {
		return r, err
	}
	random := rand.New(rand.NewPCG(1, 2)) // any pattern does, as long as no byte is like the next
	started := time.Now()
	for r.Sent < l.total && err == nil {
		block := make([]byte, min(loopbackBlock, l.total-r.Sent))
		for i := range block {
			block[i] = byte(random.Uint32())
		}
		err = l.block(block, &r)
		if l.progress != nil {
			l.progress(r.Sent)
		}
	}
	r.Took = time.Since(started)
	r.Rate = float64(r.Received) / r.Took.Seconds()
	if errors.Is(err, serialport.ErrTimeout) {
		err = nil // the counts tell
	}
	return r, err
}

// block sends one block and reads it back.
func (l *loopback) block(block []byte, r *loopbackResult) error {
	if err := l.port.Write(block); err != nil {
		return err
	}
	r.Sent += len(block)
	back := make([]byte, len(block))
	until := time.Now().Add(4*time.Duration(len(block))*l.charTime + time.Second)
	for n := 0; n < len(back); {
		more, err := l.port.Read(back[n:], until)
		for i := n; i < n+more; i++ {
			if back[i] != block[i] {
				r.Wrong++
			}
		}
		n += more
		r.Received += more
		if err != nil {
			return err
		}
	}
	return nil
}

func (r loopbackResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, "%d bytes sent, %d came back, %d of them wrong; %s, %.0f bytes/s there and back\n",
		r.Sent, r.Received, r.Wrong, r.Took.Round(time.Millisecond), r.Rate)
	return err
}

func (r loopbackResult) verdict() error {
	switch {
	case r.Received == 0:
		return errors.New("nothing came back: are TX and RX bridged at the far end of the cable?")
	case r.Wrong > 0:
		return errors.New("bytes were changed: a bad contact, a cable too long for the rate, or a wrong level")
	case r.Received < r.Sent:
		return errors.New("bytes were lost")
	}
	return nil
}
