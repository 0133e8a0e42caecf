package modbus

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core"
)

// What is traced says what each transaction was; nobody is told once he has left.
func TestTrace(t *testing.T) {
	s := simulator.New()
	u := s.Unit(1)
	u.Fill(simulator.Holdings, 0, 40)
	u.Set(simulator.Holdings, 3, 7)
	u.Fill(simulator.Coils, 0, 10)
	u.Set(simulator.Coils, 2, 1)
	u.Queue(10, 1, 2)
	for _, url := range []string{"tcp://simulated:1", "rtu+tcp://simulated:1"} {
		c := Config{URL: url, Devices: []Device{
			{Name: "d", Unit: 1, Points: []Point{
				{Name: "a", Register: "holding:3"}, {Name: "b", Register: "coil:2"}, {Name: "c", Register: "fifo:10"}, {Name: "none", Register: "input:0"},
			}},
			{Name: "dead", Unit: 2, Points: []Point{{Name: "a", Register: "holding:0"}}},
		}}
		synctest.Test(t, func(t *testing.T) {
			a := newAdapter(t, c)
			dialPipe(t, a, s)
			var mu sync.Mutex
			got := make(map[string]string)
			stop := a.Trace(func(x core.Transaction) {
				mu.Lock()
				defer mu.Unlock()
				got[x.Meaning] = x.Result + x.Error
			})
			end := start(t, a, newRecorder())
			defer end()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			stop()
			mu.Lock()
			delete(got, "read holding:0, 2") // the probe of a dead device, where answers have no number
			want := map[string]string{
				"read holding:3, 1": "7", "read coil:2, 1": "1", "read queue": "1 2", "read holding:0, 1": "no answer",
				"read input:0, 1": "the device has no such register (exception 2)",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", url, diff)
			}
			clear(got)
			mu.Unlock()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(got) > 0 {
				t.Errorf("told after the end: %v", got)
			}
		})
	}
}

// No PDU makes the descriptions fail.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte{3, 0, 1, 0, 2}, []byte{3, 4, 0, 1, 0, 2})
	f.Add([]byte{24, 0, 1}, []byte{24, 0, 2, 0, 0})
	f.Add([]byte{16, 0, 1, 0, 1, 2, 0, 9}, []byte{0x90, 2})
	f.Fuzz(func(_ *testing.T, request, answer []byte) {
		if len(request) > 0 {
			_ = describeRequest(request)
		}
		if len(request) > 0 && len(answer) > 0 {
			_, _ = describeAnswer(request, answer)
		}
	})
}
