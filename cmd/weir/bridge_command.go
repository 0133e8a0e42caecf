package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// What the running gateway is asked to do with its bridges.

func newBridgeAddCommand(w *where) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE", Short: "Add a bridge to a running gateway, or change it", Args: cobra.ExactArgs(1),
		Long: "Add a bridge to a running gateway, or put it in the place of the one of its name. FILE\n" +
			"(- is the standard input) is YAML, as an entry of bridges in the configuration. The\n" +
			"gateway keeps it below its data directory (bridges.d), so that it is there after a\n" +
			"restart; secrets stand in it, not in files of their own. Bridges of the configuration's\n" +
			"own file are changed there. Rules that stay keep what is owed to them.",
		RunE: func(c *cobra.Command, args []string) error {
			document, err := readDocument(c.InOrStdin(), args[0])
			if err != nil {
				return usageError{err}
			}
			return askGateway(c, w, http.MethodPost, "", nil, document)
		},
	}
}

func readDocument(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

func newBridgeRemoveCommand(w *where) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a bridge that was added at work; what is owed to its rules is kept", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return askGateway(c, w, http.MethodDelete, "/"+url.PathEscape(args[0]), nil, nil)
		},
	}
}

// commandBridge gives a bridge, or one of its rules, a command.
func commandBridge(c *cobra.Command, w *where, name, rule, verb string) error {
	return askGateway(c, w, http.MethodPost, "/"+url.PathEscape(name)+"/"+verb, url.Values{"rule": {rule}}, nil)
}

// askGateway sends the running gateway something about bridges, and prints its answer.
func askGateway(c *cobra.Command, w *where, method, path string, query url.Values, body []byte) error {
	address, err := w.console()
	if err != nil {
		return err
	}
	result, err := request(c.Context(), address, method, path+"?"+query.Encode(), body)
	if err == nil {
		fmt.Fprintln(c.OutOrStdout(), result)
	}
	return err
}

func request(ctx context.Context, address consoleAt, method, path string, body []byte) (string, error) {
	client, host := consoleClient(address)
	client.Timeout = time.Minute
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/api/v1/bridges"+path, bytes.NewReader(body))
	if err != nil {
		return "", usageError{fmt.Errorf("console address %q: %w", address, err)}
	}
	req.Header.Set("Weir-Action", "bridge")
	resp, err := client.Do(req)
	if err != nil {
		return "", unavailableError{fmt.Errorf("no gateway answers at %s: %w", address, errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", refusedBy(address, resp)
	}
	if resp.StatusCode == http.StatusUnprocessableEntity {
		return "", usageError{errors.New(answer.Error)}
	}
	if answer.Error != "" {
		return "", errors.New(answer.Error)
	}
	return answer.Result, nil
}
