package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/core"
)

// Command is somebody's wish that a point be set. It comes from the point's
// topic with "/set" behind it; the answer {"ok":true} or
// {"ok":false,"error":"…"} goes to the response topic that the command names
// (MQTT 5, with its correlation data), else to the point's topic with "/ack".
//
// Whoever takes a command calls Done exactly once.
type Command struct {
	Device, Point string
	Value         any // bool, int64, uint64, float64 or string, as the payload says

	message *core.Message
	answer  core.Message // topic and properties are set
	clock   *core.Clock
	bus     Bus
}

// The reasons for which a command is refused before an adapter sees it.
var (
	errRetained = errors.New("retained commands are refused: they would be repeated at each start")
	errExpired  = errors.New("the command has expired")
)

// Settable names a point that may be set.
type Settable struct{ Device, Point string }

// SubscribeCommands calls take for each command to one of points. It runs on a
// goroutine of the bus and must return soon. Commands that are retained, expired
// or unreadable are answered here.
func SubscribeCommands(bus Bus, out Output, clock *core.Clock, points []Settable, take func(*Command)) (cancel func(), err error) {
	var cancels []func()
	cancel = func() {
		for _, c := range cancels {
			c()
		}
	}
	for _, point := range points {
		topic := out.PointTopic(point.Device, point.Point)
		c, err := bus.Subscribe(topic+"/set", func(m *core.Message) {
			command := newCommand(bus, out, clock, point, topic, m)
			if err := command.read(); err != nil {
				_ = command.Done(err) // an answer that finds no room is lost like any message of QoS 0
				return
			}
			take(command)
		})
		if err != nil {
			cancel()
			return nil, fmt.Errorf("subscribe to %s/set: %w", topic, err)
		}
		cancels = append(cancels, c)
	}
	return cancel, nil
}

func newCommand(bus Bus, out Output, clock *core.Clock, point Settable, topic string, m *core.Message) *Command {
	c := &Command{Device: point.Device, Point: point.Point, message: m, clock: clock, bus: bus}
	c.answer = core.Message{Topic: topic + "/ack", QoS: out.QoS, Publisher: publisher(out.Adapter)}
	if p := m.Properties; p != nil && p.ResponseTopic != "" {
		c.answer.Topic = p.ResponseTopic
		c.answer.Properties = &core.Properties{CorrelationData: p.CorrelationData}
	}
	return c
}

// read checks the message and takes the value from it.
func (c *Command) read() (err error) {
	if c.message.Retain {
		return errRetained
	}
	if err := c.Expired(); err != nil {
		return err
	}
	c.Value, err = parseValue(c.message.Payload)
	return err
}

// Expired is an error once the command is of no use any more. It is asked again
// right before the point is set.
func (c *Command) Expired() error {
	if c.message.Expired(c.clock.Now()) {
		return errExpired
	}
	return nil
}

// Done answers the command: nil is success. The error returned is the bus's.
func (c *Command) Done(failed error) error {
	answer := c.answer
	answer.Payload = []byte(`{"ok":true}`)
	if failed != nil {
		b := append([]byte(nil), `{"ok":false,"error":`...)
		answer.Payload = append(appendString(b, failed.Error()), '}')
	}
	answer.Received = c.clock.Now()
	return c.bus.Publish(&answer)
}

// parseValue reads a payload: a JSON number, true, false or string, an object
// with such a "value", the words on and off, or any other text as it is.
func parseValue(payload []byte) (any, error) {
	text := bytes.TrimSpace(payload)
	if len(text) == 0 {
		return nil, errors.New("the command is empty")
	}
	switch strings.ToLower(string(text)) {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	var object struct{ Value any }
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	target := any(&object.Value)
	if text[0] == '{' {
		target = &object
	}
	if err := d.Decode(target); err != nil || d.More() {
		if text[0] == '{' || text[0] == '[' || text[0] == '"' {
			return nil, fmt.Errorf("the command is no valid JSON: %.40q", text)
		}
		return string(payload), nil
	}
	return scalar(object.Value)
}

func scalar(v any) (any, error) {
	switch v := v.(type) {
	case bool, string:
		return v, nil
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %.40s can't be represented", v)
		}
		return f, nil
	}
	return nil, errors.New(`the command must be a number, true, false, a text, or {"value":…}`)
}
