package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

// bufferFlags are those of all buffer commands.
type bufferFlags struct {
	config string
	data   string
	json   bool
}

func newBufferCommand() *cobra.Command {
	var f bufferFlags
	c := &cobra.Command{
		Use:   "buffer",
		Short: "Look into the store, and work on it: what is owed to whom",
		Long: "Look into the store, and work on it. `status` and `ls` ask the gateway when it runs.\n" +
			"The other commands work on the data directory and need the gateway to be stopped.",
	}
	p := c.PersistentFlags()
	p.StringVar(&f.config, "config", "", "configuration file of the gateway, to find its store")
	p.StringVar(&f.data, "data-dir", "", "data directory, instead of the configuration's")
	p.BoolVar(&f.json, "json", false, "print JSON")
	c.AddCommand(newBufferStatusCommand(&f), newBufferLsCommand(&f), newBufferPeekCommand(&f),
		newBufferExportCommand(&f), newBufferImportCommand(&f), newBufferVerifyCommand(&f),
		newBufferQuarantineCommand(&f), newBufferDropCommand(&f))
	return c
}

// load reads the configuration, with the data directory of the flags.
func (f *bufferFlags) load() (*configs.Config, error) {
	cfg, err := configs.Load(f.config)
	if err != nil {
		return nil, configError{err}
	}
	if f.data != "" {
		cfg.DataDir = f.data
	}
	return cfg, nil
}

// withStore opens the store of a gateway that does not run, for as long as work runs.
func (f *bufferFlags) withStore(work func(*storage.Tool) error) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	sc := cfg.Store()
	sc.Clock, sc.Logger = core.NewClock(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sc.Clock.SetSynced(clockKnown())
	t, err := storage.OpenTool(sc)
	switch {
	case errors.Is(err, storage.ErrInUse):
		return unavailableError{fmt.Errorf("%w\nstop the gateway first; `weir buffer status` and `weir buffer ls` work while it runs", err)}
	case err != nil:
		return unavailableError{fmt.Errorf("open the store: %w", err)}
	}
	return errors.Join(work(t), t.Close())
}

// owner finds a receiver by its name.
func owner(t *storage.Tool, name string) (storage.Owner, error) {
	owners := t.Owners()
	if i := slices.IndexFunc(owners, func(o storage.Owner) bool { return o.Name == name }); i >= 0 {
		return owners[i], nil
	}
	return storage.Owner{}, usageError{fmt.Errorf("nothing is owed to %q; `weir buffer ls` lists whom the store knows", name)}
}

// printJSON prints one document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress is a bar on a terminal, and nothing elsewhere.
func progress(w io.Writer, total int64, what string) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return progressbar.DefaultSilent(total, what)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
}

// storeDir is where a tool looks without opening.
func (f *bufferFlags) storeDir() (string, error) {
	cfg, err := f.load()
	if err != nil {
		return "", err
	}
	return filepath.Abs(cfg.Store().Dir)
}
