package configs

import (
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/adapters/serial/frame"
	parsing "github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/access"
	"github.com/weir-edge/weir/core/auth"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// testEnv is an environment with two variables.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"SECRET": "hunter2", "PORT": "1884"}[name]
	return v, ok
}

// TestBad: each file in testdata/bad has one thing wrong, or a few that belong
// together, and beside it stands what the user is told.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(file, data, testEnv)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is shown")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// golden compares got with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/weir/weir.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func show(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	if err := Show(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// exported compares configurations without what Parse keeps for itself.
var exported = cmp.FilterPath(func(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && f.Name()[0] >= 'a'
}, cmp.Ignore())

func TestDefault(t *testing.T) {
	want := &Config{
		DataDir:   userDataDir,
		Listeners: []broker.Listener{{Name: "default", Address: "127.0.0.1:1883", Anonymous: true}},
		Limits:    broker.Limits{MaxPacket: 2 << 20, MaxConnections: 10_000, ReconnectRate: 10, MaxInflight: 64, ConnectTimeout: 5 * time.Second},
		Sys:       Sys{Interval: 10 * time.Second},
		Storage:   Storage{Budget: 2 << 30, Reserve: 256 << 20, Promise: storage.Synced, SpillAfter: 250 * time.Millisecond, RetainedFlush: 10 * time.Second},
		Console:   Console{Address: "127.0.0.1:8080"},
		Audit:     Audit{MaxSize: 8 << 20},
		Log:       Log{Level: slog.LevelInfo, Format: "auto"},
	}
	if os.Geteuid() == 0 {
		want.DataDir = systemDataDir
	}
	for _, text := range []string{"", "# nothing\n", "{}\n", "listeners:\nstorage: {budget: }\n", "listeners: []\n"} {
		if diff := cmp.Diff(want, parse(t, text), exported); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	if diff := cmp.Diff(want, Default(), exported); diff != "" {
		t.Error(diff)
	}
}

// everything uses each key of the format that this version obeys.
const everything = `
gateway: gw
data_dir: data
listeners:
  - {name: lan, address: "0.0.0.0:${PORT}", protocol: mqtt, anonymous: true, proxy_protocol: false}
  - {name: socket, address: unix:///run/weir/mqtt.sock, versions: 5, max_connections: 9, max_packet: 2KiB, mount_point: site/, answers: "answers/{client}", redirect: "other:1883", moved: true}
  - {name: web, address: "127.0.0.1:8083", protocol: ws, origins: ["a.example", "https://*.b.example"], proxy_protocol: true, proxy_from: ["10.0.0.5", "fd00::/8"]}
auth:
  groups: {crew: [anna, ben]}
  acl:
    - {user: [carl, dora], group: crew, client_id: "m-*", address: [10.0.0.0/8, "::1"], allow: [publish, subscribe], topics: ["a/%u/#", "$SYS/#"]}
    - {anonymous: true, deny: publish, topics: "b"}
  backoff: {after: 3, min: 2s, max: 3m}
limits: {max_packet: 1MiB, max_connections: 5, max_sessions: 6, max_sessions_per_user: 7, max_subscriptions: 9, max_subscriptions_per_session: 8, max_retained_bytes: 9MiB, max_will_bytes: 10MiB, publish_rate: 11, reconnect_rate: 12, max_inflight: 6, max_queued_bytes: 7MiB, max_pending_bytes: 8MiB, max_queued_messages_per_client: 100, max_queued_bytes_per_client: 1MiB, connect_timeout: 8s}
sys: {interval: 5s}
storage: {budget: 1GiB, reserve: 0, promise: written, spill_after: 1s, retained_flush: 2s}
bridges:
  - name: cloud
    url: [mqtts://a.example, mqtts://b.example:8884]
    preset: weir
    client_id: gw-1
    username: me
    password: ${SECRET}
    protocol: 3.1.1
    tls: {server_name: c.example, alpn: [mqtt], insecure: true, ca: }
    out:
      - {filter: "a/#", exclude: ["a/b"], qos: 2, retain: strip, local_prefix: "l/", remote_prefix: "r/",
         buffer_qos0: true, priority: 9, on_full: refuse, max_bytes: 1KiB, max_age: 7d, history: 0s, stamp: always}
      - {filter: "y/#", remote_topic: "z/{#}", properties: ["site=7=a"]}
    in:
      - {filter: "c/#", qos: 0, local_prefix: "l/", remote_prefix: "r/"}
      - {filter: "d/#", local_topic: "cmd/{1}"}
    gather: 7ms
    drain: {rate: 1.5, burst: 2}
    keepalive: 20s
    backoff: {min: 2s, max: 3s}
    max_inflight: 50
    transit: true
    select: round-robin
    fail_back: 2m
    tcp_user_timeout: 11s
    ack_timeout: 12s
    proxy: {url: "http://proxy:3128", username: p}
    bind_address: 127.0.0.1
    both:
      - {filter: "x/#", qos: 2, remote_prefix: "r/"}
adapters:
  - name: meters
    type: modbus
    url: tcp://127.0.0.1:1502
    every: 2s
    timeout: 3s
    topic: "t/{device}/{point}"
    payload: raw
    qos: 0
    retain: true
    devices:
      - name: m1
        unit: 1
        every: 4s
        phase: 100ms
        timeout: 500ms
        order: CDAB
        write_with: multiple
        bit_writes: rewrite
        max_registers: 10
        max_bits: 11
        max_gap: 0
        points:
          - {name: v, register: "input:0", type: float32, order: DCBA, every: 5s, scale: 2, offset: 3, unit: V,
             on_change: true, deadband: 0.5, heartbeat: 60s, min_interval: 1s}
          - {name: w, register: "holding:1", writable: true, verify: true, every_command: true, min: -1, max: 1.5, clamp: true, round: 2, phase: 2s}
          - {name: mode, register: "holding:2", enum: {0: off, 0x10: auto}}
          - {name: text, register: "holding:3", type: string(8), pad: space}
    proxy: {address: "127.0.0.1:1503", writable: true, units: [1, 2]}
  - name: scale
    type: serial
    port: /dev/ttyS0
    baud: 19200
    data_bits: 7
    parity: even
    stop_bits: 2
    dtr: false
    rs485: {mode: rts, delay_after: 1ms}
    framing: {start: "<", end: ">", trailer: 2, include: true}
    max_frame: 512B
    checksum: {kind: crc16-ccitt, hex: true}
    parse: {kind: kv, separator: ";", fields: [a, {name: b, from: c, type: int, scale: 10, offset: 1, unit: kg, heartbeat: 1m}]}
    request: {every: 1s, send: "P{address}\r\n", timeout: 100ms, retries: 2, pause: 5ms, expect: "{address}"}
    devices: [{name: left, address: 3}]
    writes: [{name: tare, send: "T{value}\r\n", min: 0, max: 9.5, expect: {at: 1, bytes: OK}}]
    max_rate: 50
    stale_after: 1m
    heartbeat: 2m
console: {address: unix:///run/weir/console.sock}
audit: {max_size: 1MiB}
log: {level: debug, format: json}
`

func TestEverything(t *testing.T) {
	c := parse(t, everything)
	want := &Config{
		Gateway: "gw",
		DataDir: "/etc/weir/data",
		Listeners: []broker.Listener{
			{Name: "lan", Address: "0.0.0.0:1884", Anonymous: true},
			{Name: "socket", Address: "unix:///run/weir/mqtt.sock", Anonymous: true, Versions: []packet.Version{packet.V5}, MaxConnections: 9, MaxPacket: 2 << 10, MountPoint: "site/", Answers: "answers/{client}", Redirect: broker.Redirect{To: "other:1883", Moved: true}},
			{
				Name: "web", Address: "127.0.0.1:8083", Anonymous: true,
				WebSocket: &transport.WebSocket{Origins: []string{"a.example", "https://*.b.example"}},
				ProxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32"), netip.MustParsePrefix("fd00::/8")},
			},
		},
		Auth:     Auth{Backoff: auth.Backoff{After: 3, Min: 2 * time.Second, Max: 3 * time.Minute}},
		Access:   c.Access, // see TestRules
		Limits:   broker.Limits{MaxPacket: 1 << 20, MaxConnections: 5, MaxSessions: 6, MaxSessionsPerUser: 7, MaxAllSubscriptions: 9, MaxSubscriptions: 8, MaxRetainedBytes: 9 << 20, MaxWillBytes: 10 << 20, PublishRate: 11, ReconnectRate: 12, MaxInflight: 6, MaxQueuedBytes: 7 << 20, MaxPendingBytes: 8 << 20, ConnectTimeout: 8 * time.Second, MaxClientMessages: 100, MaxClientBytes: 1 << 20},
		Sys:      Sys{Interval: 5 * time.Second},
		Storage:  Storage{Budget: 1 << 30, Promise: storage.Written, SpillAfter: time.Second, RetainedFlush: 2 * time.Second},
		Bridges:  []bridge.Config{wantBridge()},
		Adapters: []Adapter{{Name: "meters", Modbus: wantModbus()}, {Name: "scale", Serial: wantSerial()}},
		Console:  Console{Address: "unix:///run/weir/console.sock"},
		Audit:    Audit{MaxSize: 1 << 20},
		Log:      Log{Level: slog.LevelDebug, Format: "json"},
		Warnings: c.Warnings,
	}
	if diff := cmp.Diff(want, c, exported, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	if len(c.Warnings) != 2 { // promise, insecure
		t.Errorf("warnings: %+v", c.Warnings)
	}
}

func wantBridge() bridge.Config {
	return bridge.Config{
		Name: "cloud", URLs: []string{"mqtts://a.example", "mqtts://b.example:8884"}, Preset: "weir",
		ClientID: "gw-1", Username: "me", Password: "hunter2", Protocol: "3.1.1",
		TLS: bridge.TLS{ServerName: "c.example", ALPN: []string{"mqtt"}, Insecure: true},
		Out: []bridge.OutRule{{
			Filter: "a/#", Exclude: []string{"a/b"}, QoS: 2, Retain: bridge.Strip, LocalPrefix: "l/", RemotePrefix: "r/",
			BufferQoS0: true, Priority: 9, OnFull: core.Refuse, MaxBytes: 1 << 10, MaxAge: 7 * 24 * time.Hour, Stamp: bridge.StampAlways,
		}, {
			Filter: "y/#", QoS: 1, Retain: bridge.Keep, RemoteTopic: "z/{#}", OnFull: core.DropOldest, Stamp: bridge.StampBuffered,
			Properties: []core.UserProperty{{Name: "site", Value: "7=a"}},
		}, {
			Filter: "x/#", QoS: 2, Retain: bridge.Keep, RemotePrefix: "r/", OnFull: core.DropOldest, Stamp: bridge.StampBuffered,
		}},
		In: []bridge.InRule{
			{Filter: "c/#", LocalPrefix: "l/", RemotePrefix: "r/"},
			{Filter: "d/#", QoS: 1, LocalTopic: "cmd/{1}"},
			{Filter: "x/#", QoS: 2, RemotePrefix: "r/"},
		},
		Gather: 7 * time.Millisecond, Drain: bridge.Drain{Rate: 1.5, Burst: 2}, Keepalive: 20 * time.Second,
		Backoff: bridge.Backoff{Min: 2 * time.Second, Max: 3 * time.Second}, MaxInflight: 50, Transit: true,
		Select: bridge.SelectRoundRobin, FailBack: 2 * time.Minute, UserTimeout: 11 * time.Second, AckTimeout: 12 * time.Second,
		Proxy: bridge.Proxy{URL: "http://proxy:3128", Username: "p"}, BindAddress: "127.0.0.1",
	}
}

func wantModbus() *modbus.Config {
	return &modbus.Config{
		Output: adapters.Output{Adapter: "meters", Topic: "t/{device}/{point}", Format: adapters.Raw, Retain: true},
		URL:    "tcp://127.0.0.1:1502", Every: 2 * time.Second, Timeout: 3 * time.Second,
		Devices: []modbus.Device{{
			Name: "m1", Unit: 1, Every: 4 * time.Second, Phase: 100 * time.Millisecond, Timeout: 500 * time.Millisecond, Order: "CDAB",
			Write: modbus.WriteMultiple, BitWrites: modbus.BitsRewrite, MaxRegisters: 10, MaxBits: 11, MaxGap: new(0),
			Points: []modbus.Point{
				{
					Name: "v", Register: "input:0", Type: "float32", Order: "DCBA", Every: 5 * time.Second, Scale: 2, Offset: 3, Unit: "V",
					Rule: adapters.Rule{OnChange: true, Deadband: 0.5, Heartbeat: time.Minute, MinInterval: time.Second},
				},
				{Name: "w", Register: "holding:1", Writable: true, Verify: true, EveryCommand: true, Min: new(-1.0), Max: new(1.5), Clamp: true, Round: new(2), Phase: 2 * time.Second},
				{Name: "mode", Register: "holding:2", Enum: map[int64]string{0: "off", 16: "auto"}},
				{Name: "text", Register: "holding:3", Type: "string(8)", Pad: modbus.PadSpace},
			},
		}},
		Proxy: modbus.Proxy{Address: "127.0.0.1:1503", Writable: true, Units: []int{1, 2}},
	}
}

func wantSerial() *serial.Config {
	return &serial.Config{
		Name:     "scale",
		Port:     serialport.Config{Device: "/dev/ttyS0", Baud: 19200, DataBits: 7, Parity: "even", StopBits: "2", DTR: new(false), RS485: serialport.RS485{Mode: "rts", DelayAfter: time.Millisecond}},
		Framing:  frame.StartEnd{Start: "<", End: ">", Trailer: 2, Include: true},
		MaxFrame: 512,
		Checksum: frame.Sum{Kind: "crc16-ccitt", Hex: true},
		Parse: parsing.Config{Kind: "kv", Separator: ";", Fields: []parsing.Field{
			{Name: "a"},
			{Name: "b", From: "c", Type: parsing.Int, Scale: 10, Offset: 1, Unit: "kg", Rule: adapters.Rule{Heartbeat: time.Minute}},
		}},
		Requests: []serial.Request{{
			Every: time.Second, Send: "P{address}\r\n", Timeout: 100 * time.Millisecond,
			Retries: 2, Pause: 5 * time.Millisecond, Expect: serial.Expect{Bytes: "{address}"},
		}},
		Devices: []serial.Device{{Name: "left", Address: 3}},
		Writes:  []serial.Write{{Name: "tare", Send: "T{value}\r\n", Timeout: time.Second, Min: new(0.0), Max: new(9.5), Expect: serial.Expect{At: 1, Bytes: "OK"}}},
		MaxRate: 50, StaleAfter: time.Minute,
		Output: adapters.Output{Adapter: "scale", Topic: "plant/{adapter}/{device}/{field}", Format: adapters.JSON, QoS: 1},
		Rule:   adapters.Rule{Heartbeat: 2 * time.Minute},
	}
}

func TestFramings(t *testing.T) {
	tests := []struct {
		text string
		want frame.Framing
	}{
		{`{delimiter: "\r\n", include: true}`, frame.Delimiter{Bytes: "\r\n", Include: true}},
		{`{length: 12}`, frame.Length{Bytes: 12}},
		{`{length_prefix: {offset: 1, width: 2, little_endian: true, adjust: -3}}`, frame.LengthPrefix{Offset: 1, Width: 2, LittleEndian: true, Adjust: -3}},
		{`{start: "/", end: "!", line: true}`, frame.StartEnd{Start: "/", End: "!", Line: true}},
		{`{start: "\x02", end: "\x03", escape: "\x10"}`, frame.StartEnd{Start: "\x02", End: "\x03", Escape: "\x10"}},
		{`{escaped: slip}`, frame.Escaped{Protocol: "slip"}},
		{`{sml: true}`, frame.SML{}},
		{`{idle_gap: 50ms}`, frame.IdleGap{Gap: 50 * time.Millisecond}},
	}
	for _, test := range tests {
		c := parse(t, "adapters: [{name: a, type: serial, port: /dev/ttyS0, framing: "+test.text+"}]")
		if diff := cmp.Diff(test.want, c.Adapters[0].Serial.Framing); diff != "" {
			t.Errorf("%s: %s", test.text, diff)
		}
	}
}

// TestRules: rules are what stands in the file, in its order, with their lines.
func TestRules(t *testing.T) {
	c := parse(t, everything)
	want := []string{
		"weir.yaml:11 user: [carl, dora], group: crew, client_id: m-*, address: [10.0.0.0/8, ::1/128], allow: [publish, subscribe], topics: [a/%u/#, $SYS/#]",
		"weir.yaml:12 anonymous: true, deny: publish, topics: b",
	}
	var got []string
	for _, r := range c.Access.All() {
		got = append(got, r.Where+" "+r.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if groups := c.Access.Groups("ben"); !slices.Equal(groups, []string{"crew"}) {
		t.Errorf("groups: %v", groups)
	}
}

func TestMapping(t *testing.T) {
	c := parse(t, everything)
	wantBroker := broker.Config{Listeners: c.Listeners, Limits: c.Limits, SpillAfter: time.Second, RetainedFlush: 2 * time.Second, SysInterval: 5 * time.Second}
	if diff := cmp.Diff(wantBroker, c.Broker(), exported, cmpopts.IgnoreFields(broker.Config{}, "Access")); diff != "" {
		t.Error(diff)
	}
	wantStore := storage.Config{Dir: "/etc/weir/data/store", Promise: storage.Written, Budget: 1 << 30, MaxInflight: 6, RetainedFlush: 2 * time.Second}
	if diff := cmp.Diff(wantStore, c.Store(), exported); diff != "" {
		t.Error(diff)
	}
	if got := c.ConsoleConfig().Address; got != "unix:///run/weir/console.sock" {
		t.Errorf("console at %s", got)
	}
}

// TestShow: what is shown holds everything, no secret, and means the same when
// it is read again.
func TestShow(t *testing.T) {
	c := parse(t, everything)
	shown := show(t, c)
	golden(t, "testdata/everything.shown.yaml", shown)
	if strings.Contains(shown, "hunter2") {
		t.Error("the secret is shown")
	}
	again := parse(t, shown)
	again.Bridges[0].Password = c.Bridges[0].Password
	again.Warnings = c.Warnings
	if !slices.EqualFunc(c.Access.All(), again.Access.All(), func(a, b access.Rule) bool { return a.String() == b.String() }) {
		t.Error("other rules")
	}
	again.Access = c.Access
	if diff := cmp.Diff(c, again, exported); diff != "" {
		t.Error(diff)
	}
}

// TestSecretsAreNeverShown: not in what holds, not with a problem of their line.
func TestSecretsAreNeverShown(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hunter2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"password: hunter2", "password: ${SECRET}", "password_file: secret", `"password": "hunter2"`, "{password: hunter2"} {
		for _, more := range []string{"", "    nonsense: 1\n", "    keepalive: ${SECRET}\n"} {
			text := "bridges:\n  - name: cloud\n    url: mqtts://a.example\n    client_id: x\n    username: y\n    out: [{filter: a}]\n    " + line + "\n" + more
			c, err := Parse(filepath.Join(dir, "weir.yaml"), []byte(text), testEnv)
			said := ""
			if err != nil {
				said = err.Error()
			} else {
				if c.Bridges[0].Password != "hunter2" {
					t.Errorf("%s: password is %q", line, c.Bridges[0].Password)
				}
				said = show(t, c) + (&Errors{Problems: c.Warnings}).Error()
			}
			if strings.Contains(said, "hunter2") {
				t.Errorf("%s: %s", line, said)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	const bridgeHead = "bridges: [{name: c, client_id: x, username: y, out: [{filter: a}], "
	tests := []struct{ name, text, want string }{
		{"promise", "storage: {promise: memory}", "may be lost in a power cut"},
		{"password in the clear", bridgeHead + "url: mqtt://a, password: x}]", "in the clear"},
		{"insecure", bridgeHead + "url: mqtts://a, tls: {insecure: true}}]", "certificate is not checked"},
		{"unstable name", "adapters: [{name: a, type: serial, port: /dev/ttyUSB0}]", "/dev/ttyUSB0 may be another adapter"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, test.text)
			if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Message, test.want) || c.Warnings[0].Hint == "" {
				t.Errorf("warnings: %+v", c.Warnings)
			}
		})
	}
}

func TestConsoleOff(t *testing.T) {
	if c := parse(t, "console: {address: off}"); c.Console.Address != "" {
		t.Errorf("console at %q", c.Console.Address)
	}
}

func TestLoad(t *testing.T) {
	if c, err := Load(""); err != nil || len(c.Listeners) != 1 {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	missing := filepath.Join(t.TempDir(), "weir.yaml")
	_, err := Load(missing)
	if found, ok := errors.AsType[*Errors](err); !ok || found.File != missing || !strings.Contains(err.Error(), "there is no such configuration file") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("folder: %v", err)
	}
}

func TestLocal(t *testing.T) {
	tests := map[string]bool{
		"127.0.0.1:1883": true, "[::1]:1883": true, "localhost:1883": true, "127.9.9.9:1": true, "unix:///run/x": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1883": false, ":1883": false, "[::]:1883": false, "192.168.1.1:1883": false, "gateway.local:1883": false,
	}
	for address, want := range tests {
		if got := isLocal(address); got != want {
			t.Errorf("isLocal(%s) = %v", address, got)
		}
	}
}

// FuzzParse: no text brings the reader down, and what is accepted can be shown
// and read again.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "weir.yaml") {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("/nonexistent/weir.yaml", []byte(text), testEnv)
		if err != nil {
			if found, ok := errors.AsType[*Errors](err); !ok || len(found.Problems) == 0 || found.Error() == "" {
				t.Errorf("error without problems: %v", err)
			}
			return
		}
		shown := show(t, c)
		if _, err := Parse("/nonexistent/weir.yaml", []byte(shown), testEnv); err != nil {
			t.Errorf("what is shown is not accepted: %v\n%s", err, shown)
		}
	})
}
