package serial

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/core"
)

// commandBus is a fakeBus that takes commands too, and keeps their answers.
type commandBus struct {
	*fakeBus
	mu      sync.Mutex
	deliver map[string]func(*core.Message)
	acks    chan string
}

func newCommandBus() *commandBus {
	return &commandBus{fakeBus: newFakeBus(), deliver: make(map[string]func(*core.Message)), acks: make(chan string, 100)}
}

func (b *commandBus) Publish(m *core.Message) error {
	if strings.HasSuffix(m.Topic, "/ack") {
		b.acks <- m.Topic + " " + string(m.Payload)
		return nil
	}
	return b.fakeBus.Publish(m)
}

func (b *commandBus) Subscribe(filter string, deliver func(*core.Message)) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deliver[filter] = deliver
	return func() {}, nil
}

func (b *commandBus) set(topic, payload string) {
	b.mu.Lock()
	deliver := b.deliver[topic+"/set"]
	b.mu.Unlock()
	deliver(&core.Message{Topic: topic + "/set", Payload: []byte(payload)})
}

// Three devices on one line, of which one is dead and one answers late: each
// value goes to its own device, and the dead one costs the others only its time.
func TestDevicesWithAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		p.onWrite = func(request string) error {
			var address int
			fmt.Sscanf(request, "#%02X?", &address)
			delay := 20 * time.Millisecond
			switch address {
			case 2:
				return nil // dead
			case 10:
				delay = 225 * time.Millisecond // after all its time: while another one is asked
			}
			time.AfterFunc(delay, func() { p.in <- fmt.Appendf(nil, "%02X:%d\r\n", address, 100+address) })
			return nil
		}
		a := newTestAdapter(t, Config{
			Requests: []Request{{
				Every: time.Second, Send: "#{address:%02X}?\r\n", Timeout: 100 * time.Millisecond, Retries: 1, Pause: 10 * time.Millisecond,
				Expect: Expect{Bytes: "{address:%02X}:"},
				Parse:  &parse.Config{Kind: "regex", Pattern: `:(?P<v>\d+)$`, Fields: []parse.Field{{Name: "v"}}},
			}},
			Devices: []Device{{"one", 1}, {"two", 2}, {"ten", 10}, {"eleven", 11}},
		}, one(p))
		stop := start(t, a, bus)
		time.Sleep(9900 * time.Millisecond)
		stop()
		want := map[string]string{"t/one/v": "101", "t/eleven/v": "111", "t/two/v": "<nil>", "t/ten/v": "<nil>"}
		for len(bus.messages) > 0 {
			m := <-bus.messages
			if got := fmt.Sprint(m.value); got != want[m.topic] {
				t.Fatalf("%s = %s; want %s", m.topic, got, want[m.topic])
			}
		}
		s := a.Status()
		for i, name := range []string{"one", "two", "ten", "eleven"} {
			d := s.Devices[i]
			up := name == "one" || name == "eleven"
			if d.Name != name || d.Up != up || up && (d.P50 != 0.02 || d.Requests != 10) || !up && d.Errors[noAnswer] != 20 {
				t.Errorf("device %+v", d)
			}
		}
		if s.Errors[unexpect] == 0 {
			t.Errorf("late answers were not counted: %v", s.Errors)
		}
	})
}

func TestRequestsWithTheirOwnParsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		var asked []string
		p.onWrite = func(request string) error {
			asked = append(asked, request)
			answers := map[string]string{"T?": "21.5\n", "S?": "state=ok\n"}
			p.in <- []byte(answers[request])
			return nil
		}
		text := parse.Config{Kind: "kv", Fields: []parse.Field{{Name: "state", Type: parse.Text}}}
		a := newTestAdapter(t, Config{
			Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "temp", Unit: "°C"}}},
			Requests: []Request{
				{Every: time.Second, Send: "T?"}, {Every: 3 * time.Second, Send: "S?", Parse: &text},
			},
		}, one(p))
		stop := start(t, a, bus)
		time.Sleep(3500 * time.Millisecond)
		stop()
		got := make(map[string]int)
		for len(bus.messages) > 0 {
			m := <-bus.messages
			got[fmt.Sprint(m.topic, " ", m.value)]++
		}
		if diff := cmp.Diff(map[string]int{"t/_/temp 21.5": 4, "t/_/state ok": 2}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"T?", "S?", "T?", "T?", "S?", "T?"}, asked); diff != "" && len(asked) != 6 {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newCommandBus()
		var written []string
		p.onWrite = func(request string) error {
			written = append(written, request)
			switch request {
			case "SP=21.50\n":
				p.in <- []byte("OK\n")
			case "SP=99.00\n":
				p.in <- []byte("ERR 7\n")
			}
			return nil
		}
		a := newTestAdapter(t, Config{
			Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "temp"}}},
			Writes: []Write{
				{Name: "setpoint", Send: "SP={value:%.2f}\n", Expect: Expect{Bytes: "OK"}, Timeout: 100 * time.Millisecond, Retries: 1, Max: new(99.0)},
				{Name: "beep", Send: "BEEP{value}\n"},
			},
		}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		steps := []struct{ point, payload, ack string }{
			{"setpoint", "21.5", `t/_/setpoint/ack {"ok":true}`},
			{"setpoint", "99", `t/_/setpoint/ack {"ok":false,"error":"no answer within 100ms, but \"ERR 7\""}`},
			{"setpoint", "99.5", `t/_/setpoint/ack {"ok":false,"error":"setpoint (99.5) is out of its bounds"}`},
			{"setpoint", "high", `t/_/setpoint/ack {"ok":false,"error":"setpoint must be a number"}`},
			{"beep", "3", `t/_/beep/ack {"ok":true}`},
			{"beep", `"1\nRESET"`, `t/_/beep/ack {"ok":false,"error":"beep must not have control characters in it"}`},
		}
		for _, s := range steps {
			bus.set("t/_/"+s.point, s.payload)
			if got := <-bus.acks; got != s.ack {
				t.Errorf("%s = %s: %s; want %s", s.point, s.payload, got, s.ack)
			}
		}
		p.in <- []byte("20.5\n") // what the device sends by itself comes through all the while
		if m := bus.next(t); m.value != 20.5 {
			t.Errorf("message %+v", m)
		}
		close(p.unplug)
		synctest.Wait()
		stop()
		bus.set("t/_/beep", "1")
		if got := <-bus.acks; !strings.Contains(got, errNoLine.Error()) {
			t.Errorf("without a line: %s", got)
		}
		if diff := cmp.Diff([]string{"SP=21.50\n", "SP=99.00\n", "SP=99.00\n", "BEEP3\n"}, written); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	})
}

// A command goes before the next request, and neither takes the other's answer.
func TestWritesAmongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newCommandBus()
		p.onWrite = func(request string) error {
			time.AfterFunc(10*time.Millisecond, func() { p.in <- []byte(map[byte]string{'P': "W5\n", 'T': "OK\n"}[request[0]]) })
			return nil
		}
		a := newTestAdapter(t, Config{
			Requests: []Request{{Every: 20 * time.Millisecond, Send: "P", Expect: Expect{Bytes: "W"}}},
			Parse:    parse.Config{Kind: "regex", Pattern: `^W(?P<w>\d)$`},
			Writes:   []Write{{Name: "tare", Send: "T", Expect: Expect{Bytes: "OK"}}},
		}, one(p))
		stop := start(t, a, bus)
		for range 20 {
			time.Sleep(33 * time.Millisecond)
			asked := time.Now()
			bus.set("t/_/tare", "1")
			if got := <-bus.acks; got != `t/_/tare/ack {"ok":true}` || time.Since(asked) > 50*time.Millisecond {
				t.Fatalf("%s after %v", got, time.Since(asked))
			}
		}
		stop()
		for len(bus.messages) > 0 {
			if m := <-bus.messages; m.value != 5.0 {
				t.Fatalf("message %+v", m)
			}
		}
		if s := a.Status(); s.Errors[noAnswer]+s.Errors[unexpect]+s.Errors[unparsed] != 0 {
			t.Errorf("errors %v", s.Errors)
		}
	})
}

