package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core"
)

// modbusTrace are the flags of `weir modbus trace`.
type modbusTrace struct {
	where
	unit   int
	span   time.Duration
	frames bool
}

func newModbusTraceCommand() *cobra.Command {
	t := &modbusTrace{}
	c := &cobra.Command{
		Use:   "trace ADAPTER",
		Short: "Show what goes over the line of a running gateway, as it happens",
		Long: "Each line is a transaction: when it began, how long it took, the device's address, what was\n" +
			"asked and what came back; with --frames also the bytes. Those of other masters (proxy) and of\n" +
			"other adapters on the line are among them. Polling goes on undisturbed. Ctrl-C ends it.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if t.span > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, t.span)
				defer cancel()
			}
			return t.run(ctx, args[0], c.OutOrStdout())
		},
	}
	t.flags(c)
	c.Flags().IntVarP(&t.unit, "unit", "u", -1, "only the device with this address")
	c.Flags().DurationVar(&t.span, "for", 0, "end after this time")
	c.Flags().BoolVar(&t.frames, "frames", false, "show the bytes too")
	return c
}

func (t *modbusTrace) run(ctx context.Context, adapter string, out io.Writer) error {
	address, err := t.console()
	if err != nil {
		return err
	}
	client, host := consoleClient(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/api/v1/adapters/"+url.PathEscape(adapter)+"/trace", nil)
	if err != nil {
		return usageError{fmt.Errorf("console address %q: %w", address, err)}
	}
	client.Timeout = 0
	resp, err := client.Do(req)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return unavailableError{fmt.Errorf("no gateway answers at %s: %w", address, errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the gateway refuses: %s", strings.TrimSpace(string(why)))
	}
	for in := json.NewDecoder(resp.Body); ; {
		var x core.Transaction
		if err := in.Decode(&x); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return unavailableError{fmt.Errorf("the trace broke off: %w", err)}
		}
		if t.unit < 0 || x.Unit == t.unit {
			t.print(out, &x)
		}
	}
}

func (t *modbusTrace) print(out io.Writer, x *core.Transaction) {
	if x.Lost > 0 {
		fmt.Fprintf(out, "… %d transactions are not shown: they came too fast\n", x.Lost)
	}
	result := choose(x.Error == "", "= "+x.Result, "! "+x.Error)
	fmt.Fprintf(out, "%s %8s  unit %-3d %s %s\n", x.Time.Local().Format("15:04:05.000"), span(x.Took), x.Unit, x.Meaning, result)
	if t.frames {
		fmt.Fprintf(out, "    > %s\n", x.Request)
		if x.Answer != "" {
			fmt.Fprintf(out, "    < %s\n", x.Answer)
		}
	}
}
