package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-edge/weir/cmd/weir/internal/load"
)

func TestBenchAgainstMosquitto(t *testing.T) {
	m := startMosquitto(t)
	out, code := weir(t, "bench", "pairs", "-q", "2", "-V", "5", "-m", "2000", "--json",
		"-p", strconv.Itoa(m.port), "--pid", strconv.Itoa(m.cmd.Process.Pid))
	var r load.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	if r.Sent != 2200 || r.Delivered != 2200 || r.CPU == 0 || r.RSS == 0 {
		t.Errorf("got %+v, want 2200 messages sent and delivered, and what they cost", r)
	}
}

func TestBenchCompare(t *testing.T) {
	need(t, "mosquitto")
	out, code := weir(t, "bench", "compare", "fan-in-q0", "paced-q0", "--rounds", "1", "-d", "200ms", "--peer", lookPeer("mosquitto"))
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{"fan-in-q0", "<=0.2x", "paced-q0", "p99 us"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestComparisonsRun(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range comparisons() {
		if names[c.name] {
			t.Errorf("two comparisons are called %q", c.name)
		}
		names[c.name] = true
		if known, _ := load.Scenarios(); !strings.Contains(strings.Join(known, " "), c.load.Scenario) {
			t.Errorf("%s: no scenario %q", c.name, c.load.Scenario)
		}
	}
}

func TestChosenComparisons(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{nil, len(comparisons())},
		{[]string{"fan-in"}, 3},
		{[]string{"fan-in-q1", "connect"}, 2},
	} {
		got, err := chosen(tt.args)
		if err != nil || len(got) != tt.want {
			t.Errorf("%v: %d comparisons, error %v, want %d", tt.args, len(got), err, tt.want)
		}
	}
	if _, err := chosen([]string{"storm"}); exitCode(err) != exitUsage {
		t.Errorf("error %v, want one about the usage", err)
	}
}

func TestVerdict(t *testing.T) {
	results := func(cpu ...float64) (rs []*load.Result) {
		for _, c := range cpu {
			rs = append(rs, &load.Result{CPU: c, Figures: []load.Figure{{Name: "growth", Value: c, Unit: "x"}}})
		}
		return rs
	}
	d := &duel{results: [2][]*load.Result{results(9, 1, 2), results(4, 4, 100)}}
	d.bars = []bar{{figureCPU, false, 0.5}, {"growth", true, 1.5}}
	if got, want := d.verdict(figureCPU), "<=0.5x met"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := d.verdict("growth"), "<=1.5 MISSED"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.verdict(figureP50); got != "" {
		t.Errorf("got %q for a figure without a bar", got)
	}
	newTable(io.Discard, false).row(d)
}
