package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

// kept is a message as peek and export print it and import reads it: one JSON
// document a line. The payload is text, or else in base64.
type kept struct {
	Seq         core.Seq            `json:"seq,omitempty"`
	Topic       string              `json:"topic"`
	Payload     *string             `json:"payload,omitempty"`
	Bytes       []byte              `json:"payload_base64,omitempty"`
	QoS         core.QoS            `json:"qos"`
	Retain      bool                `json:"retain,omitempty"`
	Received    time.Time           `json:"received"`
	TimeSynced  bool                `json:"time_synced"`
	Publisher   string              `json:"publisher,omitempty"`
	Expiry      float64             `json:"expiry_seconds,omitempty"`
	UTF8        bool                `json:"utf8,omitempty"`
	ContentType string              `json:"content_type,omitempty"`
	Response    string              `json:"response_topic,omitempty"`
	Correlation []byte              `json:"correlation_data,omitempty"`
	User        []core.UserProperty `json:"user_properties,omitempty"`
	Hops        uint8               `json:"hops,omitempty"`
}

func toKept(seq core.Seq, m *core.Message) kept {
	k := kept{
		Seq: seq, Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Received: m.Received.Time().UTC(), TimeSynced: m.Received.Synced,
		Publisher: m.Publisher, Expiry: m.Expiry.Seconds(), Hops: m.Hops,
	}
	if utf8.Valid(m.Payload) {
		text := string(m.Payload)
		k.Payload = &text
	} else {
		k.Bytes = m.Payload
	}
	if p := m.Properties; p != nil {
		k.UTF8, k.ContentType, k.Response, k.Correlation, k.User = p.UTF8Payload, p.ContentType, p.ResponseTopic, p.CorrelationData, p.User
	}
	return k
}

// message undoes toKept. Its age is told by the wall clock, if that was right then
// and is now; else it is not known, and the message counts as fresh.
func (k *kept) message(now core.Stamp) (*core.Message, error) {
	m := &core.Message{
		Topic: k.Topic, Payload: k.payload(), QoS: k.QoS, Retain: k.Retain, Publisher: k.Publisher,
		Expiry: time.Duration(k.Expiry * float64(time.Second)), Hops: k.Hops, Received: now,
	}
	if err := topic.ValidName(k.Topic); err != nil {
		return nil, fmt.Errorf("topic %q: %w", k.Topic, err)
	}
	if k.QoS != core.AtLeastOnce && k.QoS != core.ExactlyOnce {
		return nil, fmt.Errorf("qos is %d and must be 1 or 2", k.QoS)
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if !k.Received.IsZero() {
		m.Received = core.Stamp{Wall: k.Received.UnixNano(), Synced: k.TimeSynced}
	}
	if k.UTF8 || k.ContentType != "" || k.Response != "" || len(k.Correlation) > 0 || len(k.User) > 0 {
		m.Properties = &core.Properties{UTF8Payload: k.UTF8, ContentType: k.ContentType, ResponseTopic: k.Response, CorrelationData: k.Correlation, User: k.User}
	}
	return m, nil
}

// check refuses what no client could have published: a receiver of it would be sent a
// packet that is malformed, and go.
func (k *kept) check() error {
	if k.Expiry < 0 || k.Expiry > math.MaxUint32 {
		return fmt.Errorf("expiry_seconds is %g and must be between 0 and %d", k.Expiry, uint32(math.MaxUint32))
	}
	if k.Response != "" {
		if err := topic.ValidName(k.Response); err != nil {
			return fmt.Errorf("response_topic %q: %w", k.Response, err)
		}
	}
	texts := []string{k.ContentType, string(k.Correlation)}
	for _, u := range k.User {
		texts = append(texts, u.Name, u.Value)
	}
	for i, text := range texts {
		const correlation = 1 // which is bytes
		if len(text) > math.MaxUint16 || i != correlation && (strings.Contains(text, "\x00") || !utf8.ValidString(text)) {
			return fmt.Errorf("a property (%.40q) is too long, or no text", text)
		}
	}
	return nil
}

func (k *kept) payload() []byte {
	if k.Payload != nil {
		return []byte(*k.Payload)
	}
	return k.Bytes
}

func newBufferPeekCommand(f *bufferFlags) *cobra.Command {
	var most int
	c := &cobra.Command{
		Use:   "peek NAME",
		Short: "Show the oldest messages that are owed to somebody",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if most < 1 {
				return usageError{fmt.Errorf("--number is %d and must be at least 1", most)}
			}
			n := 0
			err := f.withStore(func(s bufferStore) error {
				return s.messages(c.Context(), args[0], most, func(k kept, _ uint64) error {
					n++
					return printKept(c.OutOrStdout(), k, f.json)
				})
			})
			unreadOnly(err, c.ErrOrStderr(), f.json)
			if err == nil && n == 0 && !f.json {
				fmt.Fprintf(c.OutOrStdout(), "nothing is owed to %s\n", args[0])
			}
			return err
		},
	}
	c.Flags().IntVarP(&most, "number", "n", 10, "how many")
	return c
}

