package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core"
)

func newDemoCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See an outage and a power cut on this machine, and that nothing is lost",
		Long: "Starts a cloud (a second Weir), a simulated Modbus meter, a simulated serial\n" +
			"scale and a gateway between them; cuts the uplink, kills the gateway, and\n" +
			"counts in the cloud what arrived. It needs no set-up, no root and no network,\n" +
			"takes about half a minute, and ends with an error if anything was lost.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), c.OutOrStdout(), keep) },
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the files of the demo (configuration, log, store)")
	return c
}

func runDemo(ctx context.Context, out io.Writer, keep bool) error {
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	if keep {
		defer fmt.Fprintf(out, "\nThe demo's files are in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	d := &demo{screen: newScreen(out), ctx: ctx}
	fmt.Fprintf(out, "Weir %s: a gateway, its devices and its cloud, all on this machine.\n\n", version())
	if d.stage, err = buildStage(dir); err != nil {
		return err
	}
	defer d.close()
	return d.tell()
}

// demo is the story and what it learns on the way.
type demo struct {
	*stage
	screen *screen
	ctx    context.Context

	press, batch  *source // QoS 1, QoS 2
	publishers    context.Context
	endPublishing context.CancelFunc
	publishing    sync.WaitGroup
}

// How long the chapters are.
const (
	flowFor   = 6 * time.Second
	outageFor = 6 * time.Second
	afterFor  = 4 * time.Second
	drainFor  = 60 * time.Second // at most
)

func (d *demo) tell() error {
	d.introduce()
	for _, chapter := range []func() error{d.flow, d.outage, d.powerCut, d.drain, d.verdict} {
		if err := chapter(); err != nil {
			d.screen.end()
			return err
		}
	}
	return nil
}

func (d *demo) introduce() {
	d.screen.line("cloud     a second Weir as the upstream broker      %s", d.cloud.address)
	d.screen.line("meter     a Modbus TCP slave, simulated            %s", d.meter.address)
	d.screen.line("scale     a serial device on a PTY, simulated      %s", d.scale.path)
	d.screen.line("gateway   weir run, process %-6d                 127.0.0.1:%d, console http://%s", d.gateway.cmd.Process.Pid, d.gateway.port, d.gateway.console)
}

// publish prepares the two numbered publishers, and starts the first.
func (d *demo) publish() {
	d.publishers, d.endPublishing = context.WithCancel(d.ctx)
	d.press = newSource(d.gateway.port, "press", 1, "plant/press/1", "plant/press/2", "plant/press/3")
	d.press.every = 3 * time.Millisecond
	d.batch = newSource(d.gateway.port, "batch", 2, "batch/batch/orders")
	d.batch.every = 25 * time.Millisecond
	d.publishing.Go(func() { _ = d.press.run(d.publishers) }) // ends with its context only
}

// flow: values reach the cloud, and the disk is not touched.
func (d *demo) flow() error {
	d.screen.chapter("1  Values flow")
	d.publish()
	// That there is a bridge and a publisher with a session is kept on disk. What
	// follows is about their messages.
	before, err := d.settledStart()
	if err != nil {
		return err
	}
	if err := d.watch(flowFor, func() {
		d.screen.moving("meter %s, %s   scale %s   press: message %s", d.cloud.latest("m1/voltage"), d.cloud.latest("m1/power"), d.cloud.latest("scale/weight"), count(d.arrivedFrom("press")))
	}); err != nil {
		return err
	}
	s, err := d.gateway.status()
	if err != nil {
		return err
	}
	sent, acked := d.press.counts()
	d.screen.line("%s messages of QoS 1 sent, %s acknowledged, %s in the cloud, %s readings beside them", count(sent), count(acked), count(d.arrivedFrom("press")), count(d.cloud.readingsArrived()))
	d.screen.line("written to disk for them: %d bytes, because the uplink keeps up", s.Process.Written-before.Process.Written)
	return nil
}

// settledStart waits until the start has left nothing to write.
func (d *demo) settledStart() (s core.Status, err error) {
	last := uint64(0)
	err = d.until(10*time.Second, func() bool {
		if s, err = d.gateway.status(); err != nil {
			return false
		}
		quiet := s.Process.Written == last && s.Bridges[0].State == "connected" && d.ackedBy(d.press) > 0
		last = s.Process.Written
		return quiet
	})
	return s, err
}

// outage: the uplink is cut and the buffer fills.
func (d *demo) outage() error {
	d.screen.chapter("2  The uplink is cut, and a publisher joins whose orders must not arrive twice (QoS 2)")
	d.cable.cut()
	d.publishing.Go(func() { _ = d.batch.run(d.publishers) })
	if err := d.watch(outageFor, d.showBuffer); err != nil {
		return err
	}
	s, err := d.gateway.status()
	if err != nil {
		return err
	}
	d.screen.line("%s messages buffered, the oldest for %s; %s", count(s.Buffer.Messages), span(s.Buffer.OldestSeconds), bridgeWords(s.Bridges[0].State, s.Bridges[0].Error))
	return nil
}

// powerCut: the gateway is killed and starts again on what is on its disk.
func (d *demo) powerCut() error {
	d.screen.chapter("3  The power fails: SIGKILL to the gateway, in the middle of all this")
	before, err := d.gateway.status()
	if err != nil {
		return err
	}
	d.gateway.kill()
	begin := time.Now()
	if err := d.gateway.start(); err != nil {
		return err
	}
	ready := time.Since(begin)
	s, err := d.gateway.status()
	if err != nil {
		return err
	}
	d.screen.line("killed with %s messages buffered; started again as process %d, ready after %s with %s of them",
		count(before.Buffer.Messages), d.gateway.cmd.Process.Pid, ready.Round(time.Millisecond), count(s.Buffer.Messages))
	return d.watch(afterFor, d.showBuffer)
}

// drain: the uplink returns and the backlog goes out, in order.
func (d *demo) drain() error {
	d.screen.chapter("4  The uplink returns")
	s, err := d.gateway.status()
	if err != nil {
		return err
	}
	backlog := s.Buffer.Messages
	if err := d.cable.restore(); err != nil {
		return err
	}
	begin := time.Now()
	progress := d.screen.bar(int(backlog), "draining")
	err = d.until(drainFor, func() bool {
		s, err := d.gateway.status()
		if err != nil {
			return false
		}
		left := min(s.Buffer.Messages, backlog)
		progress(int(backlog - left))
		return left == 0
	})
	if err != nil {
		return fmt.Errorf("the backlog does not drain: %w", err)
	}
	d.screen.line("%s messages left in %s", count(backlog), time.Since(begin).Round(10*time.Millisecond))
	d.stopPublishers()
	return nil
}

// verdict: what the cloud counted against what the gateway had acknowledged.
func (d *demo) verdict() error {
	settled := func() bool { return d.judge("press").Lost == 0 && d.judge("batch").Lost == 0 }
	_ = d.until(10*time.Second, settled) // the figures below tell, too
	press, batch := d.judge("press"), d.judge("batch")
	s, err := d.gateway.status()
	if err != nil {
		return err
	}
	d.screen.chapter("Verdict, from the cloud's own count")
	d.screen.line("%-28s %10s %10s", "", "QoS 1", "QoS 2")
	row := func(what string, one, two any) { d.screen.line("%-28s %10v %10v", what, one, two) }
	row("sent and acknowledged", count(press.Acknowledged), count(batch.Acknowledged))
	row("arrived", count(press.Arrived), count(batch.Arrived))
	row("lost", press.Lost, batch.Lost)
	row("duplicates", press.Duplicates, batch.Duplicates)
	row("out of order", press.Reversed, batch.Reversed)
	d.screen.line("%-28s %10s", "readings of meter and scale", count(d.cloud.readingsArrived()))
	if stored := d.gateway.stored + s.Buffer.Written; stored > 0 {
		d.screen.line("%-28s %10d   (%s messages had to be stored)", "bytes to disk a message", (d.gateway.written+s.Process.Written)/stored, count(stored))
	}
	switch {
	case press.Lost+batch.Lost > 0:
		return errLost
	case batch.Duplicates > 0:
		return errors.New("duplicates at QoS 2")
	case press.Reversed+batch.Reversed > 0:
		return errors.New("messages out of order")
	}
	return nil
}

func bridgeWords(state, err string) string {
	if err == "" {
		return "bridge: " + state
	}
	return fmt.Sprintf("bridge %s: %s", state, err)
}
