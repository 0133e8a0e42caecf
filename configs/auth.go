package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/auth"
)

// Auth is who may connect, from the section of that name.
type Auth struct {
	auth.Rules
	Backoff auth.Backoff
}

// readUsers reads who may connect.
func (c *Config) readUsers(m *strict.Map) {
	var file string
	if m.Path("users", &file); file != "" {
		c.usersFile = file
		users, err := auth.ReadUsers(file)
		tellUsers(m, file, err)
		c.Auth.Users = users
	}
	m.Map("jwt", c.readTokens)
	m.Map("backoff", c.readLoginBackoff)
}

// tellUsers notes what is wrong with a users file, each line of it.
func tellUsers(m *strict.Map, file string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m.Problem("users", e.Error(), "")
		}
		return
	}
	var open *auth.OpenError
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		m.Problem("users", fmt.Sprintf("the file %s does not exist", file), "make it with its first user: weir user add NAME --file "+file)
	case errors.As(err, &open):
		m.Problem("users", err.Error(), fmt.Sprintf("chmod 0600 %s; or 0640, for a group that holds nobody but the gateway", file))
	default:
		m.Problem("users", err.Error(), "")
	}
}

// What to do about a clock that is not known to be right.
const (
	refuseTokens = "refuse"
	trustClock   = "trust"
)

func (c *Config) readTokens(m *strict.Map) {
	t := auth.TokenConfig{Claim: "sub", Leeway: 10 * time.Second}
	m.Files("keys", &t.KeyFiles)
	m.SecretFile("secret_file", &t.Secret)
	m.String("issuer", &t.Issuer)
	m.String("audience", &t.Audience)
	m.String("claim", &t.Claim)
	m.Duration("leeway", &t.Leeway, 0, 10*time.Minute)
	clock := refuseTokens
	strict.Choice(m, "unknown_clock", &clock, refuseTokens, trustClock)
	t.TrustClock = clock == trustClock
	if !m.Has("keys") && !m.Has("secret_file") {
		m.Problem("", "jwt has no key that could verify a token", "keys: the issuer's public keys (PEM, or a JSON Web Key Set); secret_file: the secret of HS256")
		return
	}
	if t.Audience == "" && len(t.KeyFiles) > 0 {
		m.Warn("keys", "every token that this issuer signs lets its owner in, whatever it was made for", "name the audience that tokens for this gateway have")
	}
	tokens, err := auth.NewTokens(t)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m.Problem("keys", e.Error(), "")
		}
		return
	}
	c.Auth.Tokens = tokens
}

func (c *Config) readLoginBackoff(m *strict.Map) {
	b := &c.Auth.Backoff
	*b = auth.Backoff{After: 5, Min: time.Second, Max: time.Minute}
	strict.Int(m, "after", &b.After, 1, 1000)
	m.Duration("min", &b.Min, time.Millisecond, time.Hour)
	m.Duration("max", &b.Max, time.Millisecond, 24*time.Hour)
	if b.Max < b.Min {
		m.Problem("max", fmt.Sprintf("max (%v) must not be less than min (%v)", b.Max, b.Min), "")
	}
}

// door is a listener that takes users only.
type door struct {
	m         *strict.Map
	name      string
	certified bool // clients with a certificate are let in
	clear     bool // others on the way can read what is said
}

// whoMayCome says what to do where nobody could come in.
const whoMayCome = "make a user: weir user add NAME --file users.txt, and name the file: auth: {users: users.txt}; `weir init` does both in an empty folder. " +
	"Or ask for client certificates with tls.client_ca, or write \"anonymous: true\" if everybody in that network may come in"

// checkDoors looks at what the listeners need of the section auth, which may stand
// behind them.
func (c *Config) checkDoors() {
	named := c.usersFile != "" || c.Auth.Tokens != nil // what is wrong with them is said already
	empty := c.Auth.Users != nil && c.Auth.Users.Len() == 0 && c.Auth.Tokens == nil
	for _, d := range c.doors {
		switch {
		case d.certified:
		case !named:
			d.m.Problem("address", fmt.Sprintf("nobody could connect to listener %s: it takes users only, and there are none", d.name), whoMayCome)
		case empty:
			d.m.Problem("address", fmt.Sprintf("nobody could connect to listener %s: %s has no user", d.name, c.usersFile), "weir user add NAME --file "+c.usersFile)
		case d.clear:
			d.m.Warn("address", fmt.Sprintf("passwords cross the network in the clear on listener %s", d.name), "give it a certificate: tls: {cert: server.pem, key: server.key}")
		}
	}
}

// UsersFile is the users file that a configuration names, whatever else may be wrong
// in it.
func UsersFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", &Errors{File: path, Problems: []Problem{unreadable(err)}}
	}
	c := &Config{used: make(map[string]string)}
	_, err = strict.Read(path, data, os.LookupEnv, c.read)
	switch {
	case c.usersFile != "":
		return c.usersFile, nil
	case err != nil:
		return "", err
	}
	return "", fmt.Errorf("%s names no users file: add auth: {users: users.txt}", path)
}
