package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/replace"
)

// quarantineMost is how large the quarantine of a bridge may become, in bytes.
const quarantineMost = 16 << 20

// quarantine is a file of JSON lines: the messages of one bridge that its upstream
// could not have. It is for people to look at, and to send again.
type quarantine struct {
	path string

	mu    sync.Mutex
	size  int64
	count int
	torn  bool // the last line has no end
}

// setAside is one line.
type setAside struct {
	Time     time.Time        `json:"time"`
	Rule     string           `json:"rule"`
	Why      string           `json:"why"`
	Topic    string           `json:"topic"`
	Payload  []byte           `json:"payload"` // base64
	QoS      core.QoS         `json:"qos"`
	Retain   bool             `json:"retain,omitempty"`
	Received time.Time        `json:"received"`
	Props    *core.Properties `json:"properties,omitempty"`
}

// openQuarantine finds what is there already; a missing file is an empty one.
func openQuarantine(dataDir, bridgeName string) (*quarantine, error) {
	q := &quarantine{path: filepath.Join(dataDir, "quarantine", url.PathEscape(bridgeName)+".jsonl")}
	lines, err := q.read()
	q.count = len(lines)
	return q, err
}

// read takes in what is there. A line that a power cut has torn is left out.
func (q *quarantine) read() ([]setAside, error) {
	text, err := os.ReadFile(q.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	var lines []setAside
	for text := range bytes.Lines(text) {
		var line setAside
		if json.Unmarshal(text, &line) == nil {
			lines = append(lines, line)
		}
	}
	q.size, q.torn = int64(len(text)), len(text) > 0 && text[len(text)-1] != '\n'
	return lines, nil
}

// keep is bridge.Config.Quarantine: it returns when the message is synced.
func (q *quarantine) keep(m bridge.Quarantined) error {
	line, err := json.Marshal(setAside{
		Time: time.Now(), Rule: m.Rule, Why: m.Why, Topic: m.Message.Topic, Payload: m.Message.Payload,
		QoS: m.Message.QoS, Retain: m.Message.Retain, Received: m.Message.Received.Time(), Props: m.Message.Properties,
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size+int64(len(line)) >= quarantineMost {
		return fmt.Errorf("the quarantine %s is full (%s)", q.path, size(quarantineMost))
	}
	line = append(line, '\n')
	if q.torn {
		line = append([]byte{'\n'}, line...)
	}
	if err := appendSynced(q.path, line); err != nil {
		q.torn = true // perhaps
		return fmt.Errorf("write the quarantine: %w", err)
	}
	q.size, q.torn = q.size+int64(len(line)), false
	q.count++
	return nil
}

// appendSynced writes behind what is in a file. A file that is new is on disk only
// when its folder is, too.
func appendSynced(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (q *quarantine) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// release gives every message to send, and puts those that it took aside under another
// name, so that nothing is lost if something goes wrong with them again. What it did not
// take stays.
func (q *quarantine) release(send func(rule string, m *core.Message) error) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, err := q.read()
	if err != nil || len(lines) == 0 {
		return 0, err
	}
	var stay, sent bytes.Buffer
	var failed error
	for _, l := range lines {
		to := &sent
		if err := send(l.Rule, l.message()); err != nil {
			failed, to = err, &stay
		} else {
			n++
		}
		if err := json.NewEncoder(to).Encode(l); err != nil {
			return n, err
		}
	}
	if n == 0 {
		return 0, failed
	}
	if err := replace.Secret(q.path+".sent", sent.Bytes()); err != nil {
		return n, fmt.Errorf("put the quarantine away: %w", err)
	}
	if err := replace.Secret(q.path, stay.Bytes()); err != nil {
		return n, fmt.Errorf("put the quarantine away: %w", err)
	}
	q.size, q.count, q.torn = int64(stay.Len()), len(lines)-n, false
	return n, failed
}

// message is one to be sent again, as of now; it says when it was taken.
func (l setAside) message() *core.Message {
	props := core.Properties{}
	if l.Props != nil {
		props = *l.Props
	}
	if !l.Received.IsZero() && !slices.ContainsFunc(props.User, func(u core.UserProperty) bool { return u.Name == core.PropTime }) {
		props.User = append(slices.Clone(props.User), core.UserProperty{Name: core.PropTime, Value: core.Timestamp(l.Received)})
	}
	return &core.Message{
		Topic: l.Topic, Payload: l.Payload, QoS: max(l.QoS, core.AtLeastOnce), Retain: l.Retain,
		Publisher: "quarantine", Properties: &props,
	}
}
