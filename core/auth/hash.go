package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// credential is what the file has of a user: enough to know the password when it is
// said, not enough to say it.
type credential interface {
	// matches says whether password is the user's, in a time that does not depend on
	// it.
	matches(password []byte) bool
	// String is the form in the file.
	String() string
}

// argonHash is Weir's own form, as argon2's own tools write it:
//
//	$argon2id$v=19$m=7168,t=5,p=1$SALT$KEY
type argonHash struct {
	memory    uint32 // KiB
	passes    uint32
	threads   uint8
	salt, key []byte
}

// What a new hash costs. Of the settings that OWASP holds for equally strong these
// take the least memory.
const (
	argonMemory = 7 << 10
	argonPasses = 5
	saltSize    = 16
	keySize     = 32
)

// The most that a file may ask of this machine for one login.
const (
	maxArgonMemory  = 64 << 10
	maxArgonPasses  = 16
	maxArgonThreads = 4
	maxIterations   = 2_000_000
)

func newArgonHash(password []byte) *argonHash {
	h := &argonHash{memory: argonMemory, passes: argonPasses, threads: 1, salt: random(saltSize)}
	h.key = h.derive(password, keySize)
	return h
}

func (h *argonHash) derive(password []byte, size int) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(size))
}

func (h *argonHash) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

func (h *argonHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// mosquittoHash is one of mosquitto_passwd's forms:
//
//	$6$SALT$KEY               SHA-512 of password and salt
//	$7$ITERATIONS$SALT$KEY    PBKDF2 with HMAC-SHA-512
type mosquittoHash struct {
	iterations int // 0: the first form
	salt, key  []byte
}

func (h *mosquittoHash) matches(password []byte) bool {
	var key []byte
	if h.iterations == 0 {
		sum := sha512.Sum512(append(append([]byte(nil), password...), h.salt...))
		key = sum[:]
	} else {
		key, _ = pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.key)) // the length is one that it can make
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

func (h *mosquittoHash) String() string {
	if h.iterations == 0 {
		return "$6$" + base64.StdEncoding.EncodeToString(h.salt) + "$" + base64.StdEncoding.EncodeToString(h.key)
	}
	return fmt.Sprintf("$7$%d$%s$%s", h.iterations, base64.StdEncoding.EncodeToString(h.salt), base64.StdEncoding.EncodeToString(h.key))
}

// parseCredential reads any of the forms. The errors do not quote it.
func parseCredential(text string) (credential, error) {
	parts := strings.Split(text, "$")
	if len(parts) < 3 || parts[0] != "" {
		return nil, errors.New("what follows the name is not a hash of a password: the password itself must not stand here")
	}
	switch fields := parts[2:]; parts[1] {
	case "argon2id":
		return parseArgon(fields)
	case "6", "7":
		return parseMosquitto(parts[1], fields)
	case "scram-sha-256":
		return parseScram(fields)
	case "argon2i", "argon2d":
		return nil, errors.New("of the kinds of argon2 only argon2id is taken")
	}
	return nil, errors.New("the hash is of an unknown kind: argon2id, scram-sha-256, and mosquitto_passwd's 6 and 7 are known")
}

func parseArgon(fields []string) (credential, error) {
	if len(fields) != 4 || fields[0] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, fmt.Errorf("the hash must have the form $argon2id$v=%d$m=…,t=…,p=…$salt$key", argon2.Version)
	}
	h := new(argonHash)
	settings := strings.Split(fields[1], ",")
	if len(settings) != 3 {
		return nil, errors.New("the hash must say m=…,t=…,p=…")
	}
	var errs [5]error
	var memory, passes, threads int
	memory, errs[0] = setting(settings[0], "m", 8, maxArgonMemory)
	passes, errs[1] = setting(settings[1], "t", 1, maxArgonPasses)
	threads, errs[2] = setting(settings[2], "p", 1, maxArgonThreads)
	h.memory, h.passes, h.threads = uint32(memory), uint32(passes), uint8(threads)
	h.salt, errs[3] = decode(base64.RawStdEncoding, "salt", fields[2], 8, 64)
	h.key, errs[4] = decode(base64.RawStdEncoding, "key", fields[3], 16, 64)
	return h, firstOf(errs[:])
}

func parseMosquitto(kind string, fields []string) (credential, error) {
	h := new(mosquittoHash)
	var errs [3]error
	if kind == "7" {
		if len(fields) != 3 {
			return nil, errors.New("the hash must have the form $7$iterations$salt$key")
		}
		h.iterations, errs[0] = setting("i="+fields[0], "i", 1, maxIterations)
		fields = fields[1:]
	}
	if len(fields) != 2 {
		return nil, errors.New("the hash must have the form $6$salt$key")
	}
	h.salt, errs[1] = decode(base64.StdEncoding, "salt", fields[0], 8, 64)
	h.key, errs[2] = decode(base64.StdEncoding, "key", fields[1], sha512.Size, sha512.Size)
	return h, firstOf(errs[:])
}

// setting reads "name=n".
func setting(text, name string, lo, hi int) (int, error) {
	value, ok := strings.CutPrefix(text, name+"=")
	n, err := strconv.Atoi(value)
	if !ok || err != nil || n < lo || n > hi {
		return 0, fmt.Errorf("the hash's %s must be from %d to %d", name, lo, hi)
	}
	return n, nil
}

func decode(encoding *base64.Encoding, what, text string, lo, hi int) ([]byte, error) {
	b, err := encoding.Strict().DecodeString(text)
	if err != nil || len(b) < lo || len(b) > hi {
		return nil, fmt.Errorf("the hash's %s must be base64 of %d to %d bytes", what, lo, hi)
	}
	return b, nil
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
