package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs/strict"
)

// Bridges that were added at work, over the console, stand in files of their own
// below the data directory: the file of the configuration belongs to whoever wrote it,
// with its comments, and the gateway may not even be allowed to write there. Each
// holds one bridge, as an entry of bridges does; no name is in both places.
const managedDir = "bridges.d"

// ManagedFile is where the bridge of that name stands, if it was added at work.
func (c *Config) ManagedFile(name string) string {
	return filepath.Join(c.DataDir, managedDir, fileName(name)+".yaml")
}

// fileName keeps names apart, whatever they contain.
func fileName(name string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F", "\\", "%5C", "\x00", "%00").Replace(name)
}

// Managed says whether a bridge was added at work.
func (c *Config) Managed(name string) bool { return c.managed[name] }

// FileAtWork is where a bridge stands that was added at work; "" for any other.
func (c *Config) FileAtWork(name string) string {
	if !c.managed[name] {
		return ""
	}
	return c.ManagedFile(name)
}

// FilesAtWork are those of all of them.
func (c *Config) FilesAtWork() (files []string) {
	for _, b := range c.Bridges {
		if file := c.FileAtWork(b.Name); file != "" {
			files = append(files, file)
		}
	}
	return files
}

// SetManaged makes the bridges of the configuration what they are after one was added
// (or changed), or removed.
func (c *Config) SetManaged(name string, there bool, all []bridge.Config) {
	delete(c.managed, name)
	if there {
		c.managed[name] = true
	}
	c.Bridges = all
}

// TakeBridges makes the bridges those of another configuration.
func (c *Config) TakeBridges(from *Config) { c.Bridges, c.managed = from.Bridges, from.managed }

// ParseBridge reads a bridge that is to be added at work. What it needs stands in it:
// it may name certificates, but neither variables nor files with secrets, which whoever
// may add a bridge could else have sent to a broker of his own.
func (c *Config) ParseBridge(data []byte) (bridge.Config, []Problem, error) {
	b, read, err := parseBridge(c.ManagedFile("new"), data)
	var wrong *Errors
	if errors.As(err, &wrong) {
		wrong.File = "the bridge" // which has no file yet
	}
	return b, read.Warnings, err
}

func parseBridge(file string, data []byte) (b bridge.Config, read strict.Result, err error) {
	read, err = strict.Read(file, data, nil, func(m *strict.Map) { b = readBridge(m, new(strict.Names)) })
	return b, read, err
}

// loadManaged adds the bridges that were added at work before.
func (c *Config) loadManaged(main string) error {
	c.managed = make(map[string]bool)
	dir := filepath.Join(c.DataDir, managedDir)
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission): // a tool of somebody else's
		c.Warnings = append(c.Warnings, Problem{Warning: true, Message: dir + " cannot be read: bridges that were added at work are left out"})
		return nil
	case err != nil:
		return &Errors{File: dir, Problems: []Problem{{Message: "cannot be read: " + err.Error()}}}
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".yaml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := c.loadBridge(filepath.Join(dir, e.Name()), main); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) loadBridge(file, main string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return &Errors{File: file, Problems: []Problem{{Message: "cannot be read: " + err.Error()}}}
	}
	b, read, err := parseBridge(file, data)
	if err != nil {
		return err
	}
	for _, other := range c.Bridges {
		if other.Name == b.Name {
			return &Errors{File: file, Problems: []Problem{{
				Message: fmt.Sprintf("bridge %s is in %s, too", b.Name, main), Hint: "remove one of them, or give it another name",
			}}}
		}
	}
	c.Bridges = append(c.Bridges, b)
	c.managed[b.Name] = true
	c.tree.Append("bridges", read.Tree, "added at work: "+file)
	for _, w := range read.Warnings {
		w.Message = file + ": " + w.Message
		c.Warnings = append(c.Warnings, w)
	}
	return nil
}
