package storage_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

var fills = flag.Int("fills", 60, "how often each part of TestDiskFilledBesides fills the disk")

// TestDiskFilledBesides: another process takes all of the room of a disk, at moments of
// its own, while a store writes as fast as it can: journals, tables, checkpoints, new
// segments. The store refuses then, and goes on when there is room. It lives, keeps what
// it has settled, and what it holds open does not become more.
func TestDiskFilledBesides(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(*os.File){"at once": allocateAll, "by writing": writeAll} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newImage(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			c := startFilled(t, filepath.Join(m.dir, "store"))
			refused := 0
			for i := range *fills {
				time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
				before := c.ask(t, "refused")
				hog, err := os.Create(filepath.Join(m.dir, "hog"))
				if err != nil {
					t.Fatal(err)
				}
				fill(hog)
				time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				if err := errors.Join(os.Remove(hog.Name()), hog.Close()); err != nil {
					t.Fatal(err)
				}
				if c.ask(t, "refused") > before {
					refused++
				}
				c.ask(t, "settled") // it goes on
				if i == *fills/3 {
					c.ask(t, "mark")
				}
			}
			settled := c.ask(t, "close")
			if settled < 0 {
				for c.out.Scan() {
					t.Log(c.out.Text())
				}
				t.Error("not all is there that should be")
			}
			if refused < *fills/10 {
				t.Errorf("it has refused in %d fills of %d", refused, *fills)
			}
			t.Logf("%d messages settled; refused in %d of %d fills", settled, refused, *fills)
		})
	}
}

// allocateAll takes all that there is, in a moment.
func allocateAll(f *os.File) {
	at := int64(0)
	for size := int64(64 << 20); size >= 4096; {
		if unix.Fallocate(int(f.Fd()), 0, at, size) != nil {
			size /= 2
			continue
		}
		at += size
	}
}

// writeAll takes it as a log that grows does.
func writeAll(f *os.File) {
	block := make([]byte, 256<<10)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

// filled is the process with the store. It is asked with a word a line, and answers with a
// number.
type filled struct {
	in  io.Writer
	out *bufio.Scanner
	cmd *exec.Cmd
}

func startFilled(t *testing.T, dir string) *filled {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDiskFilledChild$")
	cmd.Env = append(os.Environ(), "WEIR_FILLED_DIR="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &filled{in: in, out: bufio.NewScanner(out), cmd: cmd}
}

func (c *filled) ask(t *testing.T, word string) int {
	t.Helper()
	if _, err := fmt.Fprintln(c.in, word); err != nil {
		t.Fatalf("it does not live: %v", err)
	}
	for c.out.Scan() {
		if answer, ok := strings.CutPrefix(c.out.Text(), "filled: "); ok {
			n, err := strconv.Atoi(answer)
			if err != nil {
				t.Fatal(answer)
			}
			return n
		}
		t.Log(c.out.Text())
	}
	t.Fatalf("no answer to %q", word)
	return 0
}

// TestDiskFilledChild writes messages that can not be compressed, and takes them again when
// they fill half of the disk.
func TestDiskFilledChild(t *testing.T) {
	dir := os.Getenv("WEIR_FILLED_DIR")
	if dir == "" {
		t.Skip("only as a child of TestDiskFilledBesides")
	}
	words := make(chan string)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			words <- in.Text()
		}
		os.Exit(1) // the test is over
	}()
	w := &writer{t: t, o: storagetest.NewOwner(t, open(t, storage.Config{Dir: dir, Budget: 64 << 20})), owed: make(map[core.Seq]int)}
	w.o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	w.o.Store.SetPolicy(uplink, core.Policy{OnFull: core.Refuse})
	marked := 0
	for {
		select {
		case word := <-words:
			answer := 0
			switch word {
			case "refused":
				answer = w.refused
			case "settled":
				w.goOn()
			case "mark":
				marked = len(held(t, filepath.Dir(dir)))
			case "close":
				if now := len(held(t, filepath.Dir(dir))); now > 2*marked+20 {
					t.Errorf("%d files, and %d after a third of the fills", now, marked)
				}
				answer = w.close()
				if t.Failed() {
					answer = -1
				}
			}
			fmt.Printf("filled: %d\n", answer)
			if answer < 0 {
				return
			}
		default:
			w.turn()
		}
	}
}

