package configs

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/access"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/console"
	"github.com/weir-edge/weir/storage"
)

// Problem is one thing that is wrong in a file, or that deserves a warning.
type Problem = strict.Problem

// Errors is everything that was found in a file that cannot be used. Its Error
// and Format are for a person at a terminal.
type Errors = strict.Errors

// Config is a whole configuration, checked. It comes from [Load], [Parse] or
// [Default].
type Config struct {
	Gateway   string // the name to show; "" leaves it to the host's
	DataDir   string
	Listeners []broker.Listener
	Auth      Auth
	Access    *access.Rules // nil: everybody may do everything
	Limits    broker.Limits
	Sys       Sys
	Storage   Storage
	Bridges   []bridge.Config
	Adapters  []Adapter
	Console   Console
	Audit     Audit
	Log       Log

	// Warnings are what deserves attention but keeps nothing from working.
	Warnings []Problem

	managed map[string]bool // bridges that were added at work

	tree strict.Tree
	used map[string]string // addresses, and for what

	usersFile string
	doors     []door
	auth      *strict.Map // the section, nil where there is none
	ruled     bool        // it has rules, good or bad
}

// Sys is the section of that name. A negative interval is never.
type Sys struct{ Interval time.Duration }

// Storage is the section of that name.
type Storage struct {
	Budget        int64
	Reserve       int64
	Promise       storage.Promise
	SpillAfter    time.Duration
	RetainedFlush time.Duration
}

// Adapter is one entry of adapters; the field of its type is set.
type Adapter struct {
	Name   string
	Modbus *modbus.Config
	Serial *serial.Config
}

// Console is the section of that name. An empty address is no console.
type Console struct {
	Address string
	Token   string // what everybody must show; "": nobody must
}

// Audit is the section of that name. Without a size there is none.
type Audit struct{ MaxSize int64 }

// Log is the section of that name.
type Log struct {
	Level  slog.Level
	Format string // auto, text or json
}

// Load reads a file, and the bridges that were added at work; "" is the default
// configuration. The error is an [*Errors].
func Load(path string) (*Config, error) {
	if path == "" {
		c := Default()
		return c, c.loadManaged("the defaults")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Errors{File: path, Problems: []Problem{unreadable(err)}}
	}
	c, err := Parse(path, data, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return c, c.loadManaged(path)
}

func unreadable(err error) Problem {
	p := Problem{Message: "the configuration file cannot be read: " + err.Error()}
	if errors.Is(err, fs.ErrNotExist) {
		p.Message, p.Hint = "there is no such configuration file", "without --config the gateway runs with its defaults"
	}
	return p
}

// Parse reads the text of a file. name is shown with the problems, and its folder
// is the one from which relative paths begin. env is as [os.LookupEnv].
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	c := &Config{used: make(map[string]string)}
	result, err := strict.Read(name, data, env, c.read)
	if err != nil {
		return nil, err
	}
	c.tree, c.Warnings = result.Tree, result.Warnings
	return c, nil
}

// Default is the configuration of an empty file: a broker on the loopback.
func Default() *Config {
	c, err := Parse("defaults", nil, func(string) (string, bool) { return "", false })
	if err != nil {
		panic("configs: the defaults are wrong: " + err.Error())
	}
	return c
}

// Show writes the configuration that holds, defaults included, as YAML, and with it
// the bridges that were added at work. Secrets are blanked.
func Show(w io.Writer, c *Config) error { return c.tree.WriteYAML(w) }

// Broker is what the broker is made from; the caller adds clock and logger.
func (c *Config) Broker() broker.Config {
	return broker.Config{
		Access:        c.Authorizer(),
		Listeners:     c.Listeners,
		Limits:        c.Limits,
		SpillAfter:    c.Storage.SpillAfter,
		RetainedFlush: c.Storage.RetainedFlush,
		SysInterval:   c.Sys.Interval,
	}
}

// Store is what the store is made from; the caller adds notification, clock and
// logger.
func (c *Config) Store() storage.Config {
	return storage.Config{
		Dir:           filepath.Join(c.DataDir, "store"),
		Promise:       c.Storage.Promise,
		Budget:        c.Storage.Budget,
		Reserve:       c.Storage.Reserve,
		MaxInflight:   c.Limits.MaxInflight,
		RetainedFlush: c.Storage.RetainedFlush,
	}
}

// ConsoleConfig is what the console is made from; the caller adds the snapshot
// and the logger.
func (c *Config) ConsoleConfig() console.Config {
	return console.Config{Address: c.Console.Address, Token: c.Console.Token}
}

// read is the schema of the whole file.
func (c *Config) read(m *strict.Map) {
	m.String("gateway", &c.Gateway)
	c.readDataDir(m)
	m.Section("limits", c.readLimits) // those of a listener are held against them
	c.readListeners(m)
	m.Map("auth", c.readAuth)
	m.Section("sys", c.readSys)
	m.Section("storage", c.readStorage)
	c.readBridges(m)
	c.readAdapters(m)
	m.Section("console", c.readConsole)
	m.Section("audit", c.readAudit)
	m.Section("log", c.readLog)
	c.checkDoors()
	c.checkAccess()
}

// Where the data is by default.
const (
	systemDataDir = "/var/lib/weir"
	userDataDir   = "weir-data"
)

// readDataDir takes a default that is below the working directory, and else
// what the file says, which is below the file's folder.
func (c *Config) readDataDir(m *strict.Map) {
	c.DataDir = userDataDir
	if os.Geteuid() == 0 {
		c.DataDir = systemDataDir
	}
	if m.Path("data_dir", &c.DataDir); c.DataDir == "" {
		m.Problem("data_dir", "data_dir must not be empty", "")
	}
}