func printKept(w io.Writer, k kept, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(k)
	}
	known := choose(k.TimeSynced, "", " (clock not known)")
	_, err := fmt.Fprintf(w, "%d  %s%s  QoS %d  %s  %.200q\n", k.Seq, k.Received.Format(time.RFC3339), known, k.QoS, plain(k.Topic), k.payload())
	return err
}

func newBufferExportCommand(f *bufferFlags) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "export NAME",
		Short: "Write all messages that are owed to somebody to a file, one JSON document a line",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			n := 0
			err := f.withStore(func(s bufferStore) (err error) {
				if out == "-" {
					n, err = export(c.Context(), s, args[0], c.OutOrStdout(), c.ErrOrStderr())
				} else {
					n, err = exportFile(c.Context(), s, args[0], out, c.ErrOrStderr())
				}
				return err
			})
			if err != nil && !unreadOnly(err, c.ErrOrStderr(), f.json) {
				return err
			}
			if f.json {
				return errors.Join(err, json.NewEncoder(c.ErrOrStderr()).Encode(map[string]int{"exported": n}))
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s messages exported; they stay owed\n", count(n))
			return err
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "-", "file to make; - is the standard output")
	return c
}

// exportFile makes a file that is on disk and has all that can be read, or none: whoever
// has it may drop what was exported.
func exportFile(ctx context.Context, s bufferStore, name, path string, terminal io.Writer) (n int, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, usageError{fmt.Errorf("export: %w", err)}
	}
	n, err = export(ctx, s, name, file, terminal)
	var left *unreadError
	if errors.As(err, &left) {
		err = nil
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	err = syncDir(filepath.Dir(path))
	if err == nil && left != nil {
		err = left
	}
	return n, err
}

func export(ctx context.Context, s bufferStore, name string, to, terminal io.Writer) (n int, err error) {
	paint, end := painter(terminal, "export")
	defer end()
	w := bufio.NewWriter(to)
	enc := json.NewEncoder(w)
	err = s.messages(ctx, name, 0, func(k kept, total uint64) error {
		n++
		paint(uint64(n), total)
		return enc.Encode(k)
	})
	return n, errors.Join(err, w.Flush())
}

func newBufferImportCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Put the messages of an exported file behind what is owed to somebody",
		Long: "Put the messages of an exported file (-: the standard input) behind what is owed to a\n" +
			"session or a rule. A line that is wrong ends it; those before it are imported.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			file := os.Stdin
			if args[1] != "-" {
				var err error
				if file, err = os.Open(args[1]); err != nil {
					return usageError{fmt.Errorf("import: %w", err)}
				}
				defer file.Close()
			}
			return f.withStore(func(s bufferStore) error {
				n, err := importFrom(c.Context(), s, args[0], file, c.ErrOrStderr())
				if f.json {
					return errors.Join(err, printJSON(c.OutOrStdout(), map[string]int{"imported": n}))
				}
				fmt.Fprintf(c.ErrOrStderr(), "%s messages imported\n", count(n))
				return err
			})
		},
	}
}

func importFrom(ctx context.Context, s bufferStore, name string, from *os.File, terminal io.Writer) (n int, err error) {
	info, err := from.Stat()
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	if info.IsDir() {
		return 0, usageError{fmt.Errorf("import: %s is a directory", from.Name())}
	}
	bar := progress(terminal, info.Size(), "import")
	defer bar.Close()
	n, err = s.keep(ctx, name, &progressReader{from, func(n int) { _ = bar.Add(n) }})
	if err != nil {
		err = fmt.Errorf("import of %s: %w", from.Name(), err)
	}
	return n, err
}

// progressReader tells how much was read.
type progressReader struct {
	io.Reader
	tell func(n int)
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.tell(n)
	return n, err
}
