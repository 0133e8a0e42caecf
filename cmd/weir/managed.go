package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core/console"
	"github.com/weir-edge/weir/core/replace"
)

// managed adds, changes and removes bridges at work, for the console. What it is told
// stands in files below the data directory before it is done, so that it is there
// after a restart. A bridge of the configuration's own file is not touched: whoever
// wrote that would find it changed, or would undo the change with the next reload.
type managed struct{ *gateway }

// atWork has f done where reloads are, between two of them.
func (g *gateway) atWork(ctx context.Context, f func() (string, error)) (text string, err error) {
	done := make(chan struct{})
	select {
	case g.work <- func() { text, err = f(); close(done) }:
		<-done
		return text, err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (m managed) PutBridge(ctx context.Context, document []byte) (string, error) {
	b, warnings, err := m.cfg.ParseBridge(document)
	if err != nil {
		return "", fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	did, err := m.atWork(ctx, func() (string, error) { return m.put(b, document) })
	for _, w := range warnings {
		did += "\nwarning: " + w.Message
	}
	return did, err
}

func (m managed) put(b bridge.Config, document []byte) (string, error) {
	if err := m.mine(b.Name); err != nil {
		return "", err
	}
	file := m.cfg.ManagedFile(b.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	if err := replace.Secret(file, document); err != nil {
		return "", err
	}
	all := slices.Clone(m.cfg.Bridges)
	if i := slices.IndexFunc(all, func(other bridge.Config) bool { return other.Name == b.Name }); i >= 0 {
		all[i] = b
	} else {
		all = append(all, b)
	}
	m.cfg.SetManaged(b.Name, true, all)
	did, err := m.reloadBridges(all)
	m.log.Info("a bridge was put in at work", "changed", did, "file", file)
	return did, err
}

func (m managed) RemoveBridge(ctx context.Context, name string) (string, error) {
	return m.atWork(ctx, func() (string, error) { return m.remove(name) })
}

func (m managed) remove(name string) (string, error) {
	if err := m.mine(name); err != nil {
		return "", err
	}
	if !m.cfg.Managed(name) {
		return "", fmt.Errorf("bridge %s is %w", name, console.ErrUnknown)
	}
	file := m.cfg.ManagedFile(name)
	if err := replace.Remove(file); err != nil {
		return "", err
	}
	all := slices.DeleteFunc(slices.Clone(m.cfg.Bridges), func(b bridge.Config) bool { return b.Name == name })
	m.cfg.SetManaged(name, false, all)
	did, err := m.reloadBridges(all)
	m.log.Info("a bridge was taken out at work", "changed", did, "file", file)
	return did + ": what is owed to its rules is kept, see weir buffer ls", err
}

// mine says whether a bridge may be changed here.
func (m managed) mine(name string) error {
	there := slices.ContainsFunc(m.cfg.Bridges, func(b bridge.Config) bool { return b.Name == name })
	if there && !m.cfg.Managed(name) {
		return fmt.Errorf("bridge %s stands in %s: change it there, and reload with SIGHUP", name, m.path)
	}
	return nil
}
