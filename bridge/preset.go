package bridge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// preset is what is known of a service and its CONNACK does not say, or what it
// answers by closing the connection. It is data: nothing else in this package
// asks for the name of a service.
type preset struct {
	protocol  string // the one to speak, where only one works
	maxQoS    byte
	noRetain  bool // a retained message closes the connection
	maxPacket int  // bytes; 0: as the CONNACK says
	window    int  // messages in flight; 0: as the CONNACK says
	keepalive time.Duration
	rate      float64 // messages a second, if the configuration sets none
	burst     int
	subscribe int // filters in a SUBSCRIBE

	maxLevels int    // of a topic
	forbidden string // characters that topics must not have
	maxTopic  int    // bytes

	alpn443   string // on port 443
	bridgeBit bool   // 3.1.1: say that we are a bridge, so that our own messages stay away
	returns   bool   // it may forward to others what we send, and they to us
	azure     bool   // topics and password are those of Azure IoT Hub
	clientID  int    // bytes; 0: as MQTT allows
}

// presets by name. Where two figures are known for a limit, the lower one stands.
var presets = map[string]preset{
	"generic":   {maxQoS: 2},
	"mosquitto": {maxQoS: 2, bridgeBit: true},
	"weir":      {maxQoS: 2, bridgeBit: true, returns: true},
	"emqx":      {maxQoS: 2, maxPacket: 1 << 20},
	// Ten publications a second and client, and sessions of two hours.
	"emqx-serverless": {maxQoS: 2, maxPacket: 1 << 20, rate: 8, burst: 8, maxLevels: 10},
	"hivemq":          {maxQoS: 2},
	// QoS 2 has no answer; a denied or malformed publication closes the connection.
	"aws-iot": {
		maxQoS: 1, maxPacket: 128 << 10, window: 100, keepalive: 1200 * time.Second, rate: 80, burst: 80,
		maxLevels: 8, maxTopic: 256, alpn443: "x-amzn-mqtt-ca", clientID: 128,
	},
	// QoS 2 closes the connection, and so does what it does not know.
	"azure-iot-hub": {
		protocol: protocol311, maxQoS: 1, noRetain: true, maxPacket: 256 << 10, keepalive: 1177 * time.Second,
		rate: 80, burst: 80, subscribe: 5, azure: true, clientID: 128,
	},
	"azure-event-grid": {maxQoS: 1, noRetain: true, maxPacket: 512 << 10, keepalive: 1160 * time.Second},
	// '/' becomes '.' there, and a space ends the connection.
	"nats": {protocol: protocol311, maxQoS: 2, forbidden: " ", window: 100},
	// QoS 2 is answered with PUBACK; a '.' arrives as '/'.
	"rabbitmq": {maxQoS: 1, forbidden: "."},
}

// Presets are the names of the presets, in order.
func Presets() []string {
	names := make([]string, 0, len(presets))
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// withPreset fills what the configuration leaves open.
func (c *Config) withPreset() {
	p := presets[c.Preset]
	setDefault(&c.Protocol, p.protocol)
	if c.Drain.Rate == 0 && p.rate > 0 {
		c.Drain.Rate = p.rate
		c.Drain.Burst = p.burst
	}
	if p.alpn443 != "" && len(c.TLS.ALPN) == 0 && slices.ContainsFunc(c.URLs, func(u string) bool { return strings.HasSuffix(u, ":443") }) {
		c.TLS.ALPN = []string{p.alpn443}
	}
}

// checkPreset refuses what the service would answer with a closed connection.
func (c *Config) checkPreset(f *faults) {
	p, ok := presets[c.Preset]
	if !ok {
		f.oneOf("preset", c.Preset, Presets()...)
		return
	}
	if p.keepalive > 0 {
		f.check(c.Keepalive <= p.keepalive, "keepalive", c.Keepalive, fmt.Sprintf("at most %v with preset %s", p.keepalive, c.Preset))
	}
	if p.protocol != "" {
		f.check(c.Protocol == p.protocol, "protocol", c.Protocol, p.protocol+" with preset "+c.Preset)
	}
	if p.clientID > 0 {
		f.check(len(c.ClientID) <= p.clientID, "client_id", c.ClientID, fmt.Sprintf("at most %d bytes with preset %s", p.clientID, c.Preset))
	}
	f.check(c.StateTopic == "" || !p.noRetain && !p.azure, "state_topic", c.StateTopic, "left out with preset "+c.Preset+", which takes no retained messages")
	f.check(c.SASKey == "" || p.azure, "sas_key", "given", "without: only azure-iot-hub knows it")
}

// limit applies the preset to what the CONNACK has said.
func (p preset) limit(g *greeting) {
	g.maxQoS = min(g.maxQoS, p.maxQoS)
	g.retain = g.retain && !p.noRetain
	if p.maxPacket > 0 && (g.maxPacket == 0 || g.maxPacket > p.maxPacket) {
		g.maxPacket = p.maxPacket
	}
	if p.window > 0 {
		g.receiveMaximum = min(g.receiveMaximum, p.window)
	}
}

// unfit says why the upstream cannot have a topic; "" when it can.
func (p preset) unfit(name string) string {
	levels := p.maxLevels
	if levels == 0 {
		levels = math.MaxInt
	}
	switch {
	case len(name) > math.MaxUint16, p.maxTopic > 0 && len(name) > p.maxTopic:
		return fmt.Sprintf("the topic has %d bytes", len(name))
	case strings.Count(name, "/") >= levels:
		return fmt.Sprintf("the topic has more than %d levels", levels)
	case p.forbidden != "" && strings.ContainsAny(name, p.forbidden):
		return fmt.Sprintf("the topic has a character of %q in it", p.forbidden)
	}
	return ""
}
