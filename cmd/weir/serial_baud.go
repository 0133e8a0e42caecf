package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/serialport"
)

// commonRates are tried in the order in which they are likely.
func commonRates() []int {
	return []int{9600, 115200, 19200, 4800, 38400, 57600, 2400, 1200, 230400, 460800, 921600, 300}
}

func newSerialBaudCommand() *cobra.Command {
	var (
		rates  []int
		listen time.Duration
		send   string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "baud PORT",
		Short: "Listen at the common rates and propose rate and parity",
		Long: "Listens at each common rate and looks for text, for parity bits in the characters,\n" +
			"and at the errors that the hardware counts. A device that speaks only when asked\n" +
			"needs --send. What a binary protocol says can't be told from noise: there only the\n" +
			"hardware's errors count.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			request, err := unescape(send)
			if err != nil {
				return err
			}
			s := &rateSearch{device: args[0], listen: listen, request: request, out: c.OutOrStdout(), quiet: asJSON}
			heard, err := s.run(c.Context(), rates)
			if err != nil || c.Context().Err() != nil {
				return err
			}
			return s.propose(heard, asJSON)
		},
	}
	c.Flags().IntSliceVar(&rates, "rates", commonRates(), "the rates to try")
	c.Flags().DurationVar(&listen, "listen", 1500*time.Millisecond, "how long to listen at each")
	c.Flags().StringVar(&send, "send", "", `ask the device at each rate, such as with "P\r\n"`)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON document")
	return c
}

// rateSearch listens at one rate after the other.
type rateSearch struct {
	device, request string
	listen          time.Duration
	out             io.Writer
	quiet           bool
}

// heardAt is what was heard at a rate.
type heardAt struct {
	Baud   int     `json:"baud"`
	Bytes  int     `json:"bytes"`
	Errors int     `json:"errors"` // that the hardware counted; -1: it does not count
	Parity string  `json:"parity"`
	Data   int     `json:"data_bits"`
	Score  float64 `json:"score"` // 0 to 1: how much it looks like text
	Sample string  `json:"sample"`
}

func (s *rateSearch) run(ctx context.Context, rates []int) ([]heardAt, error) {
	var all []heardAt
	for i, rate := range rates {
		h, err := s.at(ctx, rate)
		if ctx.Err() != nil {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
		if !s.quiet {
			fmt.Fprintf(s.out, "%2d/%d  %7d baud  %5d bytes  %s%s\n", i+1, len(rates), rate, h.Bytes, h.verdict(), choose(h.Sample == "", "", "  |"+h.Sample+"|"))
		}
	}
	return all, nil
}

// at listens at one rate.
func (s *rateSearch) at(ctx context.Context, rate int) (h heardAt, err error) {
	p, err := openPort(serialport.Config{Device: s.device, Baud: rate})
	if err != nil {
		return h, err
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, p.Interrupt)
	defer stop()
	if err := p.Flush(); err != nil {
		return h, err
	}
	before, counts := p.Counters()
	if s.request != "" {
		if err := p.Write([]byte(s.request)); err != nil {
			return h, err
		}
	}
	heard, err := hear(p, time.Now().Add(s.listen))
	h = judgeBytes(heard)
	h.Baud, h.Errors = rate, -1
	if after, ok := p.Counters(); ok && counts {
		h.Errors = after.Frame - before.Frame
		h.Score *= 1 - min(1, 4*float64(h.Errors)/float64(max(1, h.Bytes)))
	}
	return h, err
}

// hear reads until a time, at most what is enough to judge.
func hear(p *serialport.Port, until time.Time) ([]byte, error) {
	const enough = 4096
	heard := make([]byte, 0, enough)
	for len(heard) < enough {
		n, err := p.Read(heard[len(heard):enough], until)
		heard = heard[:len(heard)+n]
		if errors.Is(err, serialport.ErrTimeout) {
			return heard, nil
		}
		if err != nil {
			return heard, err
		}
	}
	return heard, nil
}

// judgeBytes looks at bytes that were read with 8 data bits and no parity. Where the
// device sends 7 and a parity bit, that bit is the eighth.
func judgeBytes(heard []byte) heardAt {
	h := heardAt{Bytes: len(heard), Parity: "none", Data: 8}
	if len(heard) == 0 {
		return h
	}
	even, odd, high, text := 0, 0, 0, 0
	for _, c := range heard {
		if bits.OnesCount8(c)%2 == 0 {
			even++
		} else {
			odd++
		}
		if c >= 0x80 {
			high++
		}
		if c &= 0x7f; c >= ' ' && c <= '~' || c == '\r' || c == '\n' || c == '\t' {
			text++
		}
	}
	n := len(heard)
	plain := slices.Clone(heard[max(0, n-24):])
	h.Score = float64(text) / float64(n)
	switch {
	case high == 0:
	case even*100 >= 98*n && n >= 16:
		h.Parity, h.Data = "even", 7
	case odd*100 >= 98*n && n >= 16:
		h.Parity, h.Data = "odd", 7
	default:
		h.Score *= 1 - float64(high)/float64(n)
	}
	if h.Data == 7 {
		for i := range plain {
			plain[i] &= 0x7f
		}
	}
	h.Sample = visible(plain)
	return h
}

// goodScore is how much of what was heard must look like text.
const goodScore = 0.95

func (h heardAt) verdict() string {
	switch {
	case h.Bytes == 0:
		return "silence"
	case h.Score >= goodScore:
		return fmt.Sprintf("text (%.0f %%), parity %s", 100*h.Score, h.Parity)
	case h.Errors == 0:
		return "no text, but no errors either: perhaps a binary protocol"
	case h.Errors > 0:
		return fmt.Sprintf("noise, %d frame errors", h.Errors)
	}
	return fmt.Sprintf("noise (%.0f %% looks like text)", 100*h.Score)
}

// propose prints the rate that fits best; there may be none.
func (s *rateSearch) propose(heard []heardAt, asJSON bool) error {
	good := slices.Clone(heard)
	good = slices.DeleteFunc(good, func(h heardAt) bool { return h.Bytes == 0 || h.Score < goodScore })
	slices.SortStableFunc(good, func(a, b heardAt) int { return cmp.Compare(b.Score, a.Score) })
	if asJSON {
		var best *heardAt
		if len(good) > 0 {
			best = &good[0]
		}
		return json.NewEncoder(s.out).Encode(struct {
			Proposal *heardAt  `json:"proposal"`
			Heard    []heardAt `json:"heard"`
		}{best, heard})
	}
	if len(good) == 0 {
		if !slices.ContainsFunc(heard, func(h heardAt) bool { return h.Bytes > 0 }) {
			return timeoutError{errors.New("nothing was heard at any rate: check power and wiring, or ask the device with --send")}
		}
		return errors.New("no rate gave text: the protocol may be binary; see the device's manual for its rate")
	}
	best := good[0]
	fmt.Fprintf(s.out, "\nproposal: baud: %d", best.Baud)
	if best.Data == 7 {
		fmt.Fprintf(s.out, ", data_bits: 7, parity: %s", best.Parity)
	}
	fmt.Fprintln(s.out)
	if len(good) > 2 {
		fmt.Fprintln(s.out, "(text at several rates: this port has no rate of its own, as USB devices and pseudo-terminals; any will do)")
	}
	return nil
}
