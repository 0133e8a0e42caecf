package auth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/weir-edge/weir/core/replace"
)

// Entry is a user of a file, as it may be shown.
type Entry struct {
	Name string
	Kind string // argon2id, scram-sha-256, mosquitto
}

// Entries lists the users by name.
func (u *Users) Entries() []Entry {
	list := make([]Entry, 0, len(u.names))
	for name, user := range u.names {
		kind := "mosquitto"
		switch user.credential.(type) {
		case *argonHash:
			kind = "argon2id"
		case *scramKeys:
			kind = "scram-sha-256"
		}
		list = append(list, Entry{name, kind})
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// NewSecret draws a password that nobody has to remember: 130 bits, in letters and
// digits that cannot be mistaken for each other.
func NewSecret() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	b := random(26)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// CheckPassword says what is wrong with a new password.
func CheckPassword(password []byte) error {
	switch {
	case len(password) == 0:
		return errors.New("the password is empty")
	case len(password) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	case bytes.ContainsAny(password, "\x00\r\n"):
		return errors.New("the password has a line end or a NUL in it")
	}
	return nil
}

// Credential makes what the file keeps of a password: iterations are those of
// SCRAM-SHA-256; 0 is argon2id, which such a login cannot use.
func Credential(password []byte, iterations int) (string, error) {
	switch {
	case iterations == 0:
		return newArgonHash(password).String(), nil
	case iterations < minScramIterations || iterations > maxIterations:
		return "", fmt.Errorf("iterations must be from %d to %d", minScramIterations, maxIterations)
	}
	return newScramKeys(password, iterations).String(), nil
}

// The errors of an edit about a user.
var (
	ErrUserExists = errors.New("there is such a user already")
	ErrNoUser     = errors.New("there is no such user")
)

// AddUser adds a user to a file, which is made if there is none.
func AddUser(file, name, credential string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return edit(file, true, func(u *Users, lines []string) ([]string, error) {
		if u.stored(name) != "" {
			return nil, ErrUserExists
		}
		return append(lines, name+":"+credential), nil
	})
}

// SetUser gives a user another credential.
func SetUser(file, name, credential string) error {
	return edit(file, false, func(u *Users, lines []string) ([]string, error) {
		i := lineOf(lines, name)
		if i < 0 {
			return nil, ErrNoUser
		}
		lines[i] = name + ":" + credential
		return lines, nil
	})
}

// RemoveUser takes a user out of a file.
func RemoveUser(file, name string) error {
	return edit(file, false, func(u *Users, lines []string) ([]string, error) {
		i := lineOf(lines, name)
		if i < 0 {
			return nil, ErrNoUser
		}
		return slices.Delete(lines, i, i+1), nil
	})
}

func lineOf(lines []string, name string) int {
	return slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
}

// edit changes the lines of a users file and leaves those that it does not know, the
// comments, as they are. Two edits at a time do not lose one of them, and a reader
// sees the file before or after, never in between.
func edit(file string, create bool, change func(u *Users, lines []string) ([]string, error)) error {
	unlock, err := lockFolder(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer unlock()
	data, err := os.ReadFile(file)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	users, err := ParseUsers(file, data)
	if err != nil {
		return err
	}
	var lines []string
	if text := strings.TrimRight(string(data), "\r\n"); text != "" {
		lines = strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	}
	if lines, err = change(users, lines); err != nil {
		return err
	}
	return replace.Secret(file, []byte(strings.Join(lines, "\n")+"\n"))
}

// lockFolder keeps other edits in the same folder out.
func lockFolder(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
	}
	return func() { d.Close() }, nil
}
