package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/weir-edge/weir/cmd/weir/internal/load"
)

// table prints what a duel has found as soon as it is over.
type table struct {
	out  io.Writer
	json bool
}

// The columns come in pairs: ours, the peer's.
const (
	headFormat = "%-16s %23s  %-14s %19s %17s %19s %13s\n"
	rowFormat  = "%-16s %7.2f %7.2f %7.2f  %-14s %9.0f %9.0f %8.0f %8.0f %9.0f %9.0f %6.1f %6.1f\n"
	lineFormat = "  %-40s %9.2f %9.2f %-8s  %s\n"
)

func newTable(out io.Writer, json bool) *table {
	t := &table{out, json}
	if !json {
		fmt.Fprintf(out, "Medians, Weir and the peer beside each other. CPU time is the broker's, for each delivery.\n")
		fmt.Fprintf(out, headFormat, "scenario", "CPU us, ratio", "bar", "deliveries/s", "p50 us", "p99 us", "RSS MiB")
	}
	return t
}

func (t *table) print(d *duel) error {
	if t.json {
		return t.encode(d)
	}
	t.row(d)
	for _, name := range d.extras() {
		t.line(d, name)
	}
	t.anomalies(d)
	return nil
}

func (t *table) encode(d *duel) error {
	e := json.NewEncoder(t.out)
	for i, b := range []*contender{d.ours, d.peer} {
		for _, r := range d.results[i] {
			err := e.Encode(struct {
				Broker string `json:"broker"`
				Name   string `json:"name"`
				*load.Result
			}{b.name, d.name, r})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// row shows the figures that nearly all scenarios have.
func (t *table) row(d *duel) {
	args := []any{d.name}
	ours, peer := d.medians(figureCPU)
	args = append(args, ours, peer, ratio(ours, peer), d.verdict(figureCPU))
	for _, figure := range []string{figureRate, figureP50, figureP99, figureRSS} {
		ours, peer := d.medians(figure)
		args = append(args, ours, peer)
	}
	fmt.Fprintf(t.out, rowFormat, args...)
}

// line shows a figure of this scenario's own, or another one with a bar.
func (t *table) line(d *duel, figure string) {
	ours, peer := d.medians(figure)
	fmt.Fprintf(t.out, lineFormat, figure, ours, peer, d.unit(figure), d.verdict(figure))
}

// anomalies shows what should not be there in any run.
func (t *table) anomalies(d *duel) {
	for i, b := range []*contender{d.ours, d.peer} {
		var lost, duplicate, disorder, refused uint64
		for _, r := range d.results[i] {
			lost, duplicate = lost+r.Lost, duplicate+r.Duplicate
			disorder, refused = disorder+r.OutOfOrder, refused+r.Refused
		}
		if lost+duplicate+disorder+refused > 0 {
			fmt.Fprintf(t.out, "  %s: %d lost, %d duplicate, %d out of order, %d refused\n", b.name, lost, duplicate, disorder, refused)
		}
	}
}

// extras are the figures that get a line.
func (d *duel) extras() (names []string) {
	for _, b := range d.bars {
		if b.figure == figureP50 || b.figure == figureP99 {
			names = append(names, b.figure)
		}
	}
	for _, f := range d.results[0][0].Figures {
		names = append(names, f.Name)
	}
	return names
}

func (d *duel) unit(figure string) string {
	for _, f := range d.results[0][0].Figures {
		if f.Name == figure {
			return f.Unit
		}
	}
	return ""
}

func (d *duel) medians(figure string) (ours, peer float64) {
	return median(d.results[0], figure), median(d.results[1], figure)
}

func median(rs []*load.Result, figure string) float64 {
	values := make([]float64, 0, len(rs))
	for _, r := range rs {
		values = append(values, value(r, figure))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// value is a figure of a result by the name that bars use.
func value(r *load.Result, figure string) float64 {
	switch figure {
	case figureCPU:
		return r.CPU
	case figureRate:
		return r.Rate
	case figureP50:
		return r.P50
	case figureP99:
		return r.P99
	case figureRSS:
		return r.RSS
	}
	v, _ := r.Figure(figure)
	return v
}

func ratio(ours, peer float64) float64 {
	if peer == 0 {
		return 0
	}
	return ours / peer
}

// verdict is the bar of a figure and whether it is met; empty without a bar.
func (d *duel) verdict(figure string) string {
	i := slices.IndexFunc(d.bars, func(b bar) bool { return b.figure == figure })
	if i < 0 {
		return ""
	}
	b := d.bars[i]
	got, peer := d.medians(figure)
	sign := ""
	if !b.absolute {
		got, sign = ratio(got, peer), "x"
	}
	word := "met"
	if got > b.limit {
		word = "MISSED"
	}
	return fmt.Sprintf("<=%.4g%s %s", b.limit, sign, word)
}
