package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const uplinkConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    protocol: %s
    keepalive: 5s
    backoff: {min: 100ms, max: 500ms}
    out:
      - {filter: "plant/#", qos: 1, remote_prefix: "site7/"}
      - {filter: "exact/#", qos: 2, remote_prefix: "site7/"}
    in:
      - {filter: "cmd/#", qos: 1, local_prefix: "cloud/"}
`

// audited is a source with the context that ends it.
type audited struct {
	*source
	cancel context.CancelFunc
	wg     *sync.WaitGroup
}

// publishNumbered starts a source against the gateway.
func publishNumbered(t *testing.T, g *testGateway, id string, qos byte, every time.Duration, topics ...string) *audited {
	ctx, cancel := context.WithCancel(context.Background())
	a := &audited{source: newSource(g.port, id, qos, topics...), cancel: cancel, wg: &sync.WaitGroup{}}
	a.every = every
	a.wg.Go(func() { _ = a.run(ctx) }) // ends with its context only
	t.Cleanup(a.end)
	return a
}

func (a *audited) end() {
	a.cancel()
	a.wg.Wait()
}

// grown waits until more messages are acknowledged.
func (a *audited) grown(t *testing.T, more int) {
	t.Helper()
	_, before := a.counts()
	eventually(t, patience, fmt.Sprintf("%d more acknowledged", more), func() bool {
		_, now := a.counts()
		return now >= before+more
	})
}

// settle waits until everything acknowledged has arrived, and gives the verdict.
func settle(t *testing.T, rec *recorder, g *testGateway, s *source) verdict {
	t.Helper()
	var v verdict
	defer func() {
		if t.Failed() {
			slices.Sort(v.missing)
			t.Logf("verdict %+v\nbuffer %+v\nbridges %+v", v, g.status().Buffer, g.status().Bridges)
		}
	}()
	eventually(t, patience, "everything arrived", func() bool {
		rec.catchUp()
		v = judge(s, rec.tally)
		return v.Lost == 0
	})
	return v
}

// TestOutageKillDrain is the promise on real processes: Debian's mosquitto as
// the upstream is stopped, the gateway is killed twice, the upstream returns.
// Every message acknowledged before each kill arrives, in order per topic; at
// QoS 2 without duplicates, at QoS 1 with at most one window of them a kill.
func TestOutageKillDrain(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	for _, protocol := range []string{"5", "3.1.1"} {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("protocol=%s/qos=%d", protocol, qos), func(t *testing.T) { outageKillDrain(t, protocol, qos) })
		}
	}
}

// rounds is how often the story repeats: more in the long fault run.
func rounds() int {
	if os.Getenv("WEIR_FAULTS") == "long" {
		return 50
	}
	return 2
}

func outageKillDrain(t *testing.T, protocol string, qos byte) {
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	g := startGateway(t, fmt.Sprintf(uplinkConfig, up.port, protocol))
	prefix := map[byte]string{1: "plant/", 2: "exact/"}[qos]
	src := publishNumbered(t, g, "auditor", qos, 2*time.Millisecond, prefix+"a", prefix+"b", prefix+"c")
	kills := 0
	for range rounds() {
		src.grown(t, 200) // values flow
		g.kill()          // while the uplink is healthy
		g.start()
		src.grown(t, 200)
		stopDry(g, up, rec) // the uplink goes
		src.grown(t, 400)
		g.kill() // in the outage
		g.start()
		src.grown(t, 200)
		up.start() // and returns
		src.grown(t, 200)
		kills += 2
	}
	src.end()
	v := settle(t, rec, g, src.source)
	t.Logf("%d acknowledged, %d arrived, %d duplicates, %d out of order", v.Acknowledged, v.Arrived, v.Duplicates, v.Reversed)
	if v.Reversed > 0 {
		t.Errorf("%d messages out of order", v.Reversed)
	}
	// A window is what the bridge had in flight; the audit's own repetitions
	// after each lost connection come on top of it.
	if limit := kills * (1000 + src.window); qos == 1 && v.Duplicates > limit {
		t.Errorf("%d duplicates, more than %d", v.Duplicates, limit)
	}
	if qos == 2 && v.Duplicates > 0 {
		t.Errorf("%d duplicates at QoS 2", v.Duplicates)
	}
}

// stopDry stops the upstream in the middle of its exchange with the gateway, but
// with nothing on its way to the recorder: after a restart mosquitto 2.0.11
// repeats to its own subscribers what it had in flight, at QoS 2 too, and those
// repetitions would be taken for ours.
func stopDry(g *testGateway, up *mosquitto, rec *recorder) {
	g.t.Helper()
	g.signal(syscall.SIGSTOP)
	up.dry("site7"+markTopic, func() (int, int) { return rec.count(), rec.marks })
	up.process.stop()
	g.signal(syscall.SIGCONT)
}

// TestHealthyUplinkWritesNothing: QoS 1 through a healthy uplink costs no flash.
func TestHealthyUplinkWritesNothing(t *testing.T) {
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	g := startGateway(t, fmt.Sprintf(uplinkConfig, up.port, "5"))
	eventually(t, patience, "connected", func() bool {
		s := g.status()
		return len(s.Bridges) == 1 && s.Bridges[0].State == "connected"
	})
	// A machine that stands still for longer than the store's patience makes it
	// write, as it should: one of the tries has to be clean.
	for try, end := 0, time.Now().Add(patience); try < 6 || time.Now().Before(end); try++ {
		g.quiet()
		before := g.writtenBytes()
		src := newSource(g.port, "", 1, fmt.Sprintf("plant/%d", try))
		src.opts.persist = false // a session to keep would be written
		src.limit = 3000
		rec.tally = newTally()
		if err := src.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := settle(t, rec, g, src); v.Duplicates+v.Reversed > 0 {
			t.Errorf("verdict: %+v", v)
		}
		wrote := g.writtenBytes() - before
		if wrote == 0 {
			return
		}
		t.Logf("%d bytes written for 3000 messages over a healthy uplink", wrote)
	}
	t.Error("something was written in every try")
}

// quiet waits until nothing of the start is written any more.
func (g *testGateway) quiet() {
	g.t.Helper()
	last, since := g.writtenBytes(), time.Now()
	eventually(g.t, patience, "quiet", func() bool {
		if now := g.writtenBytes(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
}

// writtenBytes is what the gateway caused to be written, as the kernel counts.
func (g *testGateway) writtenBytes() int {
	g.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				g.t.Fatal(err)
			}
			return n
		}
	}
	g.t.Fatal("no write_bytes in /proc/PID/io")
	return 0
}

// TestStopLosesNothing: SIGTERM in the middle of traffic and of an outage.
func TestStopLosesNothing(t *testing.T) {
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	g := startGateway(t, fmt.Sprintf(uplinkConfig, up.port, "5"))
	src := publishNumbered(t, g, "auditor", 1, time.Millisecond, "plant/a")
	src.grown(t, 200)
	for range 2 {
		begin := time.Now()
		if code := g.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if d := time.Since(begin); measured() && d > 10*time.Second {
			t.Errorf("stopping took %v", d)
		}
		up.process.stop()
		g.start()
		src.grown(t, 200)
		up.start()
	}
	src.end()
	if v := settle(t, rec, g, src.source); v.Reversed > 0 {
		t.Errorf("verdict: %+v", v)
	}
}

// TestCommandsComeDown: the in rules of the bridge.
func TestCommandsComeDown(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(uplinkConfig, up.port, "5"))
	eventually(t, patience, "connected", func() bool { return g.status().Bridges[0].State == "connected" })
	before := g.status().Broker.Subscriptions
	got := start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(g.port), "-t", "cloud/#", "-q", "1", "-v", "-C", "1", "-W", "120")
	eventually(t, patience, "subscribed", func() bool { return g.status().Broker.Subscriptions > before })
	if out, err := run(t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(up.port), "-t", "cmd/valve", "-q", "1", "-r", "-m", "open"); err != nil {
		t.Fatal(err, out)
	}
	if code := got.wait(patience); code != 0 || strings.TrimSpace(got.out.String()) != "cloud/cmd/valve open" {
		t.Errorf("exit code %d, output %q", code, got.out)
	}
}
