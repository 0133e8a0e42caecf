package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOneInFlight holds a publisher that waits for each acknowledgement against the
// disk, by turns, and against the same without a disk; and against what a broker could
// reach at best that acknowledges as fast as Mosquitto does from memory and then waits
// for the disk and for nothing else. The bare disk is measured without a pause, as the
// bar says, and with one before each write, in which the disk and a processor may fall
// asleep, as they do while a packet is on its way:
//
//	WEIR_FIGURES=1 go test ./cmd/weir -run TestOneInFlight -v
func TestOneInFlight(t *testing.T) {
	if os.Getenv("WEIR_FIGURES") == "" {
		t.Skip("only with WEIR_FIGURES=1")
	}
	need(t, "mosquitto", "mosquitto_sub")
	synced := startGateway(t, figuresConfig)
	memory := startGateway(t, strings.Replace(figuresConfig, "reserve: 0", "reserve: 0, promise: memory", 1))
	away(t, synced.port, "plant/#")
	away(t, memory.port, "plant/#")
	m := startMosquitto(t, "persistence false")
	away(t, m.port, "plant/#")
	var ours, bare, theirs, disk, rested, ratio, best []float64
	for i := range 11 {
		disk = append(disk, syncsPerSecond(t, 0))
		rested = append(rested, syncsPerSecond(t, 200*time.Microsecond))
		ours = append(ours, acksPerSecond(t, synced.port, 2000, 1, 200))
		bare = append(bare, acksPerSecond(t, memory.port, 2000, 1, 200))
		theirs = append(theirs, acksPerSecond(t, m.port, 2000, 1, 200))
		ratio = append(ratio, ours[i]/disk[i])
		best = append(best, theirs[i]/(theirs[i]+disk[i]))
	}
	us := func(rates []float64) float64 { return 1e6 / middle(rates) }
	figure(t, "raw write and fdatasync, us", "%.0f", us(disk), "")
	figure(t, "the same, each after a pause, us", "%.0f", us(rested), "")
	figure(t, "one in flight, us", "%.0f", us(ours), "")
	figure(t, "one in flight, promise memory, us", "%.0f", us(bare), "")
	figure(t, "Mosquitto, one in flight, from memory, us", "%.0f", us(theirs), "")
	figure(t, "that and the disk, against raw fdatasync", "%.2f", middle(best), "")
	figure(t, "that and the disk after a pause, against raw fdatasync", "%.2f", us(disk)/(us(theirs)+us(rested)), "")
	figure(t, "one in flight, against raw fdatasync", "%.2f", middle(ratio), ">= 0.7")
}

// syncsPerSecond is what the disk can do for one who waits for each, and pauses before
// it; the pauses do not count.
func syncsPerSecond(t *testing.T, pause time.Duration) float64 {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sync"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 4<<20); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	rest := unix.NsecToTimespec(pause.Nanoseconds())
	var took time.Duration
	for i := range n {
		if pause > 0 {
			_ = unix.Nanosleep(&rest, nil) // time.Sleep makes a millisecond of it; a signal may end it early
		}
		begun := time.Now()
		if _, err := f.WriteAt(make([]byte, 200), int64(i)*200); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		took += time.Since(begun)
	}
	return n / took.Seconds()
}
