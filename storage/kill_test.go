package storage_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// The points between the steps of the orders of effects at which a process is killed.
var killPoints = []string{
	"job: begin", "commit: chunk written", "commit: page written", "commit: synced", "commit: told",
	"segment: open", "segment: named",
	"checkpoint: facts written", "checkpoint: main written", "checkpoint: written",
	"table: made", "table: named", "seal: closed", "seal: written",
	"remove: renamed", "remove: rename synced", "remove: files gone",
}

var kills = flag.Int("kills", 220, "how often TestKill kills a store")

// TestKill runs a store in a child process that is killed again and again,
// between steps and at random moments, always on the same directory. The child
// tells what it was promised; the next one tells what it finds.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	j := &judge{t: t, owed: make(map[core.ReceiverID]map[core.Seq]bool), all: make(map[core.Seq]*sent), at: make(map[string]int)}
	began := time.Now()
	for run := range *kills {
		point := ""
		if run%3 > 0 {
			point = killPoints[run*2/3%len(killPoints)]
		}
		j.run(dir, point, rng)
		if t.Failed() {
			t.Fatalf("after %d kills, the last at %q; store kept in %s", run+1, point, keep(dir))
		}
	}
	t.Logf("%d kills in %v, at %v; %d messages, %d settled, %d repeated at most",
		*kills, time.Since(began).Round(time.Second), j.at, len(j.all), j.settled, j.repeated)
	for _, p := range killPoints {
		if j.at[p] == 0 {
			t.Errorf("no kill at %q", p)
		}
	}
}

func keep(dir string) string {
	to := dir + "-kept"
	_ = os.Rename(dir, to)
	return to
}

// note is one line of a child.
type note struct {
	Appended core.Seq          `json:"a,omitempty"`
	Owed     []core.ReceiverID `json:"o,omitempty"`
	PacketID uint16            `json:"i,omitempty"` // held in the same turn
	Settled  core.Seq          `json:"s,omitempty"`
	Begun    core.Seq          `json:"b,omitempty"` // its packet id for the receiver is on record
	Paid     core.Seq          `json:"p,omitempty"`
	Receiver core.ReceiverID   `json:"r,omitempty"`
	Counter  int               `json:"c,omitempty"` // of the retained message
	Synced   int               `json:"y,omitempty"` // counter
	Found    *findings         `json:"f,omitempty"`
	Point    string            `json:"k,omitempty"`
}

// findings are what a child finds at its start.
type findings struct {
	Owed     map[core.ReceiverID][]core.Seq
	Begun    map[core.ReceiverID][]core.Seq // with a packet id
	Held     []uint16
	Retained int
	Aside    int
}

type sent struct {
	owed     []core.ReceiverID
	packetID uint16
	settled  bool
	begun    map[core.ReceiverID]bool
	paid     map[core.ReceiverID]bool
}

// judge compares what children were promised with what their successors find.
type judge struct {
	t        *testing.T
	all      map[core.Seq]*sent
	owed     map[core.ReceiverID]map[core.Seq]bool
	synced   int // counter of the retained message that is durable
	newest   core.Seq
	settled  int
	repeated int
	at       map[string]int
}