type writer struct {
	t       *testing.T
	o       *storagetest.Owner
	n       int
	owed    map[core.Seq]int // the number of the message, in order
	refused int
	paid    core.Seq

	retained int // the newest retained message, which is a large one,
	ticket   core.Ticket
	synced   int // and the newest of which it is known that it is safe
}

// retain replaces a large retained message.
func (w *writer) retain() {
	if w.o.Store.Refuses() || w.ticket > w.o.Synced {
		return
	}
	w.synced = w.retained
	w.retained++
	m := noise(w.retained)
	m.Topic, m.Payload = fmt.Sprint("large ", w.retained), bytes.Repeat(m.Payload, 1+w.retained%12)
	if w.retained > 1 {
		w.o.Store.Record(core.RetainedDropped{Topic: fmt.Sprint("large ", w.retained-1)}, false)
	}
	w.ticket = w.o.Store.Record(core.RetainedSaved{Message: m}, false)
}

func (w *writer) turn() {
	if w.n%20 == 0 {
		w.retain()
	}
	seq, _, err := w.o.Store.Append(noise(w.n), []core.Debt{{Receiver: uplink}}, 0)
	switch {
	case errors.Is(err, core.ErrFull):
		w.refused++
		time.Sleep(time.Millisecond)
	case err != nil:
		w.t.Fatal(err)
	default:
		w.owed[seq] = w.n
		w.n++
	}
	w.o.Turn()
	if len(w.owed) > 600 { // 30 MB
		w.take(300)
	}
}

// take has the receiver take messages: they are whole, in order, and none of those that
// were settled is missing.
func (w *writer) take(n int) {
	for n > 0 {
		next, caughtUp := w.o.Fetch(uplink, 40)
		for _, d := range next {
			want, ok := w.owed[d.Seq]
			if !ok || d.Seq <= w.paid || string(d.Message.Payload) != string(noise(want).Payload) {
				w.t.Fatalf("message %d after %d, owed %v", d.Seq, w.paid, ok)
			}
			for seq := range w.owed {
				if seq < d.Seq && w.o.Settled[seq] {
					w.t.Fatalf("message %d is missing before %d", seq, d.Seq)
				}
			}
			delete(w.owed, d.Seq)
			w.o.Paid(uplink, d.Seq)
			w.paid = d.Seq
			n--
		}
		if len(next) == 0 && caughtUp {
			return
		}
		w.o.Turn()
	}
}

// goOn waits until another message is settled.
func (w *writer) goOn() {
	for limit := time.Now().Add(20 * time.Second); ; {
		before := w.n
		w.turn()
		if w.n > before {
			w.o.Until("a message to be settled", func() bool { return w.o.Store.Status().Held == 0 })
			return
		}
		if time.Now().After(limit) {
			w.t.Fatalf("it takes nothing: %+v", w.o.Store.Status())
		}
	}
}

// close closes the store and opens it again: all is there.
func (w *writer) close() int {
	settled := len(w.o.Settled)
	w.o = w.o.Reopened(w.t)
	if n := w.o.Store.Status().Quarantined; n > 0 {
		w.t.Errorf("%d directories in quarantine", n)
	}
	w.paid = 0
	w.take(len(w.owed))
	for seq := range w.owed {
		w.t.Errorf("message %d is missing", seq)
	}
	err := w.o.Store.Load(func(c core.Change) {
		if c, ok := c.(core.RetainedSaved); ok {
			var n int
			_, err := fmt.Sscanf(c.Message.Topic, "large %d", &n)
			if err != nil || n < w.synced || n > w.retained || !bytes.Equal(c.Message.Payload, bytes.Repeat(noise(n).Payload, 1+n%12)) {
				w.t.Errorf("%s of %d to %d has %d bytes", c.Message.Topic, w.synced, w.retained, len(c.Message.Payload))
			}
			w.synced = -1
		}
	})
	if err != nil || w.synced > 0 {
		w.t.Errorf("no retained message, %v", err)
	}
	return settled
}