func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "kv"}, StaleAfter: 5 * time.Second}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		p.in <- []byte("t=1\n")
		good := bus.next(t)
		stale := bus.next(t)
		if stale.value != 1.0 || stale.quality != "stale" || stale.at.Sub(good.at) != 5*time.Second || !strings.Contains(stale.error, "5s") {
			t.Errorf("%+v", stale)
		}
		time.Sleep(time.Minute)
		p.in <- []byte("t=1\n")
		if m := bus.next(t); m.quality != "good" {
			t.Errorf("%+v; want it good again, and stale only once", m)
		}
		stop()
		if s := a.Status(); s.Errors[silent] != 1 || !s.Devices[0].Up {
			t.Errorf("status %+v", s)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv"}, MaxRate: 10}, one(p))
		stop := start(t, a, bus)
		time.Sleep(time.Second)
		for range 100 { // 10 seconds of 500 a second
			p.in <- []byte(strings.Repeat("1\n", 50))
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		s := a.Status()
		if s.Readings < 100 || s.Readings > 110 || s.Errors[overRate] != 5000-s.Readings {
			t.Errorf("%d readings, %v", s.Readings, s.Errors)
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, bus := newFakePort(), newFakeBus()
		a := newTestAdapter(t, Config{Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "a"}}}, Framing: frame.Delimiter{Bytes: ";"}}, one(p))
		var seen []string
		a.Watch(func(e Event) { seen = append(seen, fmt.Sprintf("%s %s", e.Kind, e.Bytes)) })
		stop := start(t, a, bus)
		p.in <- []byte("x;1;two;3;")
		time.Sleep(time.Second)
		stop()
		if diff := cmp.Diff([]string{"dropped ", "frame 1", "refused two", "frame 3"}, seen); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestRequestsValidate(t *testing.T) {
	valid := func(change func(*Config)) error {
		c := Config{Name: "n"}
		c.Port.Device, c.Output.Topic = "/dev/x", "t/{field}"
		change(&c)
		return c.Validate()
	}
	ask := Request{Every: time.Second, Send: "P"}
	tests := map[string]func(*Config){
		"retries (11)":          func(c *Config) { ask := ask; ask.Retries = 11; c.Requests = []Request{ask} },
		"pause (-1ns)":          func(c *Config) { ask := ask; ask.Pause = -1; c.Requests = []Request{ask} },
		"no value in a request": func(c *Config) { c.Requests = []Request{{Every: time.Second, Send: exchange.Template("{value}")}} },
		"must have {address}":   func(c *Config) { c.Requests, c.Devices = []Request{ask}, []Device{{"a", 1}, {"b", 2}} },
		"must be no other's":    func(c *Config) { c.Requests, c.Devices = []Request{ask}, []Device{{"a", 1}, {"b", 1}} },
		"devices need":          func(c *Config) { c.Devices = []Device{{"a", 1}} },
		"write name":            func(c *Config) { c.Writes = []Write{{Send: "x"}} },
		"min (2) must be":       func(c *Config) { c.Writes = []Write{{Name: "w", Send: "x", Min: new(2.0), Max: new(1.0)}} },
		"maximum rate (-1)":     func(c *Config) { c.MaxRate = -1 },
		"stale after (-1ns)":    func(c *Config) { c.StaleAfter = -1 },
	}
	for want, change := range tests {
		if err := valid(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v; want %q", err, want)
		}
	}
}
