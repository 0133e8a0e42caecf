package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/weir-edge/weir/core/broker/transport"
)

// Users are those of a users file. Each line is a user:
//
//	NAME:HASH
//
// Blank lines and those that begin with # are nobody. [Users] do not change once
// they are read.
type Users struct {
	names map[string]user
	// unprepared are those of SCRAM whose names are in another form, by the form in which
	// it has them.
	unprepared map[string]string
	// nobody is checked in the place of those who are not there.
	nobody *argonHash
	// iterations of most SCRAM users: those that nobody has, too.
	iterations int
}

type user struct {
	credential
	stored string // its form in the file
}

// The most that a file of users may have.
const (
	maxUsersFile = 16 << 20
	maxUsersLine = 1 << 10
)

// LineError is what is wrong in a line of a users file. It shows nothing of it but
// the name.
type LineError struct {
	File string
	Line int
	Text string
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// ReadUsers reads a users file, which must not be open to others.
func ReadUsers(file string) (*Users, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	if err := checkMode(file, info); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	return ParseUsers(file, data)
}

// OpenError is a file with secrets that others may read or change.
type OpenError struct {
	File string
	Mode fs.FileMode
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("others may read or change %s (mode %04o)", e.File, e.Mode)
}

// checkMode refuses a file that others may read, or change, or that is no file.
func checkMode(file string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("%s is no regular file", file)
	case info.Size() > maxUsersFile:
		return fmt.Errorf("%s is too large", file)
	case mode.Perm()&0o027 != 0:
		return &OpenError{File: file, Mode: mode.Perm()}
	}
	return nil
}

// ParseUsers reads the text of a users file. The error joins a [LineError] for each
// line that is wrong.
func ParseUsers(file string, data []byte) (*Users, error) {
	u := &Users{names: make(map[string]user), unprepared: make(map[string]string)}
	first := make(map[string]int)
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		name, c, err := parseLine(strings.TrimRight(string(line), "\r\n"))
		switch {
		case err != nil:
			errs = append(errs, &LineError{file, number, err.Error()})
		case c == nil:
		case first[name] > 0:
			errs = append(errs, &LineError{file, number, fmt.Sprintf("the user %q stands in line %d already", name, first[name])})
		default:
			u.names[name], first[name] = user{c, c.String()}, number
			u.noteForm(name, c)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	u.nobody, u.iterations = u.stranger()
	return u, nil
}

// parseLine reads one line; without a credential it is nobody.
func parseLine(line string) (name string, c credential, err error) {
	if strings.TrimSpace(line) == "" || line[0] == '#' {
		return "", nil, nil
	}
	if len(line) > maxUsersLine {
		return "", nil, errors.New("the line is too long")
	}
	name, hash, found := strings.Cut(line, ":")
	if !found {
		return "", nil, errors.New("the line must be NAME:HASH")
	}
	if err := CheckName(name); err != nil {
		return "", nil, err
	}
	c, err = parseCredential(hash)
	if err != nil {
		return "", nil, fmt.Errorf("user %q: %w", name, err)
	}
	return name, c, nil
}

// noteForm: a client of SCRAM may call the user otherwise than the file does.
func (u *Users) noteForm(name string, c credential) {
	if _, ok := c.(*scramKeys); !ok {
		return
	}
	if p := prepared(name); p != name {
		u.unprepared[p] = name
	}
}

// called is the name in the file of whom a client of SCRAM calls so.
func (u *Users) called(name string) string {
	p := prepared(name)
	switch {
	case u.stored(name) != "":
		return name
	case u.stored(p) != "":
		return p
	case u != nil && u.unprepared[p] != "":
		return u.unprepared[p]
	}
	return name
}

// CheckName says what is wrong with the name of a user.
func CheckName(name string) error {
	switch err := transport.CheckIdentity(name, false); {
	case err != nil:
		return fmt.Errorf("the name %q %w", name, err)
	case name != strings.TrimSpace(name):
		return fmt.Errorf("the name %q begins or ends with a space", name)
	case strings.Contains(name, ":"):
		return fmt.Errorf("the name %q has a colon, which ends names in this file", name)
	case name[0] == '#':
		return fmt.Errorf("the name %q begins like a comment", name)
	}
	return nil
}

// stranger makes what is checked for users that are not there: as costly as what
// most of those who are there have.
func (u *Users) stranger() (*argonHash, int) {
	nobody := &argonHash{memory: argonMemory, passes: argonPasses, threads: 1, salt: random(saltSize), key: random(keySize)}
	costs, iterations := make(map[[3]uint32]int), make(map[int]int)
	for _, c := range u.names {
		switch c := c.credential.(type) {
		case *argonHash:
			cost := [3]uint32{c.memory, c.passes, uint32(c.threads)}
			if costs[cost]++; costs[cost] > costs[[3]uint32{nobody.memory, nobody.passes, uint32(nobody.threads)}] {
				nobody.memory, nobody.passes, nobody.threads = c.memory, c.passes, c.threads
			}
		case *scramKeys:
			iterations[c.iterations]++
		}
	}
	most := ScramIterations
	for i, n := range iterations {
		if n > iterations[most] || n == iterations[most] && i > most {
			most = i
		}
	}
	return nobody, most
}

// Len is how many users there are.
func (u *Users) Len() int {
	if u == nil {
		return 0
	}
	return len(u.names)
}

// matches says whether there is such a user with such a password. It costs the same
// when there is no such user.
func (u *Users) matches(name string, password []byte) bool {
	c, known := u.names[name]
	if !known {
		c.credential = u.nobody
	}
	return c.matches(password) && known
}

// stored is what the file has of a user; "" is no such user.
func (u *Users) stored(name string) string {
	if u == nil {
		return ""
	}
	return u.names[name].stored
}
