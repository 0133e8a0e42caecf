package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/weir-edge/weir/adapters/modbus"
)

// setting is how a serial line may be set up.
type setting struct {
	baud   int
	parity string
}

// usual are the settings that devices have, the most common first.
var usual = [...]setting{
	{9600, "N"},
	{9600, "E"},
	{19200, "E"},
	{19200, "N"},
	{38400, "N"},
	{38400, "E"},
	{115200, "N"},
	{115200, "E"},
	{57600, "N"},
	{57600, "E"},
	{4800, "N"},
	{4800, "E"},
	{2400, "N"},
	{2400, "E"},
	{1200, "N"},
	{1200, "E"},
	{9600, "O"},
	{19200, "O"},
}

// sweep tries the usual settings until a device answers, and then scans the line
// with these. It asks each device for one register, which changes nothing.
func (f *masterFlags) sweep(ctx context.Context, address string, from, to int, out, terminal io.Writer) error {
	line, err := modbus.ParseURL(address)
	if err != nil {
		return usageError{err}
	}
	if !line.Local() {
		return usageError{fmt.Errorf("--sweep: only a serial line of this machine has rate and parity, and this line is %s", line.Scheme)}
	}
	bar := progress(terminal, int64(len(usual)*(to-from+1)), "sweep")
	defer bar.Close()
	for _, s := range usual {
		at := s.url(address)
		found, err := f.answers(ctx, at, from, to, func() { _ = bar.Add(1) })
		if err != nil {
			return err
		}
		if found {
			_ = bar.Clear()
			fmt.Fprintf(out, "a device answers on %s\n", at)
			m, err := f.dial(ctx, at)
			if err != nil {
				return err
			}
			defer m.Close()
			return scan(ctx, m, from, to, out, terminal)
		}
	}
	return timeoutError{errors.New("nobody answers, whatever the rate and the parity: check the two wires, the termination, and the addresses (--from, --to)")}
}

// url is address with the setting.
func (s setting) url(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // it was parsed before
	}
	q := u.Query()
	q.Set("baud", strconv.Itoa(s.baud))
	q.Set("parity", s.parity)
	u.RawQuery = q.Encode()
	return u.String()
}

// answers says whether any of the devices is there; step is called for each.
func (f *masterFlags) answers(ctx context.Context, address string, from, to int, step func()) (bool, error) {
	m, err := f.dial(ctx, address)
	if err != nil {
		return false, err
	}
	defer m.Close()
	for unit := from; unit <= to && ctx.Err() == nil; unit++ {
		present, err := m.Present(byte(unit))
		if err != nil {
			return false, unavailableError{err}
		}
		if present {
			return true, nil
		}
		step()
	}
	return false, ctx.Err()
}
