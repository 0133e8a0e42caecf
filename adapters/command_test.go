package adapters

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
)

func TestParseValue(t *testing.T) {
	for payload, want := range map[string]any{
		"42": int64(42), "-1": int64(-1), "18446744073709551615": uint64(1<<64 - 1), "1.5": 1.5, "1e3": 1000.0, " 7\n": int64(7),
		"true": true, "false": false, "on": true, "OFF": false, `"text"`: "text", "some text": "some text", "12abc": "12abc",
		`{"value":3.5}`: 3.5, `{"value":"x","by":"me"}`: "x", "NaN": "NaN",
	} {
		if got, err := parseValue([]byte(payload)); err != nil || got != want {
			t.Errorf("%q is %#v, %v; want %#v", payload, got, err, want)
		}
	}
	for _, payload := range []string{"", "  ", "null", "[1]", "{}", `{"value":null}`, `{"value":`, `"open`, "1e999"} {
		if got, err := parseValue([]byte(payload)); err == nil {
			t.Errorf("%q is %#v, want an error", payload, got)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, s := range []string{"42", "on", `{"value":1.5}`, `"x"`, "[", "1e999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := parseValue(payload)
		switch v.(type) {
		case bool, int64, uint64, float64, string:
			if err != nil {
				t.Errorf("%#v beside %v", v, err)
			}
		default:
			if err == nil {
				t.Errorf("%#v without an error", v)
			}
		}
	})
}

func TestCommands(t *testing.T) {
	request := &core.Properties{ResponseTopic: "reply/to", CorrelationData: []byte("id")}
	for name, c := range map[string]struct {
		m     core.Message
		fails error
		want  []string
		taken int // commands that reach the adapter
	}{
		"good":        {core.Message{Payload: []byte("1")}, nil, []string{`plant/meters/d/p/ack {"ok":true}`}, 1},
		"fails":       {core.Message{Payload: []byte("1")}, errors.New(`no "room"`), []string{`plant/meters/d/p/ack {"ok":false,"error":"no \"room\""}`}, 1},
		"MQTT 5":      {core.Message{Payload: []byte("1"), Properties: request}, nil, []string{`reply/to {"ok":true}`}, 1},
		"retained":    {core.Message{Payload: []byte("1"), Retain: true}, nil, []string{`plant/meters/d/p/ack {"ok":false,"error":"retained commands are refused: they would be repeated at each start"}`}, 0},
		"not a value": {core.Message{Payload: []byte("[]"), Properties: request}, nil, []string{`reply/to {"ok":false,"error":"the command must be a number, true, false, a text, or {\"value\":…}"}`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bus, taken := new(recorder), 0
			cancel, err := SubscribeCommands(bus, output(JSON), core.NewClock(), []Settable{{"d", "p"}}, func(got *Command) {
				taken++
				if got.Device != "d" || got.Point != "p" || got.Value != int64(1) {
					t.Errorf("command is %+v", got)
				}
				_ = got.Done(c.fails)
			})
			if err != nil {
				t.Fatal(err)
			}
			bus.deliver["plant/meters/d/p/set"](&c.m)
			if len(bus.messages) == 1 && c.m.Properties != nil && string(bus.messages[0].Properties.CorrelationData) != "id" {
				t.Errorf("answer is %+v", bus.messages[0])
			}
			if diff := cmp.Diff(c.want, bus.take()); diff != "" || taken != c.taken {
				t.Errorf("%d commands taken: %s", taken, diff)
			}
			cancel()
			if len(bus.deliver) != 0 {
				t.Error("still subscribed")
			}
		})
	}
}

func TestCommandExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, bus := core.NewClock(), new(recorder)
		var held *Command
		_, err := SubscribeCommands(bus, output(JSON), clock, []Settable{{"d", "p"}}, func(c *Command) { held = c })
		if err != nil {
			t.Fatal(err)
		}
		m := &core.Message{Payload: []byte("1"), Received: clock.Now(), Expiry: time.Minute}
		bus.deliver["plant/meters/d/p/set"](m)
		if held == nil || held.Expired() != nil {
			t.Fatal("the command did not come through")
		}
		time.Sleep(time.Minute)
		if held.Expired() == nil {
			t.Error("the command did not expire while it waited")
		}
		bus.deliver["plant/meters/d/p/set"](m)
		want := []string{`plant/meters/d/p/ack {"ok":false,"error":"the command has expired"}`}
		if diff := cmp.Diff(want, bus.take()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSubscribeFails(t *testing.T) {
	bus := &recorder{refuse: core.ErrClosed}
	if _, err := SubscribeCommands(bus, output(JSON), core.NewClock(), []Settable{{"d", "p"}}, nil); !errors.Is(err, core.ErrClosed) {
		t.Errorf("error is %v", err)
	}
}
