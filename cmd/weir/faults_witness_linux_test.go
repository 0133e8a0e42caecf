package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// witness counts what a persistent session of mosquitto_sub receives, by the
// source that it comes from.
type witness struct {
	t        *testing.T
	id       string
	port     int
	strip    string // in front of the topics
	file     string
	read     int64
	tallies  map[string]*tally // by the prefix of the topics
	received int
	marks    int // see mosquitto.dry
}

func newWitness(t *testing.T, port int, id, strip string) *witness {
	t.Helper()
	need(t, "mosquitto_sub")
	w := &witness{t: t, id: id, port: port, strip: strip, file: filepath.Join(t.TempDir(), id), tallies: map[string]*tally{"plant/": newTally(), "exact/": newTally()}}
	if err := os.WriteFile(w.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *witness) args(more ...string) []string {
	return append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(w.port), "-c", "-i", w.id, "-q", "2", "-t", w.strip + "plant/#", "-t", w.strip + "exact/#", "-F", "%t %p"}, more...)
}

// subscribe makes the session and leaves it alone.
func (w *witness) subscribe() {
	w.t.Helper()
	if out, err := run(w.t, lookPeer("mosquitto_sub"), w.args("-E")...); err != nil {
		w.t.Fatalf("subscribe %s: %v\n%s", w.id, err, out)
	}
}

// attend receives until the end of the test.
func (w *witness) attend() {
	w.t.Helper()
	out, err := os.OpenFile(w.file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{t: w.t, name: "mosquitto_sub", cmd: exec.Command(lookPeer("mosquitto_sub"), w.args()...), done: make(chan struct{})}
	p.cmd.Stdout = out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		out.Close()
		close(p.done)
	}()
	w.t.Cleanup(p.kill)
}

// count tallies what came since the last call, and gives the number of all.
func (w *witness) count() int {
	w.t.Helper()
	data, err := readFrom(w.file, w.read)
	if err != nil {
		w.t.Fatal(err)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	w.read += int64(end)
	for line := range bytes.Lines(data[:end]) {
		topic, payload, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		name := strings.TrimPrefix(string(topic), w.strip)
		if strings.HasSuffix(name, markTopic) {
			w.marks++
			continue
		}
		prefix := name[:strings.IndexByte(name+"/", '/')] + "/"
		tally := w.tallies[prefix]
		if tally == nil {
			w.t.Errorf("%s: topic %q was never used", w.id, topic)
			continue
		}
		if err := tally.add(name, payload); err != nil {
			w.t.Errorf("%s: not what was sent: %v", w.id, err)
		}
		w.received++
	}
	return w.received
}

func readFrom(path string, offset int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size()-offset)
	n, err := f.ReadAt(data, offset)
	return data[:n], err
}

// highest is the largest number that has arrived.
func (w *witness) highest(prefix string) int {
	most := -1
	for n := range maps.Keys(w.tallies[prefix].times) {
		most = max(most, n)
	}
	return most
}
