package main

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fault is something that happens to a stage. It is over when do returns.
type fault struct {
	name      string
	low, high time.Duration // how long it lasts
	do        func(s *faultStage, d time.Duration, rng *rand.Rand)
}

// The faults that need no root.
var (
	faultKill     = fault{"kill", 0, 0, killGateway}
	faultRecovery = fault{"kill-in-recovery", 0, 100 * time.Millisecond, killInRecovery}
	faultPause    = fault{"pause", 100 * time.Millisecond, 3 * time.Second, pauseGateway}
	faultTerm     = fault{"term", 0, 0, stopGateway}
	faultReset    = fault{"reset", 0, 300 * time.Millisecond, resetLink}
	faultSilence  = fault{"silence", 100 * time.Millisecond, 3 * time.Second, silenceLink}
	faultSlow     = fault{"slow", 200 * time.Millisecond, 2 * time.Second, slowLink}
	faultUpstream = fault{"upstream", 0, time.Second, restartUpstream}
	faultDamage   = fault{"damage", 0, 0, damageFile}
)

// killGateway is SIGKILL, at a moment that the schedule has chosen.
func killGateway(s *faultStage, _ time.Duration, _ *rand.Rand) {
	s.last()
	s.g.kill()
	s.start()
	s.ready()
}

// killInRecovery kills it again d after its start, up to three times.
func killInRecovery(s *faultStage, d time.Duration, rng *rand.Rand) {
	s.last()
	s.g.kill()
	for range 1 + rng.IntN(3) {
		s.start()
		time.Sleep(d)
		s.g.kill()
	}
	s.start()
	s.ready()
}

// pauseGateway stops the process as a debugger or a suspended machine does.
func pauseGateway(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.g.signal(syscall.SIGSTOP)
	time.Sleep(d)
	s.g.signal(syscall.SIGCONT)
}

func stopGateway(s *faultStage, _ time.Duration, _ *rand.Rand) {
	s.last()
	if code := s.g.stop(); code != 0 {
		s.t.Errorf("exit code %d after SIGTERM", code)
	}
	s.start()
	s.ready()
}

// resetLink breaks all connections, and refuses new ones for d.
func resetLink(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.link.down()
	time.Sleep(d)
	s.link.up()
	s.cuts++
}

// silenceLink is a black hole: nothing gets through, nothing is refused.
func silenceLink(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.link.hush()
	time.Sleep(d)
	s.link.speak()
	s.cuts++
}

func slowLink(s *faultStage, d time.Duration, rng *rand.Rand) {
	s.link.slow(time.Duration(rng.IntN(50)) * time.Millisecond)
	time.Sleep(d)
	s.link.slow(0)
}

// restartUpstream stops the upstream for d in the middle of its exchange with the
// gateway, but with nothing on its way to the recorder: after a restart mosquitto
// 2.0.11 repeats to its own subscribers what it had in flight, at QoS 2 too, and
// those repetitions would be taken for ours.
func restartUpstream(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.g.signal(syscall.SIGSTOP)
	s.quiesce()
	s.up.process.stop()
	s.g.signal(syscall.SIGCONT)
	time.Sleep(d)
	s.up.start()
	s.cuts++
}

// harms are what may happen to a file while nobody looks.
var harms = []func(path string, b []byte, rng *rand.Rand) error{
	func(path string, b []byte, rng *rand.Rand) error { // cut
		return os.Truncate(path, int64(rng.IntN(len(b))))
	},
	func(path string, b []byte, rng *rand.Rand) error { // a flipped bit
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		return os.WriteFile(path, b, 0o600)
	},
	func(path string, b []byte, rng *rand.Rand) error { // zeros
		from := rng.IntN(len(b))
		clear(b[from:min(len(b), from+4096)])
		return os.WriteFile(path, b, 0o600)
	},
	func(path string, _ []byte, _ *rand.Rand) error { return os.Remove(path) },
}

// damageFile harms one file of the store between two lives.
func damageFile(s *faultStage, _ time.Duration, rng *rand.Rand) {
	s.last()
	if rng.IntN(2) == 0 {
		s.g.kill()
	} else {
		s.g.stop()
	}
	path, data := s.someFile(rng)
	kind := rng.IntN(len(harms))
	s.t.Logf("damage %d to %s (%d bytes)", kind, path, len(data))
	if err := harms[kind](path, data, rng); err != nil {
		s.t.Fatal(err)
	}
	s.start()
	s.ready()
}

// someFile is a file of the store with its contents.
func (s *faultStage) someFile(rng *rand.Rand) (path string, data []byte) {
	s.t.Helper()
	var files []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		if info, err := d.Info(); err != nil || info.Size() == 0 {
			return err
		}
		files = append(files, path)
		return nil
	})
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no files in %s: %v", s.dir, err)
	}
	path = files[rng.IntN(len(files))]
	if data, err = os.ReadFile(path); err != nil {
		s.t.Fatal(err)
	}
	return path, data
}
