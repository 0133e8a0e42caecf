package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-edge/weir/configs"
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
		Long: "Look into the store, and work on it: on the data directory, or, while the gateway runs,\n" +
			"through its console, which lets that be done from this machine only.",
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

// printJSON prints one document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// painter is a progressFunc for a bar on a terminal. Its end wipes the bar away,
// before anything else is printed.
func painter(w io.Writer, what string) (paint progressFunc, end func()) {
	bar := progress(w, 0, what)
	return func(done, total uint64) {
		if most := int64(max(total, done)); bar.GetMax64() != most {
			bar.ChangeMax64(most)
		}
		_ = bar.Set64(int64(done)) // only paints
	}, func() { _ = errors.Join(bar.Clear(), bar.Close()) }
}

// progress is a bar on a terminal, and nothing elsewhere.
func progress(w io.Writer, total int64, what string) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return progressbar.DefaultSilent(total, what)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(paintEvery))
}

// storeDir is where a tool looks without opening.
func (f *bufferFlags) storeDir() (string, error) {
	cfg, err := f.load()
	if err != nil {
		return "", err
	}
	return filepath.Abs(cfg.Store().Dir)
}
