package bridge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
)

func goodConfig() bridge.Config {
	return bridge.Config{
		Name: "cloud", ClientID: "gw-1", URLs: []string{"mqtt://a", "mqtts://b:8884/"},
		Out: []bridge.OutRule{{Filter: "plant/#", Exclude: []string{"plant/debug/#"}, QoS: 1, RemotePrefix: "site7/"}},
		In:  []bridge.InRule{{Filter: "cmd/#", LocalPrefix: "cloud/"}},
	}
}

func TestValidate(t *testing.T) {
	if err := goodConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	notPEM := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		want   string
		change func(*bridge.Config)
	}{
		{"name () must be given", func(c *bridge.Config) { c.Name = "" }},
		{"client_id () must be given: it names the session upstream", func(c *bridge.Config) { c.ClientID = "" }},
		{"preset (aws) must be aws-iot, azure-event-grid,", func(c *bridge.Config) { c.Preset = "aws" }},
		{"protocol (4) must be 5 or 3.1.1", func(c *bridge.Config) { c.Protocol = "4" }},
		{"username () must be given with a password before MQTT 5", func(c *bridge.Config) { c.Password = "x" }},
		{"keepalive (1ms) must be between 1s and 65535s", func(c *bridge.Config) { c.Keepalive = time.Millisecond }},
		{"backoff.min (2m0s) must be more than 0 and at most backoff.max", func(c *bridge.Config) { c.Backoff.Min = 2 * time.Minute }},
		{"drain.rate (-1) must be 0 or more", func(c *bridge.Config) { c.Drain.Rate = -1 }},
		{"drain.burst (-1) must be at least 1", func(c *bridge.Config) { c.Drain.Burst = -1 }},
		{"max_inflight (70000) must be at most 65535", func(c *bridge.Config) { c.MaxInflight = 70000 }},
		{"max_packet (10) must be between 1 KiB and 256 MiB", func(c *bridge.Config) { c.MaxPacket = 10 }},
		{"out (none) must be given, or in: a bridge without rules does nothing", func(c *bridge.Config) { c.Out, c.In = nil, nil }},
		{"url () must be given", func(c *bridge.Config) { c.URLs = nil }},
		{"url: ws://a:1/#x has something behind the port", func(c *bridge.Config) { c.URLs = []string{"ws://a:1/#x"} }},
		{"select (any) must be primary or round-robin", func(c *bridge.Config) { c.Select = "any" }},
		{"fail_back (1ms) must be at least 1s", func(c *bridge.Config) { c.FailBack = time.Millisecond }},
		{"proxy.url (socks4://p:1) must be one that begins with socks5:// or http://", func(c *bridge.Config) { c.Proxy.URL = "socks4://p:1" }},
		{"proxy.url (http://p:1/x) must be host and port only", func(c *bridge.Config) { c.Proxy.URL = "http://p:1/x" }},
		{"bind_address (eth0) must be an IP address", func(c *bridge.Config) { c.BindAddress = "eth0" }},
		{"keepalive (20m1s) must be at most 20m0s with preset aws-iot", func(c *bridge.Config) { c.Preset, c.Keepalive = "aws-iot", 1201*time.Second }},
		{"protocol (5) must be 3.1.1 with preset nats", func(c *bridge.Config) { c.Preset, c.Protocol = "nats", "5" }},
		{"sas_key (given) must be base64", func(c *bridge.Config) { c.Preset, c.SASKey = "azure-iot-hub", "?" }},
		{"sas_key (given) must be without", func(c *bridge.Config) { c.SASKey = "aGVsbG8=" }},
		{"out[0].remote_topic (a/{x}) must be a template of a topic: {x} is not known", func(c *bridge.Config) { c.Out[0].RemoteTopic = "a/{x}" }},
		{"out[0].remote_topic (a/{1) must be a template of a topic: { without }", func(c *bridge.Config) { c.Out[0].RemoteTopic = "a/{1" }},
		{"out[0].remote_topic (a/+) must be a template of a topic: a topic has no + and #", func(c *bridge.Config) { c.Out[0].RemoteTopic = "a/+" }},
		{"in[0].local_topic (a/{}) must be a template", func(c *bridge.Config) { c.In[0].LocalTopic = "a/{}" }},
		{"url: tcp://a must begin with mqtt://, mqtts://, ws:// or wss://", func(c *bridge.Config) { c.URLs = []string{"tcp://a"} }},
		{"url: mqtt://u:xxxxx@a: user name and password belong into fields of their own", func(c *bridge.Config) { c.URLs = []string{"mqtt://u:secret@a"} }},
		{"url: mqtt://a:0 has a port that is not between 1 and 65535", func(c *bridge.Config) { c.URLs = []string{"mqtt://a:0"} }},
		{"url: mqtt://:1883 has no host", func(c *bridge.Config) { c.URLs = []string{"mqtt://:1883"} }},
		{"url: mqtt://a/path has something behind the port", func(c *bridge.Config) { c.URLs = []string{"mqtt://a/path"} }},
		{"url: \"mqtt://%zz\" is not a URL: it should look like mqtts://broker.example:8883", func(c *bridge.Config) { c.URLs = []string{"mqtt://%zz"} }},
		{"tls: ca: open /nowhere: no such file or directory", func(c *bridge.Config) { c.TLS.CA = "/nowhere" }},
		{"tls: ca: " + notPEM + " holds no certificate in PEM form", func(c *bridge.Config) { c.TLS.CA = notPEM }},
		{"tls: cert and key must be given together", func(c *bridge.Config) { c.TLS.Cert = notPEM }},
		{"out[0].filter (a/#/b) must be a topic filter", func(c *bridge.Config) { c.Out[0].Filter = "a/#/b" }},
		{"out[0].filter ($share/g/a) must be one without $share", func(c *bridge.Config) { c.Out[0].Filter = "$share/g/a" }},
		{"out[0].exclude[0] (+a) must be a topic filter", func(c *bridge.Config) { c.Out[0].Exclude = []string{"+a"} }},
		{"out[0].remote_prefix (a/#) must be the beginning of a topic", func(c *bridge.Config) { c.Out[0].RemotePrefix = "a/#" }},
		{"out[0].qos (3) must be 0, 1 or 2", func(c *bridge.Config) { c.Out[0].QoS = 3 }},
		{"out[0].priority (10) must be between 0 and 9", func(c *bridge.Config) { c.Out[0].Priority = 10 }},
		{"out[0].retain (maybe) must be keep or strip", func(c *bridge.Config) { c.Out[0].Retain = "maybe" }},
		{"out[0].stamp (maybe) must be buffered, always or never", func(c *bridge.Config) { c.Out[0].Stamp = "maybe" }},
		{"out[0].on_full (maybe) must be refuse, drop-oldest or drop-newest", func(c *bridge.Config) { c.Out[0].OnFull = "maybe" }},
		{"out[0].max_bytes (-1) must be 0 or more", func(c *bridge.Config) { c.Out[0].MaxBytes = -1 }},
		{"out[0].max_age (-1s) must be 0 or more", func(c *bridge.Config) { c.Out[0].MaxAge = -time.Second }},
		{"in[0].remote_prefix + filter () must be a topic filter", func(c *bridge.Config) { c.In[0].Filter = "" }},
		{"in[0].local_prefix ($SYS/) must be one that does not make topics with $ in front", func(c *bridge.Config) { c.In[0].LocalPrefix = "$SYS/" }},
		{"in[0].qos (9) must be 0, 1 or 2", func(c *bridge.Config) { c.In[0].QoS = 9 }},
	} {
		c := goodConfig()
		tc.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got  %v\nwant %s", err, tc.want)
		}
	}
}

// All faults come at once.
func TestValidateSaysEverything(t *testing.T) {
	err := bridge.Config{Out: []bridge.OutRule{{Filter: "", QoS: 7, Priority: -1}}}.Validate()
	want := []string{
		"name () must be given",
		"client_id () must be given: it names the session upstream",
		"url () must be given",
		"out[0].filter () must be a topic filter: topic is empty",
		"out[0].qos (7) must be 0, 1 or 2",
		"out[0].priority (-1) must be between 0 and 9",
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestFilters(t *testing.T) {
	r := bridge.OutRule{Filter: "a/#", Exclude: []string{"a/b", "a/c/+"}, LocalPrefix: "x/"}
	if got := r.LocalFilter(); got != "x/a/#" {
		t.Error(got)
	}
	if diff := cmp.Diff([]string{"x/a/b", "x/a/c/+"}, r.LocalExcludes()); diff != "" {
		t.Error(diff)
	}
	if got := (bridge.InRule{Filter: "a", RemotePrefix: "r/"}).RemoteFilter(); got != "r/a" {
		t.Error(got)
	}
}
