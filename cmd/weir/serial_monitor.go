package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/serialport"
)

func newSerialMonitorCommand() *cobra.Command {
	var (
		flags lineFlags
		span  time.Duration
		send  string
	)
	c := &cobra.Command{
		Use:   "monitor PORT",
		Short: "Show what comes over a line, in hex and as text, until Ctrl-C",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := forSpan(c.Context(), span)
			defer cancel()
			request, err := unescape(send)
			if err != nil {
				return err
			}
			p, err := flags.open(args[0])
			if err != nil {
				return err
			}
			defer p.Close()
			stop := context.AfterFunc(ctx, p.Interrupt)
			defer stop()
			m := &monitor{port: p, out: c.OutOrStdout(), asJSON: flags.asJSON}
			if !flags.asJSON {
				fmt.Fprintf(c.ErrOrStderr(), "%s at %d baud, %d%c%s; Ctrl-C ends\n", args[0], flags.cfg.Baud, flags.cfg.DataBits, strings.ToUpper(flags.cfg.Parity)[0], flags.cfg.StopBits)
			}
			if request != "" {
				if err := p.Write([]byte(request)); err != nil {
					return err
				}
			}
			err = m.run()
			if ctx.Err() == nil {
				return unavailableError{err}
			}
			if !flags.asJSON {
				fmt.Fprintf(c.ErrOrStderr(), "%d bytes in %d pieces\n", m.bytes, m.pieces)
			}
			return nil
		},
	}
	flags.register(c)
	c.Flags().DurationVar(&span, "for", 0, "end after this time")
	c.Flags().StringVar(&send, "send", "", `send this first, such as "P\r\n"`)
	return c
}

// forSpan ends after a time; 0 is never.
func forSpan(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// monitor prints what comes in pieces: the bytes between two pauses.
type monitor struct {
	port   *serialport.Port
	out    io.Writer
	asJSON bool

	bytes, pieces int
}

// A piece ends after so much silence, or with so many bytes.
const (
	pieceGap  = 10 * time.Millisecond
	pieceSize = 512
)

func (m *monitor) run() error {
	b := make([]byte, pieceSize)
	for {
		n, err := m.port.Read(b, time.Time{})
		at := time.Now()
		for err == nil && n < len(b) {
			var more int
			more, err = m.port.Read(b[n:], time.Now().Add(pieceGap))
			n += more
		}
		if n > 0 {
			if err := m.print(at, b[:n]); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, serialport.ErrTimeout) {
			return err
		}
	}
}

func (m *monitor) print(at time.Time, b []byte) error {
	m.bytes += len(b)
	m.pieces++
	if m.asJSON {
		return json.NewEncoder(m.out).Encode(struct {
			Time time.Time `json:"time"`
			Hex  string    `json:"hex"`
			Text string    `json:"text"`
		}{at, hex.EncodeToString(b), visible(b)})
	}
	stamp := at.Format("15:04:05.000")
	for len(b) > 0 {
		row := b[:min(16, len(b))]
		b = b[len(row):]
		if _, err := fmt.Fprintf(m.out, "%-12s  %-48s |%s|\n", stamp, hexRow(row), visible(row)); err != nil {
			return err
		}
		stamp = ""
	}
	return nil
}

// hexRow is 16 bytes with a space in their middle.
func hexRow(b []byte) string {
	var s strings.Builder
	for i, c := range b {
		if i == 8 {
			s.WriteByte(' ')
		}
		fmt.Fprintf(&s, "%02x ", c)
	}
	return strings.TrimRight(s.String(), " ")
}

// visible is b with a dot for what a terminal can't show.
func visible(b []byte) string {
	text := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '.'
		}
		text[i] = c
	}
	return string(text)
}
