package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

const faultConfig = `
data_dir: %s
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {budget: %s, reserve: 0}
bridges:
  - name: cloud
    url: mqtt://%s
    client_id: gw-1
    protocol: %s
    keepalive: 5s
    backoff: {min: 100ms, max: 500ms}
    out:
      - {filter: "plant/#", qos: 1, remote_prefix: "site7/", on_full: refuse}
      - {filter: "exact/#", qos: 2, remote_prefix: "site7/", on_full: refuse}
`

// The bounds of what a gateway may need, whatever happens to it.
const (
	maxFaultRSS        = 64 << 20
	maxFaultFDs        = 200
	maxFaultGoroutines = 200
	maxHeal            = 10 * time.Second
)

// faultStage is a gateway between two audited sources, an upstream behind a link that
// can be broken, and a session that is away until the end.
type faultStage struct {
	t        *testing.T
	up       *mosquitto
	link     *link
	disk     *disk // nil: an ordinary directory
	dir      string
	g        *testGateway
	sources  map[string]*audited     // by the prefix of their topics
	upstream *witness                // what has reached the upstream
	away     *witness                // what the absent session got in the end
	doubt    map[string]map[int]bool // acknowledged while the power was going, by prefix
	twice    map[string]map[int]bool // arrived upstream while the power was going, by prefix

	row   *faultRow
	cuts  int // connections of the bridge that were cut: each repeats at most one window
	lives int // of the gateway
	most  core.ProcessStatus
	open  int                    // the widest window of the bridge
	lost  map[core.Reason]uint64 // that the gateway has counted, in all lives
	fills int                    // times that the disk was full
	aside int                    // segments in quarantine, at most
}

// newFaultStage starts everything; d is the disk of the gateway, or nil.
func newFaultStage(t *testing.T, protocol string, d *disk, row *faultRow) *faultStage {
	t.Helper()
	s := &faultStage{t: t, disk: d, dir: filepath.Join(t.TempDir(), "data"), row: row, doubt: newDoubt(), twice: newDoubt(), lost: make(map[core.Reason]uint64)}
	budget := "2GiB"
	if d != nil {
		s.dir, budget = filepath.Join(d.mount, "data"), "64MiB"
	}
	said := filepath.Join(t.TempDir(), "upstream.log")
	// With a limit of messages in flight, mosquitto 2.0.11 gives a recorder that was
	// slow for a moment its messages out of order.
	s.up = startMosquitto(t, "max_inflight_messages 0", "log_type all", "log_timestamp_format %FT%T", "log_dest file "+said)
	s.link = newLink(t, fmt.Sprintf("127.0.0.1:%d", s.up.port))
	s.upstream = newWitness(t, s.up.port, "recorder", "site7/")
	s.upstream.attend()
	s.g = startGateway(t, fmt.Sprintf(faultConfig, s.dir, budget, s.link.address, protocol))
	t.Cleanup(func() {
		s.g.kill()
		if t.Failed() {
			s.keep(said)
		}
	})
	s.away = newWitness(t, s.g.port, "away", "")
	s.away.subscribe()
	s.sources = map[string]*audited{
		"plant/": publishNumbered(t, s.g, "auditor-1", 1, 3*time.Millisecond, "plant/a", "plant/b", "plant/c"),
		"exact/": publishNumbered(t, s.g, "auditor-2", 2, 3*time.Millisecond, "exact/a"),
	}
	s.heal()
	return s
}

// keep saves what a failure is explained from.
func (s *faultStage) keep(said string) {
	dir, err := os.MkdirTemp("", "weir-faults-")
	if err != nil {
		s.t.Logf("nothing kept: %v", err)
		return
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "gateway.log"), []byte(s.g.out.String()), 0o600),
		os.Rename(said, filepath.Join(dir, "upstream.log")),
		os.Rename(s.upstream.file, filepath.Join(dir, "upstream.received")),
		os.Rename(s.away.file, filepath.Join(dir, "away.received")),
		os.CopyFS(filepath.Join(dir, "data"), os.DirFS(s.dir)),
	)
	s.t.Logf("logs, what arrived and the store are kept in %s (%v)", dir, err)
}