// run starts a child, kills it, or lets it kill itself, and reads its notes.
func (j *judge) run(dir, point string, rng *rand.Rand) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), "WEIR_KILL_DIR="+dir, "WEIR_KILL_POINT="+point,
		"WEIR_KILL_SEED="+strconv.FormatUint(rng.Uint64(), 10))
	out, err := cmd.StdoutPipe()
	if err != nil {
		j.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	patience := time.Minute // for a point that never comes
	if point == "" {
		patience = time.Duration(rng.IntN(100)) * time.Millisecond
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(out)
	last := ""
	for {
		line, err := lines.ReadBytes('\n')
		var n note
		if err == nil && json.Unmarshal(line, &n) == nil {
			j.read(n)
			last = n.Point
		} else if err == io.EOF {
			break
		} else if err != nil {
			j.t.Fatal(err)
		} else {
			j.t.Errorf("child: %s", line)
		}
	}
	_ = cmd.Wait()
	if last == "" {
		last = "any moment"
	}
	j.at[last]++
}

func (j *judge) read(n note) {
	switch {
	case n.Found != nil:
		j.compare(n.Found)
	case n.Appended > 0:
		if n.Appended <= j.newest {
			j.t.Errorf("number %d was given out after %d", n.Appended, j.newest)
		}
		j.newest = n.Appended
		j.all[n.Appended] = &sent{owed: n.Owed, packetID: n.PacketID, begun: make(map[core.ReceiverID]bool), paid: make(map[core.ReceiverID]bool)}
	case n.Settled > 0:
		j.all[n.Settled].settled = true
		j.settled++
	case n.Begun > 0:
		j.all[n.Begun].begun[n.Receiver] = true
	case n.Paid > 0:
		j.all[n.Paid].paid[n.Receiver] = true
	case n.Synced > 0:
		j.synced = n.Synced
	}
}

// compare checks what is left after a kill, and takes it for the truth.
func (j *judge) compare(f *findings) {
	if f.Aside > 0 {
		j.t.Errorf("%d directories are in quarantine", f.Aside)
	}
	if f.Retained < j.synced {
		j.t.Errorf("retained message %d is back to %d", j.synced, f.Retained)
	}
	held := make(map[uint16]bool)
	for _, id := range f.Held {
		held[id] = true
	}
	found := make(map[core.Seq]bool)
	for r, list := range f.Owed {
		repeated := 0
		for i, seq := range list {
			found[seq] = true
			s := j.all[seq]
			switch {
			case i > 0 && seq <= list[i-1]:
				j.t.Errorf("receiver %d: %d after %d", r, seq, list[i-1])
			case s == nil: // its line was not written any more
			case s.paid[r]:
				repeated++
				s.paid[r] = false
			}
			if s != nil && s.begun[r] && !contains(f.Begun[r], seq) {
				j.t.Errorf("message %d is owed to %d, and the packet id under which it was sent is forgotten", seq, r)
			}
			if s != nil && s.packetID > 0 && !held[s.packetID] {
				j.t.Errorf("message %d is there, and packet id %d is not held", seq, s.packetID)
			}
		}
		j.repeated = max(j.repeated, repeated)
		if repeated > 64+60 { // a window, and a fetch
			j.t.Errorf("receiver %d: %d messages are repeated", r, repeated)
		}
	}
	for seq, s := range j.all {
		open := 0
		for _, r := range s.owed {
			if !s.paid[r] {
				open++
				if s.settled && !contains(f.Owed[r], seq) {
					j.t.Errorf("message %d was settled, is owed to %d, and is lost", seq, r)
				}
			}
		}
		if open > 0 && !found[seq] {
			if held[s.packetID] {
				j.t.Errorf("packet id %d is held, and message %d is not there", s.packetID, seq)
			}
			delete(j.all, seq) // never settled: it may be gone
		}
	}
}

func contains(list []core.Seq, seq core.Seq) bool {
	for _, s := range list {
		if s == seq {
			return true
		}
	}
	return false
}

func TestKillChild(t *testing.T) {
	dir := os.Getenv("WEIR_KILL_DIR")
	if dir == "" {
		t.Skip("only as a child of TestKill")
	}
	seed, _ := strconv.ParseUint(os.Getenv("WEIR_KILL_SEED"), 10, 64)
	rng := rand.New(rand.NewPCG(seed, 2))
	c := &victim{t: t, rng: rng, seen: make(map[core.Seq]bool), retained: make(map[core.Ticket]int), flights: make(map[flight]*begun)}
	point, passes := os.Getenv("WEIR_KILL_POINT"), 1+rng.IntN(4)
	cfg := storage.AtStep(storage.Config{Dir: dir}, func(name string) {
		if name != point {
			return
		}
		if passes--; passes == 0 {
			tell(note{Point: name})
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	})
	c.o = storagetest.NewOwner(t, open(t, storage.SmallSegments(cfg, 48<<10)))
	c.live()
}

// tell writes a note in one piece: what is in the pipe survives the kill.
func tell(n note) {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.Write(append(b, '\n'))
}

// victim is the owner of the store in a child.
type victim struct {
	t        *testing.T
	o        *storagetest.Owner
	rng      *rand.Rand
	seen     map[core.Seq]bool // settled and told
	retained map[core.Ticket]int
	counter  int
	packetID uint16
	flights  map[flight]*begun
	outgoing uint16 // the packet id given last
}

// flight is a message of QoS 2 on its way to a receiver.
type flight struct {
	r   core.ReceiverID
	seq core.Seq
}

// begun is its packet id, which is on record when ticket is synced.
type begun struct {
	packetID uint16
	ticket   core.Ticket
	told     bool
}

var victims = []core.ReceiverID{21, 22, 23}

// live finds out what is there, and goes on until it is killed.
func (c *victim) live() {
	f := &findings{Owed: make(map[core.ReceiverID][]core.Seq), Begun: make(map[core.ReceiverID][]core.Seq)}
	err := c.o.Store.Load(func(ch core.Change) {
		switch ch := ch.(type) {
		case core.IncomingHeld:
			f.Held = append(f.Held, ch.PacketID)
			c.packetID = max(c.packetID, ch.PacketID)
		case core.OutgoingSaved:
			out := ch.Outgoing
			f.Begun[out.Owner] = append(f.Begun[out.Owner], out.Seq)
			c.flights[flight{out.Owner, out.Seq}] = &begun{packetID: out.PacketID, told: true}
			c.outgoing = max(c.outgoing, out.PacketID)
		case core.RetainedSaved:
			f.Retained, _ = strconv.Atoi(string(ch.Message.Payload))
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.counter = f.Retained
	f.Aside = c.o.Store.Status().Quarantined
	for _, r := range victims {
		for _, d := range c.o.FetchAll(r, 500) {
			f.Owed[r] = append(f.Owed[r], d.Seq)
		}
		if n := c.o.Store.Owed(r); n != uint64(len(f.Owed[r])) {
			c.t.Errorf("receiver %d: %d owed, %d found", r, n, len(f.Owed[r]))
		}
		c.o.Store.Rewind(r)
	}
	for out, b := range c.flights { // paid, and not forgotten yet
		if !contains(f.Owed[out.r], out.seq) {
			c.o.Store.Record(core.OutgoingDone{Owner: out.r, PacketID: b.packetID}, true)
			delete(c.flights, out)
		}
	}
	tell(note{Found: f})
	for _, r := range victims {
		c.o.Store.Record(core.RuleSaved{Name: fmt.Sprint(r), Receiver: r}, false)
	}
	ticket := c.o.Store.Record(core.IncomingReleased{Owner: 2, PacketID: 1}, false) // nobody's
	c.o.Until("the receivers to be known", func() bool { return c.o.Synced >= ticket })
	for {
		c.turn()
	}
}

// turn is one turn of the owner's loop.
func (c *victim) turn() {
	r := victims[c.rng.IntN(3)]
	action := c.rng.IntN(8)
	if c.o.Store.Owed(r) > 1000 {
		action = 1
	}
	switch action {
	case 0:
		c.o.Store.Rewind(r)
	case 1, 2, 3:
		next, _ := c.o.Fetch(r, 1+c.rng.IntN(60))
		for _, d := range next {
			if c.rng.IntN(20) > 0 {
				c.deliver(flight{r, d.Seq})
			}
		}
	case 4:
		c.counter++
		m := &core.Message{Topic: "retained", Payload: strconv.AppendInt(nil, int64(c.counter), 10)}
		c.retained[c.o.Store.Record(core.RetainedSaved{Message: m}, c.rng.IntN(2) == 0)] = c.counter
	default:
		for range 1 + c.rng.IntN(40) {
			c.append()
		}
	}
	c.o.Turn()
	c.tellSettled()
	c.proceed()
}

// deliver pays a message at once, or goes the way of QoS 2: its packet id is recorded
// and synced; it is paid; the packet id is forgotten.
func (c *victim) deliver(f flight) {
	b := c.flights[f]
	switch {
	case b == nil && c.rng.IntN(4) == 0 && c.outgoing < 60000:
		c.outgoing++
		out := core.Outgoing{Owner: f.r, PacketID: c.outgoing, Receiver: f.r, Seq: f.seq}
		c.flights[f] = &begun{packetID: c.outgoing, ticket: c.o.Store.Record(core.OutgoingSaved{Outgoing: out}, false)}
		return
	case b != nil && b.ticket > c.o.Synced:
		return
	}
	tell(note{Paid: f.seq, Receiver: f.r})
	c.o.Paid(f.r, f.seq)
	if b != nil {
		c.o.Store.Record(core.OutgoingDone{Owner: f.r, PacketID: b.packetID}, c.rng.IntN(2) == 0)
		delete(c.flights, f)
	}
}

// proceed tells of the packet ids that are on record now, and delivers some of these.
func (c *victim) proceed() {
	for f, b := range c.flights {
		if b.told || b.ticket > c.o.Synced {
			continue
		}
		b.told = true
		tell(note{Begun: f.seq, Receiver: f.r})
		if c.rng.IntN(4) > 0 {
			c.deliver(f)
		}
	}
}

func (c *victim) append() {
	var debts []core.Debt
	n := note{}
	for _, r := range victims {
		if c.rng.IntN(2) == 0 {
			debts = append(debts, core.Debt{Receiver: r, Live: c.rng.IntN(4) == 0})
			n.Owed = append(n.Owed, r)
		}
	}
	if debts == nil {
		return
	}
	m := &core.Message{Topic: "t", Payload: make([]byte, 40+c.rng.IntN(200)), QoS: 1}
	if c.rng.IntN(1500) == 0 {
		m.Payload = make([]byte, 700<<10)
	}
	for i := range m.Payload {
		m.Payload[i] = byte(c.rng.Uint32())
	}
	var hold time.Duration
	if c.rng.IntN(10) == 0 && c.packetID < 60000 {
		c.packetID++
		n.PacketID, m.QoS = c.packetID, 2
		c.o.Store.Record(core.IncomingHeld{Owner: 1, PacketID: c.packetID}, false)
	} else if c.rng.IntN(2) == 0 {
		hold = time.Duration(c.rng.IntN(20)) * time.Millisecond
	}
	seq, _, err := c.o.Store.Append(m, debts, hold)
	if err != nil {
		c.t.Fatal(err)
	}
	n.Appended = seq
	tell(n)
}

func (c *victim) tellSettled() {
	for seq := range c.o.Settled {
		tell(note{Settled: seq})
	}
	clear(c.o.Settled)
	for ticket, counter := range c.retained {
		if ticket <= c.o.Synced {
			tell(note{Synced: counter})
			delete(c.retained, ticket)
		}
	}
}
