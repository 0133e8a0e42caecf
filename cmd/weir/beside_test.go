package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLiveShare: with a live share what is new arrives while a backlog drains; a kill
// in the middle and a change of the share lose nothing, repeat nothing at QoS 2, and
// leave each part in its order.
func TestLiveShare(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("qos=%d", qos), func(t *testing.T) { testLiveShare(t, qos) })
	}
}

func testLiveShare(t *testing.T, qos byte) {
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	config := strings.Replace(fmt.Sprintf(oneBridge, up.port), "plant/#\", qos: 1", fmt.Sprintf("plant/#\", qos: %d", qos), 1)
	g := startGateway(t, strings.Replace(config, "    out:", "    drain: {rate: 400, burst: 10, live_share: 0.5}\n    out:", 1))
	g.connected()
	stopDry(g, up, rec)
	src := publishNumbered(t, g, "auditor", qos, time.Millisecond, "plant/a")
	src.grown(t, 600)
	g.kill()
	g.start()
	src.grown(t, 200)
	old, _ := src.counts()
	owed := func() uint64 { return g.status().Bridges[0].Owed }

	up.start()
	g.connected()
	newer := func() bool {
		rec.catchUp()
		for n := range rec.times {
			if n > old+50 {
				return true
			}
		}
		return false
	}
	eventually(t, patience, "something new", newer)
	src.end()
	g.kill() // in the middle of the drain
	g.start()
	changed, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Replace(string(changed), "rate: 400, burst: 10, live_share: 0.5", "rate: 0", 1)
	if err := os.WriteFile(g.config, []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	g.signal(syscall.SIGHUP)
	v := settle(t, rec, g, src.source)
	eventually(t, patience, "nothing owed", func() bool { return owed() == 0 })
	came := inOrderOf(t, rec)
	first := slices.IndexFunc(came, func(n int) bool { return n > old+50 })
	late := 0
	for _, n := range came[first:] {
		if n <= old {
			late++
		}
	}
	if late < 100 {
		t.Errorf("only %d of the backlog came after something new", late)
	}
	parts := sequences(came)
	t.Logf("%d acknowledged, %d lost, %d duplicates, %d in another part than those before", v.Acknowledged, v.Lost, v.Duplicates, v.Reversed)
	if parts > 2 || v.Reversed == 0 {
		t.Errorf("what came consists of %d parts in order, %d reversed", parts, v.Reversed)
	}
	if qos == 2 && v.Duplicates > 0 || v.Duplicates > 2*(1000+src.window) {
		t.Errorf("%d duplicates", v.Duplicates)
	}
}

// inOrderOf are the numbers that came, each where it came first.
func inOrderOf(t *testing.T, rec *recorder) (came []int) {
	t.Helper()
	text, err := os.ReadFile(rec.file)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for line := range strings.Lines(string(text)) {
		topic, payload, _ := strings.Cut(line, " ")
		if strings.HasSuffix(topic, markTopic) {
			continue
		}
		var n numbered
		if err := json.Unmarshal([]byte(payload), &n); err != nil {
			t.Fatal(err)
		}
		if !seen[n.N] {
			seen[n.N] = true
			came = append(came, n.N)
		}
	}
	return came
}

// sequences is of how many sequences in order what came is a mixture.
func sequences(came []int) int {
	var last []int // of each part, the highest first
	for _, n := range came {
		i := 0
		for i < len(last) && last[i] > n {
			i++
		}
		if i == len(last) {
			last = append(last, 0)
		}
		last[i] = n
	}
	return len(last)
}
