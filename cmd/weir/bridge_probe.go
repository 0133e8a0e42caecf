package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

// probeOptions are how the unknown broker is reached.
type probeOptions struct {
	bridge       bridge.Config
	passwordFile string
	topic        string
}

func newBridgeProbeCommand() *cobra.Command {
	var o probeOptions
	c := &cobra.Command{
		Use:   "probe URL",
		Short: "Find out what a broker takes, and write the configuration of a bridge to it",
		Long: "Find out what a broker takes: what it says in its CONNACK, and what it does with\n" +
			"subscriptions, QoS 1 and 2, retained messages, special topics and large packets.\n" +
			"It publishes up to 2 MB below its topic and leaves nothing behind; needs no\n" +
			"running gateway.",
		Example: "  weir bridge probe mqtts://broker.example:8883 --username gw-1 --password-file cloud.secret",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.bridge.URLs = args
			return o.probe(c.Context(), c.OutOrStdout())
		},
	}
	f, b := c.Flags(), &o.bridge
	f.StringVar(&b.Username, "username", "", "user name")
	f.StringVar(&o.passwordFile, "password-file", "", "file with the password")
	f.StringVar(&b.ClientID, "client-id", "", "client id (default: a drawn one)")
	f.StringVar(&b.Protocol, "protocol", "", "5 or 3.1.1 (default: 5, and 3.1.1 where that is refused)")
	f.StringVar(&b.TLS.CA, "ca", "", "file of the authority that signed the broker's certificate")
	f.StringVar(&b.TLS.Cert, "cert", "", "file of our certificate")
	f.StringVar(&b.TLS.Key, "key", "", "file of its key")
	f.StringVar(&o.topic, "topic", "", "topic that it publishes to and below (default weir/CLIENT_ID)")
	return c
}

func (o *probeOptions) probe(ctx context.Context, w io.Writer) error {
	b := o.bridge
	b.Name, b.Out = "upstream", []bridge.OutRule{{Filter: "#", QoS: core.ExactlyOnce}}
	if b.ClientID == "" {
		b.ClientID = fmt.Sprintf("probe%06x", rand.N(1<<24))
	}
	if o.topic == "" {
		o.topic = "weir/" + b.ClientID
	}
	if err := checkTopic(o.topic); err != nil {
		return err
	}
	if o.passwordFile != "" {
		secret, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return usageError{err}
		}
		b.Password = string(bytes.TrimRight(secret, "\r\n"))
	}
	if err := b.Validate(); err != nil {
		return usageError{err}
	}
	const most = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	limits, err := bridge.Probe(ctx, b, o.topic, func(f bridge.Finding) {
		mark := "ok"
		if !f.Good {
			mark = "no"
		}
		fmt.Fprintf(w, "# %-20s %-3s %s\n", f.Name, mark, plain(f.Detail))
	})
	if err != nil {
		return unavailableError{fmt.Errorf("probe %s: %w", b.URLs[0], err)}
	}
	_, err = io.WriteString(w, o.snippet(b, limits))
	return err
}

// snippet is a configuration that the broker takes.
func (o *probeOptions) snippet(b bridge.Config, l bridge.Limits) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("\nbridges:\n  - name: upstream\n    url: %s\n    preset: %s\n    client_id: gw-1   # one of its own for each gateway", b.URLs[0], l.Preset)
	if b.Username != "" {
		line("    username: %q", b.Username)
	}
	if o.passwordFile != "" {
		line("    password_file: %q", o.passwordFile)
	}
	if b.TLS.CA+b.TLS.Cert != "" {
		line("    tls: {ca: %q, cert: %q, key: %q}", b.TLS.CA, b.TLS.Cert, b.TLS.Key)
	}
	line("    protocol: %s", l.Protocol)
	if l.Keep > 0 {
		line("    keepalive: %v", l.Keep)
	}
	retain := bridge.Keep
	if !l.Retain {
		retain = bridge.Strip
	}
	line("    out:\n      - {filter: \"plant/#\", qos: %d, retain: %s}", l.QoS, retain)
	return s.String()
}
