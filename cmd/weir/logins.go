package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core/auth"
)

// openAuth makes the authenticator. It is there without users, too, since a reload
// may bring some.
func (g *gateway) openAuth() {
	secret, err := loginSecret(g.cfg.DataDir)
	if err != nil {
		g.log.Warn("the secret behind logins is not kept: another one is used until the next start", "error", err)
	}
	g.auth = auth.New(auth.Config{Rules: g.cfg.Auth.Rules, Backoff: g.cfg.Auth.Backoff, Clock: g.clock, Secret: secret})
}

// loginSecret is what SCRAM shows of users that do not exist is made up from. With
// another one after each start it could be told from what is shown of the others.
func loginSecret(dataDir string) ([]byte, error) {
	file := filepath.Join(dataDir, "login.key")
	secret, err := os.ReadFile(file)
	switch {
	case err == nil && len(secret) == sha256.Size:
		return secret, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	secret = make([]byte, sha256.Size)
	rand.Read(secret) // never fails
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	return secret, os.WriteFile(file, secret, 0o600)
}

// closeDataDir takes what others may do there away from the folder of the data.
func (g *gateway) closeDataDir() {
	info, err := os.Stat(g.cfg.DataDir)
	if err != nil || info.Mode().Perm()&0o007 == 0 {
		return
	}
	if err := os.Chmod(g.cfg.DataDir, info.Mode().Perm()&^0o007); err != nil {
		g.log.Warn("others may look into the folder of the data", "folder", g.cfg.DataDir, "error", err)
		return
	}
	g.log.Warn("others could look into the folder of the data: now they cannot", "folder", g.cfg.DataDir)
}

// reloadAuth puts other users and keys in force.
func (g *gateway) reloadAuth(next configs.Auth) {
	g.cfg.Auth.Rules = next.Rules
	g.auth.Replace(next.Rules)
}

// describeLogins says who may connect.
func describeLogins(users, keys int) string {
	switch {
	case keys == 0:
		return several(users, "user")
	case users == 0:
		return "tokens of " + several(keys, "key")
	}
	return several(users, "user") + ", and tokens of " + several(keys, "key")
}

// several counts things by their noun.
func several(n int, noun string) string { return count(n) + " " + noun + choose(n == 1, "", "s") }
