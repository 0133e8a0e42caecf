package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// MethodScram is the name of the enhanced authentication.
const MethodScram = "SCRAM-SHA-256"

// ScramIterations is what a new credential takes. The client has to do them, and
// some clients are small.
const ScramIterations = 15_000

// The fewest that a credential may have (RFC 7677).
const minScramIterations = 4096

// scramKeys are what a server keeps for SCRAM-SHA-256 (RFC 5802, 7677):
//
//	$scram-sha-256$i=15000$SALT$STOREDKEY$SERVERKEY
//
// A password that is said in the clear can be checked with them, too.
type scramKeys struct {
	iterations        int
	salt              []byte
	stored, serverKey []byte
}

func newScramKeys(password []byte, iterations int) *scramKeys {
	k := &scramKeys{iterations: iterations, salt: random(saltSize)}
	k.stored, k.serverKey = k.derive(prepared(string(password)))
	return k
}

// prepared is the form in which SCRAM has names and passwords (SASLprep, RFC 4013): each
// kind of space is a space, a letter with an accent is one character, what is not seen is
// not there. Clients do that before they use them. What SASLprep does not allow, such as
// what is younger than Unicode 3.2, is as it comes: some clients do without SASLprep.
func prepared(text string) string {
	if p, err := stringprep.SASLprep.Prepare(text); err == nil && p != "" {
		return p
	}
	return text
}

// derive makes the keys of a password.
func (k *scramKeys) derive(password string) (stored, server []byte) {
	salted, err := pbkdf2.Key(sha256.New, password, k.salt, k.iterations, sha256.Size)
	if err != nil {
		panic("auth: a key of 32 bytes cannot be made: " + err.Error())
	}
	client := sha256.Sum256(mac(salted, "Client Key"))
	return client[:], mac(salted, "Server Key")
}

// matches: keys from before passwords were prepared are those of the password as it comes.
func (k *scramKeys) matches(password []byte) bool {
	raw := string(password)
	p := prepared(raw)
	return k.of(p) || p != raw && k.of(raw)
}

func (k *scramKeys) of(password string) bool {
	stored, _ := k.derive(password)
	return subtle.ConstantTimeCompare(stored, k.stored) == 1
}

func (k *scramKeys) String() string {
	return fmt.Sprintf("$scram-sha-256$i=%d$%s$%s$%s", k.iterations,
		base64.RawStdEncoding.EncodeToString(k.salt), base64.RawStdEncoding.EncodeToString(k.stored), base64.RawStdEncoding.EncodeToString(k.serverKey))
}

func parseScram(fields []string) (credential, error) {
	if len(fields) != 4 {
		return nil, errors.New("the hash must have the form $scram-sha-256$i=…$salt$storedkey$serverkey")
	}
	k := new(scramKeys)
	var errs [4]error
	k.iterations, errs[0] = setting(fields[0], "i", minScramIterations, maxIterations)
	k.salt, errs[1] = decode(base64.RawStdEncoding, "salt", fields[1], 8, 64)
	k.stored, errs[2] = decode(base64.RawStdEncoding, "stored key", fields[2], sha256.Size, sha256.Size)
	k.serverKey, errs[3] = decode(base64.RawStdEncoding, "server key", fields[3], sha256.Size, sha256.Size)
	return k, firstOf(errs[:])
}

// scram is an exchange on the server's side, after its first message:
//
//	client   n,,n=USER,r=NONCE
//	server   r=NONCE+OURS,s=SALT,i=ITERATIONS
//	client   c=biws,r=NONCE+OURS,p=PROOF
//	server   v=SIGNATURE
type scram struct {
	user  string
	keys  *scramKeys
	known bool // the keys are the user's, not made up

	header string // what the client said about channel binding
	nonce  string // of both
	said   string // the first messages of both, which the proof covers
}

var errScram = errors.New("the message of SCRAM is not well formed")

// maxScram bounds a message of a client.
const maxScram = 4 << 10

// beginScram reads the client's first message and makes the server's. secret makes
// up the salt of a user that does not exist.
func beginScram(users *Users, secret, message []byte) (s *scram, challenge []byte, err error) {
	header, bare, err := cutHeader(message)
	if err != nil {
		return nil, nil, err
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return nil, nil, errScram
	}
	name, ok1 := strings.CutPrefix(fields[0], "n=")
	nonce, ok2 := strings.CutPrefix(fields[1], "r=")
	name, ok3 := unescapeName(name)
	if !ok1 || !ok2 || !ok3 || !validNonce(nonce) || CheckName(name) != nil { // it is kept among those who have failed
		return nil, nil, errScram
	}
	name = users.called(name)
	s = &scram{user: name, header: header, nonce: nonce + base64.RawStdEncoding.EncodeToString(random(18))}
	s.keys, s.known = users.scram(name, secret)
	challenge = fmt.Appendf(nil, "r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.keys.salt), s.keys.iterations)
	s.said = bare + "," + string(challenge)
	return s, challenge, nil
}

// cutHeader takes the first part off the client's first message. Channel binding is
// not offered, and nobody may act for another.
func cutHeader(message []byte) (header, bare string, err error) {
	if len(message) > maxScram || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return "", "", errScram
	}
	text := string(message)
	for _, h := range []string{"n,,", "y,,"} {
		if bare, ok := strings.CutPrefix(text, h); ok {
			return h, bare, nil
		}
	}
	return "", "", errScram
}

// unescapeName reads a name in which , and = are written =2C and =3D.
func unescapeName(name string) (string, bool) {
	rest := strings.NewReplacer("=2C", "", "=3D", "").Replace(name)
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name), name != "" && !strings.Contains(rest, "=")
}

func validNonce(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e || r == ',' }) < 0
}

// finish reads the client's proof and, where it is one, makes the server's.
func (s *scram) finish(message []byte) (proof []byte, ok bool) {
	if len(message) > maxScram {
		return nil, false
	}
	without, encoded, found := strings.Cut(string(message), ",p=")
	claim, err := base64.StdEncoding.Strict().DecodeString(encoded)
	expected := "c=" + base64.StdEncoding.EncodeToString([]byte(s.header)) + ",r=" + s.nonce
	if !found || err != nil || len(claim) != sha256.Size || without != expected {
		return nil, false
	}
	all := s.said + "," + without
	key := sha256.Sum256(xor(claim, mac(s.keys.stored, all)))
	if subtle.ConstantTimeCompare(key[:], s.keys.stored) != 1 || !s.known {
		return nil, false
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(s.keys.serverKey, all))), true
}

// scram is what the file has of a user, or something that looks the same: the same
// each time, so that nobody can tell which salts are made up. It is made up for all,
// since that, too, takes a moment.
func (u *Users) scram(name string, secret []byte) (k *scramKeys, known bool) {
	madeUp := &scramKeys{
		iterations: u.iterations,
		salt:       mac(secret, "salt\x00"+name)[:saltSize],
		stored:     mac(secret, "stored\x00"+name),
		serverKey:  mac(secret, "server\x00"+name),
	}
	if k, known = u.names[name].credential.(*scramKeys); known {
		return k, true
	}
	return madeUp, false
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	subtle.XORBytes(out, a, b)
	return out
}
