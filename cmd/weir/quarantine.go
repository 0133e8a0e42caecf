package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
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
	lines, size, err := readAside(q.path)
	q.count, q.size = len(lines), size
	return q, err
}

// readAside reads a file of lines. One that a power cut has torn is left out.
func readAside(path string) (lines []setAside, size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the quarantine: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 2*quarantineMost)
	for s.Scan() {
		size += int64(len(s.Bytes())) + 1
		var line setAside
		if json.Unmarshal(s.Bytes(), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines, size, s.Err()
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
	if err := appendSynced(q.path, append(line, '\n')); err != nil {
		return fmt.Errorf("write the quarantine: %w", err)
	}
	q.size += int64(len(line)) + 1
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

// release gives every message to send, and then puts the file aside under another
// name, so that nothing is lost if something goes wrong with them again.
func (q *quarantine) release(send func(rule string, m *core.Message) error) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, _, err := readAside(q.path)
	if err != nil || len(lines) == 0 {
		return 0, err
	}
	for _, l := range lines {
		m := &core.Message{
			Topic: l.Topic, Payload: l.Payload, QoS: max(l.QoS, core.AtLeastOnce), Retain: l.Retain,
			Publisher: "quarantine", Properties: l.Props,
		}
		if err := send(l.Rule, m); err != nil {
			return n, err
		}
		n++
	}
	if err := os.Rename(q.path, q.path+".sent"); err != nil {
		return n, fmt.Errorf("put the quarantine away: %w", err)
	}
	q.size, q.count = 0, 0
	return n, syncDir(filepath.Dir(q.path))
}
