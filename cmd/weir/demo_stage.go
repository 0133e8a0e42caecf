package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// stage is the scenery of the demo: the cloud, the cable to it, a meter, a scale
// and the gateway between them, all on this machine. The gateway is a process
// of its own, because it is going to be killed; the rest lives in this one.
type stage struct {
	dir     string
	cloud   *cloud
	cable   *uplink
	meter   *meter
	scale   *scale
	gateway *child
}

// buildStage starts everything but the publishers. What it started is ended by close.
func buildStage(dir string) (*stage, error) {
	s := &stage{dir: dir}
	err := s.build()
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build() (err error) {
	if s.cloud, err = startCloud(filepath.Join(s.dir, "cloud")); err != nil {
		return fmt.Errorf("start the cloud: %w", err)
	}
	if s.cable, err = newUplink(s.cloud.address); err != nil {
		return fmt.Errorf("lay the cable: %w", err)
	}
	if s.meter, err = startMeter(); err != nil {
		return fmt.Errorf("start the simulated meter: %w", err)
	}
	if s.scale, err = startScale(); err != nil {
		return fmt.Errorf("start the simulated scale: %w", err)
	}
	if s.gateway, err = newChild(s.dir, s.config); err != nil {
		return fmt.Errorf("prepare the gateway: %w", err)
	}
	return s.gateway.start()
}

func (s *stage) close() {
	if s.gateway != nil {
		s.gateway.kill()
	}
	if s.scale != nil {
		s.scale.close()
	}
	if s.meter != nil {
		s.meter.close()
	}
	if s.cable != nil {
		s.cable.cut()
	}
	if s.cloud != nil {
		s.cloud.close()
	}
}

// config is the gateway's configuration: what a technician would write.
func (s *stage) config(mqtt, console string) string {
	return fmt.Sprintf(`gateway: cabinet-7
data_dir: %s
listeners:
  - {name: lan, address: %q}
console: {address: %q}
bridges:
  - name: cloud
    url: mqtt://%s
    client_id: cabinet-7
    keepalive: 5s
    backoff: {min: 200ms, max: 1s}
    out:
      - {filter: "plant/#", qos: 1, remote_prefix: "site7/"}
      - {filter: "batch/#", qos: 2, remote_prefix: "site7/"}
adapters:
  - name: meters
    type: modbus
    url: tcp://%s
    every: 200ms
    topic: "plant/{device}/{point}"
    devices:
      - name: m1
        unit: 1
        points:
          - {name: voltage, register: "input:0", type: float32, unit: V}
          - {name: power, register: "input:2", type: float32, unit: W}
          - {name: energy, register: "holding:0", type: uint32, unit: Wh}
  - name: scale
    type: serial
    port: %s
    baud: 9600
    framing: {delimiter: "\r\n"}
    parse: {kind: csv, fields: [{name: weight, type: number, unit: kg}]}
    topic: "plant/{adapter}/{field}"
`, filepath.Join(s.dir, "gateway"), mqtt, console, s.cable.address, s.meter.address, s.scale.path)
}

// cloud is a second Weir that plays the upstream broker, with a subscriber
// that counts what arrives.
type cloud struct {
	address string
	cancel  context.CancelFunc
	done    chan error
	count   *client

	tallies map[string]*tally // by the publisher's level of the topic; static

	mu       sync.Mutex        // guards what follows
	readings map[string]string // the last value of each point
	arrived  int               // readings
	wg       sync.WaitGroup
}

func startCloud(dir string) (*cloud, error) {
	port, err := unusedPort()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("data_dir: %s\nlisteners: [{name: cloud, address: \"127.0.0.1:%d\"}]\nconsole: {address: \"127.0.0.1:0\"}\n", dir, port)
	cfg, err := configs.Parse("cloud", []byte(text), os.LookupEnv)
	if err != nil {
		return nil, err
	}
	g, err := open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cloud{
		address: fmt.Sprintf("127.0.0.1:%d", port), cancel: cancel, done: make(chan error, 1),
		tallies:  map[string]*tally{"press": newTally(), "batch": newTally()},
		readings: make(map[string]string),
	}
	go func() { c.done <- g.run(ctx, func(string, ...any) {}) }()
	return c, c.subscribe(port)
}

func (c *cloud) subscribe(port int) (err error) {
	c.count, err = dial(context.Background(), clientOptions{host: "127.0.0.1", port: port, id: "auditor", version: "5"})
	if err != nil {
		return err
	}
	filter := packet.Filter{Filter: []byte("site7/#"), Options: 2}
	if err := c.count.send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{filter}}); err != nil {
		return err
	}
	c.wg.Go(c.receive)
	return nil
}

