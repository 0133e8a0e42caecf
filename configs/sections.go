package configs

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/console"
	"github.com/weir-edge/weir/storage"
)

// Sizes and times in which limits are given.
const (
	kib = int64(1) << 10
	mib = kib << 10
	gib = mib << 10
	tib = gib << 10

	longest = 100 * 365 * strict.Day
)

func (c *Config) readLimits(m *strict.Map) {
	l := &c.Limits
	*l = broker.Limits{MaxConnections: 10_000, ReconnectRate: 10, MaxInflight: 64, ConnectTimeout: 5 * time.Second}
	packet := 2 * mib
	m.Size("max_packet", &packet, kib, 256*mib)
	l.MaxPacket = int(packet)
	strict.Int(m, "max_connections", &l.MaxConnections, 1, 1_000_000)
	strict.Int(m, "max_connections_per_address", &l.MaxPerAddress, 0, 1_000_000)
	strict.Int(m, "max_sessions", &l.MaxSessions, 0, 10_000_000)
	strict.Int(m, "max_sessions_per_user", &l.MaxSessionsPerUser, 0, 10_000_000)
	strict.Int(m, "max_subscriptions", &l.MaxAllSubscriptions, 0, 100_000_000)
	strict.Int(m, "max_subscriptions_per_session", &l.MaxSubscriptions, 0, 1_000_000)
	m.Size("max_retained_bytes", &l.MaxRetainedBytes, 0, tib)
	m.Size("max_will_bytes", &l.MaxWillBytes, 0, tib)
	strict.Int(m, "publish_rate", &l.PublishRate, 0, 1_000_000)
	strict.Int(m, "reconnect_rate", &l.ReconnectRate, 0, 1_000_000)
	strict.Int(m, "max_inflight", &l.MaxInflight, 1, math.MaxUint16)
	m.Size("max_queued_bytes", &l.MaxQueuedBytes, mib, tib)
	m.Size("max_pending_bytes", &l.MaxPendingBytes, mib, tib)
	strict.Int(m, "max_queued_messages_per_client", &l.MaxClientMessages, 0, 10_000_000)
	perClient := int64(0)
	m.Size("max_queued_bytes_per_client", &perClient, 0, gib)
	l.MaxClientBytes = int(perClient)
	m.Duration("connect_timeout", &l.ConnectTimeout, 100*time.Millisecond, time.Hour)
}

func (c *Config) readSys(m *strict.Map) {
	c.Sys.Interval = 10 * time.Second
	m.Duration("interval", &c.Sys.Interval, 0, time.Hour)
	switch {
	case c.Sys.Interval == 0:
		c.Sys.Interval = -1
	case c.Sys.Interval < time.Second:
		m.Problem("interval", "interval ("+c.Sys.Interval.String()+") must be at least 1s, or 0s for never", "")
	}
}

func (c *Config) readStorage(m *strict.Map) {
	s := &c.Storage
	*s = Storage{Budget: 2 * gib, Reserve: 256 * mib, Promise: storage.Synced, SpillAfter: 250 * time.Millisecond, RetainedFlush: 10 * time.Second}
	m.Size("budget", &s.Budget, 64*mib, 1024*tib)
	m.Size("reserve", &s.Reserve, 0, 1024*tib)
	strict.Choice(m, "promise", &s.Promise, storage.Synced, storage.Written, storage.Memory)
	m.Duration("spill_after", &s.SpillAfter, time.Millisecond, time.Hour)
	m.Duration("retained_flush", &s.RetainedFlush, time.Millisecond, time.Hour)
	if s.Promise != storage.Synced {
		m.Warn("promise", "what is acknowledged may be lost in a power cut (promise: "+string(s.Promise)+")", "the default, synced, keeps it")
	}
}

// minToken is the least that cannot be guessed by trying.
const minToken = 16

// off, in the place of an address, is no console.
const off = "off"

func (c *Config) readConsole(m *strict.Map) {
	c.Console.Address = console.DefaultAddress
	m.String("address", &c.Console.Address)
	m.SecretFile("token_file", &c.Console.Token)
	if c.Console.Address == off {
		c.Console.Address = ""
		return
	}
	c.claimAddress(m, c.Console.Address, "the console")
	const make = "openssl rand -hex 24 > console.token; chmod 0600 console.token; and here: token_file: console.token"
	switch n := len(c.Console.Token); {
	case m.Has("token_file") && n > 0 && n < minToken:
		m.Problem("token_file", fmt.Sprintf("the token has %d characters and must have at least %d", n, minToken), make)
	case !m.Has("token_file") && !isLocal(c.Console.Address):
		m.Problem("address", "everybody who reaches this address could see and command the gateway: the console needs a token there", "listen on 127.0.0.1 or on a unix socket, or: "+make)
	}
}

func (c *Config) readAudit(m *strict.Map) {
	c.Audit.MaxSize = 8 * mib
	if m.Size("max_size", &c.Audit.MaxSize, 0, tib); c.Audit.MaxSize > 0 && c.Audit.MaxSize < 64*kib {
		m.Problem("max_size", "max_size is too small for an audit", "64KiB or more, or 0 for none")
	}
}

func (c *Config) readLog(m *strict.Map) {
	level := "info"
	strict.Choice(m, "level", &level, "debug", "info", "warn", "error")
	c.Log.Level = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[level]
	c.Log.Format = "auto"
	strict.Choice(m, "format", &c.Log.Format, "auto", "text", "json")
}
