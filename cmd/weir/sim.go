package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/adapters/serialport/pty"
)

func newSimCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sim",
		Short: "Simulate devices, to try a configuration without hardware",
	}
	c.AddCommand(newSimModbusCommand())
	return c
}

// simModbus are the flags of `weir sim modbus`.
type simModbus struct {
	listen, link     string
	framing          string
	units, registers int
	baud             int
	dead             []int
	latency, late    time.Duration
	latePercent      int
	flipPercent      int
	cutPercent       int
	illegalFrom      int
	maxRegisters     int
	echo, lenient    bool
}

func newSimModbusCommand() *cobra.Command {
	var s simModbus
	c := &cobra.Command{
		Use:   "modbus",
		Short: "Modbus devices on TCP or on a pseudo-terminal with the timing of a wire",
		Long: "Each unit has float32 input registers that move (0, 2, 4 …), holding registers and\n" +
			"coils that can be set, a queue (10), and an identity. On a pseudo-terminal bytes take their time,\n" +
			"and a request that comes before t3.5 of silence is not heard.",
		Example: "  weir sim modbus --listen 127.0.0.1:1502\n" +
			"  weir sim modbus --pty /tmp/bus --baud 19200 --units 10 --dead 3,4\n" +
			"  weir sim modbus --pty /tmp/bus --framing ascii --baud 9600",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context(), c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:1502", "address for Modbus TCP, or for a serial device server")
	f.StringVar(&s.framing, "framing", "", "tcp, rtu or ascii (default: tcp; rtu with --pty)")
	f.StringVar(&s.link, "pty", "", "make a serial line instead, under this name")
	f.IntVar(&s.baud, "baud", 19200, "rate of the serial line")
	f.IntVar(&s.units, "units", 2, "devices, with the addresses from 1 on")
	f.IntVar(&s.registers, "registers", 400, "registers of each table")
	f.IntSliceVar(&s.dead, "dead", nil, "addresses that don't answer")
	f.DurationVar(&s.latency, "latency", 5*time.Millisecond, "what a device needs before it answers")
	f.IntVar(&s.latePercent, "late", 0, "so many of a hundred answers come late")
	f.DurationVar(&s.late, "late-by", 2*time.Second, "how late")
	f.IntVar(&s.flipPercent, "bit-errors", 0, "so many of a hundred answers have a bit turned over (serial only)")
	f.IntVar(&s.cutPercent, "cut", 0, "so many of a hundred answers are cut (serial only)")
	f.IntVar(&s.illegalFrom, "illegal-from", 0, "registers from here on don't exist")
	f.IntVar(&s.maxRegisters, "max-registers", 125, "more are refused in one request")
	f.BoolVar(&s.echo, "echo", false, "the line repeats what the master sends")
	f.BoolVar(&s.lenient, "lenient", false, "also hear requests that come too early")
	return c
}

func (s *simModbus) run(ctx context.Context, out io.Writer) error {
	if err := s.checkFraming(); err != nil {
		return err
	}
	if s.units < 1 || s.units > 247 || s.registers < 2 || s.registers > 1<<16 || s.baud < 300 {
		return usageError{errors.New("there may be 1 to 247 units with 2 to 65536 registers, at 300 baud and more")}
	}
	slave := s.slave()
	var err error
	if s.link != "" {
		err = s.serveLine(ctx, slave, out)
	} else {
		err = s.serveTCP(ctx, slave, out)
	}
	st := slave.Stats()
	fmt.Fprintf(out, "%d requests, %d registers read, %d written, %d exceptions, %d bad frames, %d before t3.5, line busy %v\n",
		st.Requests, st.Registers, st.Written, st.Exceptions, st.BadFrames, st.Violations, st.Busy.Round(time.Millisecond))
	return err
}

// slave makes the devices.
func (s *simModbus) slave() *simulator.Slave {
	slave := simulator.New()
	begun := time.Now()
	count := s.registers
	if s.illegalFrom > 0 {
		count = min(count, s.illegalFrom)
	}
	for id := 1; id <= s.units; id++ {
		u := slave.Unit(byte(id))
		u.Fill(simulator.Holdings, 0, count)
		u.Fill(simulator.Coils, 0, count)
		u.Fill(simulator.Discretes, 0, count)
		for a := 0; a+1 < count; a += 2 {
			u.Float32(simulator.Inputs, uint16(a), func(now time.Time) float32 {
				return float32(id*1000+a) + float32(now.Sub(begun).Truncate(time.Second).Seconds())/1000
			})
		}
		u.Behave(simulator.Behaviour{Latency: s.latency, MaxRegisters: s.maxRegisters})
		u.Queue(10, 1, 2, uint16(id))
		u.Identify(simulator.Identity{0: "Weir", 1: "simulator", 2: fmt.Sprint("unit ", id)})
	}
	for _, id := range s.dead {
		slave.Unit(byte(id)).Behave(simulator.Behaviour{Dead: true})
	}
	slave.Faults(s.fault)
	return slave
}

// fault decides what goes wrong with an answer.
func (s *simModbus) fault(simulator.Request) (f simulator.Fault) {
	if rand.N(100) < s.latePercent {
		f.Delay = s.late
	}
	if rand.N(100) < s.flipPercent {
		f.Flip = 1
	}
	if rand.N(100) < s.cutPercent {
		f.Cut = 1 + rand.N(3)
	}
	return f
}

// checkFraming fills in the framing that is usual where the devices are.
func (s *simModbus) checkFraming() error {
	known := []string{"rtu", "ascii"}
	if s.link == "" {
		known = []string{"tcp", "rtu", "ascii"}
	}
	s.framing = cmp.Or(s.framing, known[0])
	if !slices.Contains(known, s.framing) {
		return usageError{fmt.Errorf("--framing (%s) must be %s", s.framing, strings.Join(known, " or "))}
	}
	return nil
}

func (s *simModbus) serveTCP(ctx context.Context, slave *simulator.Slave, out io.Writer) error {
	ln, err := net.Listen("tcp", s.listen)
	if err != nil {
		return unavailableError{err}
	}
	switch s.framing {
	case "rtu":
		fmt.Fprintf(out, "%d units on rtu+tcp://%s\n", s.units, ln.Addr())
		return slave.ServeRTUOverTCP(ctx, ln, simulator.Wire{})
	case "ascii":
		fmt.Fprintf(out, "%d units on ascii+tcp://%s\n", s.units, ln.Addr())
		return slave.ServeASCIIOverTCP(ctx, ln, simulator.Wire{})
	}
	fmt.Fprintf(out, "%d units on tcp://%s\n", s.units, ln.Addr())
	return slave.ServeTCP(ctx, ln)
}

func (s *simModbus) serveLine(ctx context.Context, slave *simulator.Slave, out io.Writer) error {
	master, path, err := pty.New()
	if err != nil {
		return unavailableError{err}
	}
	defer master.Close()
	if err := os.Symlink(path, s.link); err != nil {
		return usageError{fmt.Errorf("--pty: %w", err)}
	}
	defer os.Remove(s.link)
	wire, serve := simulator.NewWire(s.baud), slave.ServeRTU
	if s.framing == "ascii" {
		wire, serve = simulator.NewASCIIWire(s.baud), slave.ServeASCII
	}
	wire.Strict, wire.Echo, wire.Chunk = !s.lenient, s.echo, 16
	fmt.Fprintf(out, "%d units on %s://%s?baud=%d\n", s.units, s.framing, s.link, s.baud)
	return serve(ctx, master, wire)
}