// receive counts until the connection is closed.
func (c *cloud) receive() {
	for {
		p, err := c.count.receive(0)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packet.Publish:
			c.take(p)
			switch p.QoS {
			case 1:
				err = c.count.send(&packet.Ack{Kind: packet.PUBACK, PacketID: p.PacketID})
			case 2:
				err = c.count.send(&packet.Ack{Kind: packet.PUBREC, PacketID: p.PacketID})
			}
		case *packet.Ack:
			if p.Kind == packet.PUBREL {
				err = c.count.send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: p.PacketID})
			}
		}
		if err != nil {
			return
		}
	}
}

// take counts a message of a publisher, or remembers a reading of a device.
func (c *cloud) take(p *packet.Publish) {
	topic := string(p.Topic)
	for level, t := range c.tallies {
		if strings.Contains(topic, "/"+level+"/") {
			_ = t.add(topic, p.Payload) // what is not numbered shows up as lost
			return
		}
	}
	var v struct {
		Value any    `json:"value"`
		Unit  string `json:"unit"`
	}
	if json.Unmarshal(p.Payload, &v) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readings[topic] = fmt.Sprintf("%v %s", v.Value, v.Unit)
	c.arrived++
}

// latest is what a device said last.
func (c *cloud) latest(point string) (value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readings["site7/plant/"+point]
}

// readingsArrived counts the readings of all devices.
func (c *cloud) readingsArrived() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived
}

func (c *cloud) close() {
	if c.count != nil {
		c.count.conn.Close()
	}
	c.wg.Wait()
	c.cancel()
	<-c.done
}

// scale is a weighing scale on a serial line, simulated on a PTY.
type scale struct {
	path   string
	master *os.File
	stop   chan struct{}
	wg     sync.WaitGroup
}

func startScale() (*scale, error) {
	master, path, err := pty.New()
	if err != nil {
		return nil, err
	}
	s := &scale{path: path, master: master, stop: make(chan struct{})}
	s.wg.Go(s.weigh)
	return s, nil
}

// weigh prints a weight five times a second.
func (s *scale) weigh() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			weight := 12 + 3*math.Sin(float64(i)/10)
			// While nobody reads, the line's buffer fills up and the rest is lost, as on a real line.
			_ = s.master.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = fmt.Fprintf(s.master, "%.2f\r\n", weight)
		}
	}
}

func (s *scale) close() {
	close(s.stop)
	s.master.Close()
	s.wg.Wait()
}

// child is the gateway's process.
type child struct {
	config, console, log string
	port                 int
	cmd                  *exec.Cmd
	done                 chan struct{}

	// of the lives before this one
	written uint64 // bytes to the disk
	stored  uint64 // messages to the disk
}

func newChild(dir string, config func(mqtt, console string) string) (*child, error) {
	port, err := unusedPort()
	if err != nil {
		return nil, err
	}
	consolePort, err := unusedPort()
	if err != nil {
		return nil, err
	}
	c := &child{
		config: filepath.Join(dir, "weir.yaml"), log: filepath.Join(dir, "gateway.log"),
		console: fmt.Sprintf("127.0.0.1:%d", consolePort), port: port,
	}
	return c, os.WriteFile(c.config, []byte(config(fmt.Sprintf("127.0.0.1:%d", port), c.console)), 0o600)
}

// start runs the gateway and waits until it is ready.
func (c *child) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	c.cmd = exec.Command(self, "run", "--config", c.config)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = dieWithParent()
	if err := c.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	c.done = done
	go func() {
		_ = c.cmd.Wait() // killed on purpose, or the log says why
		close(done)
	}()
	return c.awaitReady()
}

func (c *child) awaitReady() error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for {
		if s, err := c.status(); err == nil && s.Ready {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.done:
			return errors.New("the gateway ended at its start:\n" + c.logTail())
		case <-limit:
			return errors.New("the gateway does not become ready:\n" + c.logTail())
		}
	}
}

func (c *child) logTail() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

func (c *child) status() (s core.Status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	body, err := fetchStatus(ctx, atAddress(c.console))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// kill is the power cut. What this life has written is remembered first.
func (c *child) kill() {
	if c.cmd == nil || c.cmd.Process == nil {
		return
	}
	if s, err := c.status(); err == nil {
		c.written += s.Process.Written
		c.stored += s.Buffer.Written
	}
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}

// unusedPort is a TCP port of the loopback that nobody listens on now.
func unusedPort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
