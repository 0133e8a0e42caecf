package serial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// contextOf ends with stop, not before the test's cleanups.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// one is an open function for a single port.
func one(p *fakePort) func(serialport.Config) (port, error) {
	return func(serialport.Config) (port, error) { return p, nil }
}

func TestReadingHasTheTimeOfItsLastByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "temp", Unit: "°C"}}}}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second) // silence: the line is in step
		p.in <- []byte("21")
		time.Sleep(30 * time.Millisecond)
		p.in <- []byte(".5\r")
		time.Sleep(30 * time.Millisecond)
		p.in <- []byte("\n")
		want := message{"t/_/temp", 21.5, "°C", "good", "", time.Now()}
		if diff := cmp.Diff(want, bus.next(t), cmp.AllowUnexported(message{})); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
		stop()
		if !p.closed {
			t.Error("the port is open after Run")
		}
	})
}

func TestIdleGapEndsAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Framing: frame.IdleGap{Gap: 40 * time.Millisecond}}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		p.in <- []byte("ab")
		time.Sleep(39 * time.Millisecond)
		p.in <- []byte("cd")
		last := time.Now()
		time.Sleep(39 * time.Millisecond)
		if n := len(bus.messages); n != 0 {
			t.Errorf("%d messages before the gap", n)
		}
		if m := bus.next(t); m.value != "abcd" || !m.at.Equal(last) || time.Since(last) != 40*time.Millisecond {
			t.Errorf("%+v after %v", m, time.Since(last))
		}
		stop()
	})
}

func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		begin := time.Now()
		var asked []string
		p.onWrite = func(request string) error {
			n := len(asked)
			asked = append(asked, fmt.Sprintf("%s %v", strings.TrimSpace(request), time.Since(begin)))
			switch n {
			case 1: // no answer
			case 2: // the answer to the one before, late, is flushed away before this one
				return serialport.ErrTimeout
			default:
				time.AfterFunc(100*time.Millisecond, func() { p.in <- fmt.Appendf(nil, "%d\r\n", n) })
			}
			return nil
		}
		a := newTestAdapter(t, Config{
			Requests: []Request{{Every: time.Second, Send: "P\r\n", Timeout: 300 * time.Millisecond}},
			Parse:    parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "w", Unit: "kg"}}},
		}, one(p))
		stop := start(t, a, bus)
		time.AfterFunc(1900*time.Millisecond, func() { p.in <- []byte("99\r\n") })

		type event struct {
			value          any
			quality, error string
			after          time.Duration
		}
		var got []event
		for range 5 {
			m := bus.next(t)
			got = append(got, event{m.value, m.quality, m.error, time.Since(begin)})
		}
		stop()
		ms := time.Millisecond
		want := []event{
			{0.0, "good", "", 100 * ms},
			{nil, "comm-error", "no answer within 300ms", 1300 * ms},
			{99.0, "good", "", 1900 * ms},
			{nil, "comm-error", "the line does not take the request", 2000 * ms},
			{3.0, "good", "", 3100 * ms},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"P 0s", "P 1s", "P 2s", "P 3s"}, asked); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		s := a.Status()
		if d := s.Devices[0]; s.Errors[noAnswer] != 2 || d.Requests != 4 || !d.Up || s.Readings != 5 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestReopening(t *testing.T) {
	tests := map[string]struct {
		err   error
		want  []time.Duration // between the attempts
		error string
	}{
		"missing": {
			&fs.PathError{Op: "open", Path: "/dev/fake", Err: fs.ErrNotExist},
			[]time.Duration{100, 200, 400, 800, 1000, 1000},
			"/dev/fake is not plugged in",
		},
		"busy": {
			&serialport.BusyError{Device: "/dev/fake", PID: 7, Process: "getty"},
			[]time.Duration{5000, 5000},
			"/dev/fake is in use by process 7 (getty)",
		},
		"no rights": {
			&fs.PathError{Op: "open", Path: "/dev/fake", Err: fs.ErrPermission},
			[]time.Duration{5000, 5000},
			"open /dev/fake: permission denied",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := make(chan time.Time, 100)
				a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "w"}}}},
					func(serialport.Config) (port, error) { attempts <- time.Now(); return nil, tt.err })
				bus := newFakeBus()
				stop := start(t, a, bus)
				last := <-attempts
				for i, want := range tt.want {
					at := <-attempts
					if got := at.Sub(last); got != want*time.Millisecond {
						t.Errorf("wait %d: %v; want %v", i, got, want*time.Millisecond)
					}
					last = at
				}
				if s := a.Status(); s.State != "waiting" || !strings.Contains(s.Error, tt.error) {
					t.Errorf("status %+v", s)
				}
				stop()
				// One outage, one message, however many attempts.
				if m := bus.next(t); m.quality != "comm-error" || len(bus.messages) != 0 {
					t.Errorf("%+v and %d more", m, len(bus.messages))
				}
			})
		})
	}
}

func TestUnpluggedAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ports []*fakePort
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "kv"}}, func(serialport.Config) (port, error) {
			if len(ports) == 1 && time.Now().Second()%2 == 1 {
				return nil, fs.ErrNotExist
			}
			ports = append(ports, newFakePort())
			return ports[len(ports)-1], nil
		})
		bus := newFakeBus()
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		synctest.Wait()
		ports[0].in <- []byte("t=1,h=2\n")
		synctest.Wait()
		time.Sleep(time.Second) // rested
		close(ports[0].unplug)
		synctest.Wait()
		if s := a.Status(); s.State != "waiting" || s.Error != "/dev/fake was unplugged" || s.Errors[gone] != 1 || s.Devices[0].Up {
			t.Errorf("status %+v", s)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		ports[1].in <- []byte("t=3\n")
		var got []string
		for range 5 {
			m := bus.next(t)
			got = append(got, fmt.Sprint(m.topic, " ", m.value, " ", m.quality, " ", m.error))
		}
		stop()
		want := []string{
			"t/_/t 1 good ", "t/_/h 2 good ",
			"t/_/t <nil> comm-error /dev/fake was unplugged", "t/_/h <nil> comm-error /dev/fake was unplugged",
			"t/_/t 3 good ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if !ports[0].closed {
			t.Error("the vanished port was not closed")
		}
		if s := a.Status(); s.State != "running" || s.Error != "" || !s.Devices[0].Up {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFullGatewayIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for kind, err := range map[string]error{full: core.ErrFull, refused: core.ErrInvalid} {
			p, bus := newFakePort(), newFakeBus()
			bus.refuse = err
			a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv"}}, one(p))
			stop := start(t, a, bus)
			time.Sleep(time.Second)
			p.in <- []byte("1,2,3\n")
			synctest.Wait()
			if s := a.Status(); s.Errors[kind] != 3 || s.Readings != 0 {
				t.Errorf("status %+v", s)
			}
			stop()
		}
	})
}

// Names from a device that has no end of them must not fill the memory.
func TestPointsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "kv"}}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		for i := range maxPoints + 10 {
			p.in <- fmt.Appendf(nil, "name%d=1\n", i)
		}
		time.Sleep(10 * time.Second) // rested after each
		synctest.Wait()
		if s := a.Status(); s.Errors[tooMany] != 10 || s.Readings != maxPoints {
			t.Errorf("status %+v", s)
		}
		stop()
	})
}

func TestRulesOfFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv", Fields: []parse.Field{
			{Name: "a", Rule: adapters.Rule{Deadband: 1}}, {Name: "b"},
		}}}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		p.in <- []byte("1,1\n1.5,1\n3,1\n")
		synctest.Wait()
		stop()
		var got []any
		for len(bus.messages) > 0 {
			m := <-bus.messages
			got = append(got, m.topic, m.value)
		}
		want := []any{"t/_/a", 1.0, "t/_/b", 1.0, "t/_/b", 1.0, "t/_/a", 3.0, "t/_/b", 1.0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	output := adapters.Output{Topic: "t/{field}"}
	tests := map[string]struct {
		cfg  Config
		want []string
	}{
		"everything at once": {
			Config{
				Framing: frame.Length{Bytes: 2000}, MaxFrame: 1000, Checksum: frame.Sum{Kind: "x"}, Parse: parse.Config{Kind: "x"},
				Requests: []Request{{Every: time.Microsecond}}, Port: serialport.Config{Baud: -1},
			},
			[]string{
				"device must", "baud (-1)", `checksum ("x")`, `parse kind ("x")`, "request every (1µs)",
				"topic must not be empty", "length (2000) must be at most the maximum frame, 1000",
			},
		},
		"frame":   {Config{Name: "n", Output: output, MaxFrame: 1 << 20, Port: serialport.Config{Device: "/dev/x"}}, []string{"maximum frame (1048576)"}},
		"send":    {Config{Name: "n", Output: output, Requests: []Request{{Every: time.Second}}, Port: serialport.Config{Device: "/dev/x"}}, []string{"request send must not"}},
		"timeout": {Config{Name: "n", Output: output, Requests: []Request{{Every: time.Second, Send: "x", Timeout: -1}}, Port: serialport.Config{Device: "/dev/x"}}, []string{"request timeout (-1ns)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if err == nil {
				t.Fatal("Validate() = nil")
			}
			for _, phrase := range tt.want {
				if !strings.Contains(err.Error(), phrase) {
					t.Errorf("%q lacks %q", err, phrase)
				}
			}
		})
	}
	a := New(Config{Parse: parse.Config{Kind: "x"}}, core.NewClock(), discard())
	if err := a.Run(t.Context(), newFakeBus()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Run of an invalid configuration = %v", err)
	}
}