// start runs the gateway again and does not wait for it. All lives of it write
// to one log.
func (s *faultStage) start() {
	s.t.Helper()
	path, err := weirBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{t: s.t, name: "weir", cmd: exec.Command(path, "run", "--config", s.g.config), out: s.g.out, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = dyingWithTest()
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.g.process = p
	s.lives++
	s.cuts++
}

// ready waits until the gateway is.
func (s *faultStage) ready() {
	s.t.Helper()
	eventually(s.t, patience, "ready", func() bool {
		select {
		case <-s.g.done:
			s.t.Fatalf("the gateway ended: %v\n%s", s.g.err, tail(s.g.out.String(), 8000))
		default:
		}
		return s.g.ready()
	})
	s.look()
}

// look takes note of what the gateway needs and of what it counts.
func (s *faultStage) look() core.Status {
	s.t.Helper()
	st := s.g.status()
	s.most.RSS = max(s.most.RSS, st.Process.RSS)
	s.most.FDs = max(s.most.FDs, st.Process.FDs)
	s.most.Goroutines = max(s.most.Goroutines, st.Process.Goroutines)
	s.aside = max(s.aside, st.Buffer.Quarantined)
	for _, b := range st.Bridges {
		s.open = max(s.open, b.Window)
	}
	return st
}

// last is a look at a life that is about to end.
func (s *faultStage) last() {
	s.t.Helper()
	st := s.look()
	for reason, n := range st.Buffer.Dropped {
		s.lost[reason] += n
	}
}

// heal waits until values flow from both sources to the upstream: in the long run, which
// has the machine for itself, not longer than maxHeal.
func (s *faultStage) heal() {
	s.t.Helper()
	began := time.Now()
	before := make(map[string]int)
	for prefix, src := range s.sources {
		_, before[prefix] = src.counts()
	}
	published := s.bridge().Published
	limit := patience
	if long() {
		limit = maxHeal
	}
	eventually(s.t, limit, "healed", func() bool {
		for prefix, src := range s.sources {
			if _, now := src.counts(); now < before[prefix]+3 {
				return false
			}
		}
		b := s.bridge()
		return b.State == "connected" && b.Published >= published+3
	})
	s.row.heal = max(s.row.heal, time.Since(began))
	s.look()
}

func (s *faultStage) bridge() core.BridgeStatus {
	if st := s.look(); len(st.Bridges) > 0 {
		return st.Bridges[0]
	}
	return core.BridgeStatus{}
}

// settle lets everything arrive that can arrive, and gives the verdict.
func (s *faultStage) settle() {
	s.t.Helper()
	s.heal()
	for _, src := range s.sources {
		src.end()
	}
	s.complete(s.upstream)
	s.away.attend()
	s.complete(s.away)
	s.last()
	again := (s.lives + s.fills) * 20                           // what a source sends again after a lost connection or a refusal
	s.verdict("upstream", s.upstream, again+s.cuts*(s.open+64)) // the bridge's window, and the store's
	s.verdict("absent session", s.away, again)
	s.bounded()
}

// quiesce waits until the upstream has nothing on its way to its witness, while the
// gateway is silent.
func (s *faultStage) quiesce() {
	s.t.Helper()
	s.up.dry("site7/plant"+markTopic, func() (int, int) { return s.upstream.count(), s.upstream.marks })
}

// complete waits until w has everything that was acknowledged, or until nothing
// more comes.
func (s *faultStage) complete(w *witness) {
	s.t.Helper()
	quiet, patience := 300*time.Millisecond, 15*time.Second
	if s.row.damage { // what is lost is lost
		patience = 3 * time.Second
	}
	last, since := -1, time.Now()
	eventually(s.t, 5*time.Minute, "quiet", func() bool {
		if n := w.count(); n != last {
			last, since = n, time.Now()
		}
		if s.missing(w) > 0 {
			return time.Since(since) > patience
		}
		return time.Since(since) > quiet
	})
}

func (s *faultStage) missing(w *witness) (n int) {
	for prefix, src := range s.sources {
		n += s.judge(prefix, src, w).Lost
	}
	return n
}

// newDoubt is an empty set for each source.
func newDoubt() map[string]map[int]bool {
	return map[string]map[int]bool{"plant/": {}, "exact/": {}}
}

// judge leaves out what was acknowledged, and what went out, while the power was
// going: nobody can say whether that was before or after.
func (s *faultStage) judge(prefix string, src *audited, w *witness) verdict {
	v := judge(src.source, w.tallies[prefix])
	sure := v.missing[:0]
	for _, n := range v.missing {
		if !s.doubt[prefix][n] {
			sure = append(sure, n)
		}
	}
	v.missing, v.Lost = sure, len(sure)
	if w == s.upstream && src.qos == 2 {
		for n := range s.twice[prefix] {
			v.Duplicates -= max(0, w.tallies[prefix].times[n]-1)
		}
	}
	return v
}

// verdict holds the invariants against what w has seen.
func (s *faultStage) verdict(name string, w *witness, limit int) {
	s.t.Helper()
	damaged := s.row.damage && s.aside+int(s.lost[core.DroppedUnreadable]) > 0
	for prefix, src := range s.sources {
		v := s.judge(prefix, src, w)
		s.row.add(src.qos, v)
		s.t.Logf("%s, QoS %d: %d acknowledged, %d arrived, %d lost, %d duplicates, %d out of order", name, src.qos, v.Acknowledged, v.Arrived, v.Lost, v.Duplicates, v.Reversed)
		if sent, _ := src.counts(); w.highest(prefix) >= sent {
			s.t.Errorf("%s has message %d of only %d", name, w.highest(prefix), sent)
		}
		if v.Lost > 0 && !damaged {
			s.t.Errorf("%s, QoS %d: lost %d, %v; counted: %v, %d in quarantine", name, src.qos, v.Lost, v.missing[:min(50, len(v.missing))], s.lost, s.aside)
		}
		if v.Reversed > 0 && !damaged {
			s.t.Errorf("%s, QoS %d: %d out of order", name, src.qos, v.Reversed)
		}
		most := limit
		if src.qos == 2 {
			most = 0
		}
		if v.Duplicates > most && !damaged {
			s.t.Errorf("%s, QoS %d: %d duplicates, more than %d", name, src.qos, v.Duplicates, most)
		}
	}
}

// bounded: the gateway is as small as before.
func (s *faultStage) bounded() {
	s.t.Helper()
	s.row.rss = max(s.row.rss, s.most.RSS)
	if s.most.RSS > maxFaultRSS || s.most.FDs > maxFaultFDs || s.most.Goroutines > maxFaultGoroutines {
		s.t.Errorf("too large: %+v", s.most)
	}
}
