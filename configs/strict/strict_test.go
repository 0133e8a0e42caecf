package strict

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is what the schema of these tests reads: one key of each kind.
type sample struct {
	Name     string
	Password string
	On       bool
	Level    string
	Count    uint16
	Ratio    float64
	Wait     time.Duration
	Room     int64
	Tags     []string
	URLs     []string
	Inner    struct{ A, B string }
	Items    []item
	Marks    []item
}

type item struct {
	Name string
	Unit int
}

// newSample has the defaults.
func newSample() *sample { return &sample{Level: "low", Count: 7, Wait: time.Second, Room: 1 << 20} }

// read is the schema.
func (s *sample) read(m *Map) {
	m.String("name", &s.Name)
	m.Secret("password", &s.Password)
	m.Bool("on", &s.On)
	Choice(m, "level", &s.Level, "low", "middle", "high")
	Int(m, "count", &s.Count, 1, 1000)
	m.Float("ratio", &s.Ratio, 0, 1)
	m.Duration("wait", &s.Wait, time.Millisecond, time.Hour)
	m.Size("room", &s.Room, 1<<10, 1<<30)
	m.Strings("tags", &s.Tags)
	m.OneOrMore("url", &s.URLs)
	m.Map("inner", func(m *Map) {
		m.Require("a")
		m.String("a", &s.Inner.A)
		m.String("b", &s.Inner.B)
	})
	var names Names
	m.List("items", func(m *Map) {
		var i item
		m.Require("name")
		m.String("name", &i.Name)
		m.Called("item " + i.Name)
		m.Unique("name", i.Name, &names)
		Int(m, "unit", &i.Unit, 0, 255)
		s.Items = append(s.Items, i)
	})
	m.ShortList("marks", "name", func(m *Map) {
		var i item
		m.String("name", &i.Name)
		Int(m, "unit", &i.Unit, 0, 255)
		s.Marks = append(s.Marks, i)
	})
}

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"HOST": "pump", "NUMBER": "9", "SECRET": "hunter2", "EMPTY": ""}[name]
	return v, ok
}

func readSample(text string) (*sample, Result, error) {
	s := newSample()
	result, err := Read("t.yaml", []byte(text), testEnv, s.read)
	return s, result, err
}

func TestValues(t *testing.T) {
	with := func(change func(*sample)) *sample {
		s := newSample()
		change(s)
		return s
	}
	tests := []struct {
		name, text string
		want       *sample
	}{
		{"empty", "", newSample()},
		{"comments only", "# nothing\n\n", newSample()},
		{"null", "~\n", newSample()},
		{"keys without values", "name:\nlevel: ~\ncount:\n", newSample()},
		{"byte order mark", "\ufeffname: x\n", with(func(s *sample) { s.Name = "x" })},
		{"carriage returns", "name: x\r\non: true\r\n", with(func(s *sample) { s.Name, s.On = "x", true })},
		{"number as text", "name: 0123\n", with(func(s *sample) { s.Name = "0123" })},
		{"truth as text", "name: true\n", with(func(s *sample) { s.Name = "true" })},
		{"hexadecimal", "count: 0x10\n", with(func(s *sample) { s.Count = 16 })},
		{"quoted number", "count: '16'\n", with(func(s *sample) { s.Count = 16 })},
		{"float", "ratio: 2.5e-1\n", with(func(s *sample) { s.Ratio = 0.25 })},
		{"duration", "wait: 1m30s\n", with(func(s *sample) { s.Wait = 90 * time.Second })},
		{"size", "room: 1.5MiB\n", with(func(s *sample) { s.Room = 3 << 19 })},
		{"list", "tags: [a, 'b', 3]\n", with(func(s *sample) { s.Tags = []string{"a", "b", "3"} })},
		{"one", "url: a\n", with(func(s *sample) { s.URLs = []string{"a"} })},
		{"more", "url: [a, b]\n", with(func(s *sample) { s.URLs = []string{"a", "b"} })},
		{"section", "inner: {a: 1, b: 2}\n", with(func(s *sample) { s.Inner.A, s.Inner.B = "1", "2" })},
		{"sections", "items:\n- name: a\n  unit: 1\n- {name: b}\n", with(func(s *sample) { s.Items = []item{{"a", 1}, {"b", 0}} })},
		{"short sections", "marks: [a, {name: b, unit: 2}]\n", with(func(s *sample) { s.Marks = []item{{"a", 0}, {"b", 2}} })},
		{"environment", "name: the ${HOST} no. ${NUMBER}\ncount: ${NUMBER}\n", with(func(s *sample) { s.Name, s.Count = "the pump no. 9", 9 })},
		{"empty variable", "name: a${EMPTY}b\n", with(func(s *sample) { s.Name = "ab" })},
		{"no variable", "name: $${HOST} $HOST $\n", with(func(s *sample) { s.Name = "${HOST} $HOST $" })},
		{"alias", "items: [&i {name: a, unit: 5}]\nmarks: [*i]\n", with(func(s *sample) { s.Items, s.Marks = []item{{"a", 5}}, []item{{"a", 5}} })},
		{"merge", "items: [&i {name: a, unit: 5}, {<<: *i, name: b}]\n", with(func(s *sample) { s.Items = []item{{"a", 5}, {"b", 5}} })},
		{"merge behind", "items: [&i {name: a, unit: 5}, {name: b, <<: *i}]\n", with(func(s *sample) { s.Items = []item{{"a", 5}, {"b", 5}} })},
		{"merge of two", "items: [&i {name: a, unit: 5}, &j {name: b}, {<<: [*j, *i], name: c}]\n", with(func(s *sample) { s.Items = []item{{"a", 5}, {"b", 0}, {"c", 5}} })},
		{"secret", "password: ${SECRET}\n", with(func(s *sample) { s.Password = "hunter2" })},
		{"block text", "name: |\n  two\n  lines\n", with(func(s *sample) { s.Name = "two\nlines\n" })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := readSample(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // line:column path: message = hint
	}{
		{"unknown key", "nmae: x\n", []string{`1:1 nmae: unknown key "nmae" = did you mean "name"?`}},
		{"unknown key in section", "inner: {a: 1, c: 2}\n", []string{`1:15 inner.c: unknown key "c" = the keys known here are a, b`}},
		{"unknown key far from all", "items: [{name: a, frequency: 2}]\n", []string{`1:19 items[0].frequency: unknown key "frequency" = the keys known here are name, unit`}},
		{"key twice", "name: a\non: true\nname: b\n", []string{`3:1 name: key "name" stands here twice = the first is in line 1; keep one of them`}},
		{"no section", "just a text\n", []string{`1:1 : this must be a section of keys, but is a single value = write it as "key: value" lines, or as {key: value, key: value}`}},
		{"list for section", "inner: [a]\n", []string{
			`1:1 inner.a: key "a" is missing here`,
			`1:8 inner: this must be a section of keys, but is a list = write it as "key: value" lines, or as {key: value, key: value}`,
		}},
		{"section for value", "name: {a: 1}\n", []string{`1:1 name: name must be a single value, but is a section of keys`}},
		{"value for list", "tags: a\nitems: b\n", []string{
			`1:7 tags: tags (a) must be a list, but is a single value = begin each entry with "- ", or write [entry, entry]`,
			`2:8 items: items (b) must be a list, but is a single value = begin each entry with "- ", or write [entry, entry]`,
		}},
		{"list in list", "tags: [a, [b], {c: d}, ~]\n", []string{
			`1:11 tags[1]: an entry of tags must be a single value, but is a list`,
			`1:16 tags[2]: an entry of tags must be a single value, but is a section of keys`,
			`1:24 tags[3]: an entry of tags must be a single value, but is empty`,
		}},
		{"complex key", "? [a]\n: b\n", []string{`1:3 : a key must be a single word, but is a list`}},
		{"bool", "on: yes\n", []string{`1:5 on: on (yes) must be true or false`}},
		{"choice", "level: hihg\n", []string{`1:8 level: level (hihg) must be low, middle or high = did you mean "high"?`}},
		{"choice far from all", "level: 12345\n", []string{`1:8 level: level (12345) must be low, middle or high`}},
		{"whole number", "count: 1.5\n", []string{`1:8 count: count (1.5) must be a whole number`}},
		{"leading zero", "count: 010\n", []string{`1:8 count: count (010) must be a whole number`}},
		{"number out of range", "count: 70000\n", []string{`1:8 count: count (70000) must be from 1 to 1000`}},
		{"number too large for anything", "count: 99999999999999999999\n", []string{`1:8 count: count (99999999999999999999) must be a whole number`}},
		{"float out of range", "ratio: 2\n", []string{`1:8 ratio: ratio (2) must be from 0 to 1`}},
		{"no float", "ratio: nan\n", []string{`1:8 ratio: ratio (nan) must be a number`}},
		{"duration without unit", "wait: 5\n", []string{`1:7 wait: wait (5) must be a time with its unit = write 5s if that is meant`}},
		{"no duration", "wait: soon\n", []string{`1:7 wait: wait (soon) must be a time with its unit = such as 250ms, 5s, 10m, 1h30m or 7d`}},
		{"duration out of range", "wait: 7d\n", []string{`1:7 wait: wait (7d) must be from 1ms to 1h`}},
		{"size without unit", "room: 64\n", []string{`1:7 room: room (64) must be a size with its unit = write 64KiB if that is meant`}},
		{"size out of range", "room: 2TiB\n", []string{`1:7 room: room (2TiB) must be from 1KiB to 1GiB`}},
		{"variable not set", "name: ${NOBODY}\n", []string{`1:7 name: the environment variable NOBODY is not set = set it before the start; for a literal ${ write $${`}},
		{"variable not closed", "name: ${HOST\n", []string{`1:7 name: ${ has no closing } = write ${NAME}; for a literal ${ write $${`}},
		{"value from the environment", "count: ${SECRET}\n", []string{`1:8 count: count (${SECRET}) must be a whole number`}},
		{"missing key", "inner: {b: 2}\n", []string{`1:1 inner.a: key "a" is missing here`}},
		{"name twice", "items:\n- name: a\n- name: b\n- name: a\n", []string{`4:9 items[2].name: the name "a" is used twice = the first is in line 2; names must differ`}},
		{"merge of a value", "items: [{name: a, <<: b}]\n", []string{`1:23 items[0]: << must be followed by another section, but is followed by a single value = write <<: *name, where &name marks the section to take over`}},
		{"all at once", "nmae: x\non: 1\nitems:\n- unit: 300\n- nam: x\n", []string{
			`1:1 nmae: unknown key "nmae" = did you mean "name"?`,
			`2:5 on: on (1) must be true or false`,
			`4:3 items[0].name: key "name" is missing here`,
			`4:9 items[0].unit: unit (300) must be from 0 to 255`,
			`5:3 items[1].name: key "name" is missing here`,
			`5:3 items[1].nam: unknown key "nam" = did you mean "name"?`,
		}},
		{"alias is blamed once", "items: [&i {name: a, uni: 5}]\nmarks: [*i, *i]\n", []string{`1:22 items[0].uni: unknown key "uni" = did you mean "unit"?`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantProblems(t, test.text, test.want) })
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"tab", "inner:\n\ta: 1\n", []string{`2:1 : a tab stands where the indentation must be = YAML is indented with spaces only`}},
		{"at sign", "name: @home\n", []string{`1:7 : a value cannot begin with @ = put the value into quotes`}},
		{"open list", "tags: [a, b\non: true\n", []string{`1:7 : the list that begins here is not closed = each [ needs its ], and a comma stands between the entries`}},
		{"open section", "inner: {a: 1\non: true\n", []string{`1:8 : the section that begins here is not closed = each { needs its }, and a comma stands between the entries`}},
		{"open quote", "name: \"x\n", []string{`1:7 : the quotation that begins here is not closed = put the same quote at its end`}},
		{"colon", "name: a: b\n", []string{`1:8 : a colon cannot stand here = check the indentation of this line, or put a value that holds ": " into quotes`}},
		{"deeper", "name: a\n on: true\n", []string{`2:4 : a colon cannot stand here = check the indentation of this line, or put a value that holds ": " into quotes`}},
		{"no key", "name: x\non\n", []string{`2:1 : this line is no "key: value" = a key needs a colon and a space, and the same indentation as its neighbours`}},
		{"no entry", "items:\n- name: a\n  unit: 1\n unit: 2\n", []string{`4:2 : this line is no "key: value" = a key needs a colon and a space, and the same indentation as its neighbours`}},
		{"escape", `name: "\q"`, []string{`1:8 : unknown escape after \ = between " write \\ for one \, or use ' instead`}},
		{"unknown alias", "name: *x\n", []string{`1:7 : unknown anchor 'x' referenced = the text after * must be the name of an & before it; a value that begins with * needs quotes`}},
		{"second document", "name: a\n---\nname: b\n", []string{`2:1 : a second document begins here, which would not be read = remove the line of three dashes before it`}},
		{"not text", "name: a\non: \xff\n", []string{`2:5 : this is not UTF-8 text = save the file as UTF-8 text`}},
		{"control character", "name: a\x07b\n", []string{`1:8 : a control character stands here = save the file as UTF-8 text`}},
		{"the rest is read", "inner: {a: 1\non: maybe\ntags: [x\nlevle: low\n", []string{
			`1:8 : the section that begins here is not closed = each { needs its }, and a comma stands between the entries`,
			`3:7 : the list that begins here is not closed = each [ needs its ], and a comma stands between the entries`,
			`2:5 on: on (maybe) must be true or false`,
			`4:1 levle: unknown key "levle" = did you mean "level"?`,
		}},
		{"anchor in the part left out", "items: [&i {name: a\nmarks: [*i]\n", []string{`1:12 : the section that begins here is not closed = each { needs its }, and a comma stands between the entries`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantProblems(t, test.text, test.want) })
	}
}

func wantProblems(t *testing.T, text string, want []string) {
	t.Helper()
	_, _, err := readSample(text)
	found, ok := errors.AsType[*Errors](err)
	if !ok {
		t.Fatalf("error is %v", err)
	}
	var got []string
	for _, p := range found.Problems {
		s := fmt.Sprintf("%d:%d %s: %s", p.Line, p.Column, p.Path, p.Message)
		if p.Hint != "" {
			s += " = " + p.Hint
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTooManyAliases(t *testing.T) {
	text := "items: &l\n" + strings.Repeat("- {name: a, unit: 1}\n", 500) + "marks: *l\n"
	if _, _, err := readSample(text); err == nil || strings.Contains(err.Error(), "too much") {
		t.Fatalf("two uses of a list: %v", err)
	}
	r := newReader("t.yaml", nil, testEnv)
	r.visits = maxVisits - 10
	m := r.newMap(nil, "", nil)
	docs, err := load(text)
	if err != nil {
		t.Fatal(err)
	}
	m.fill(docs[0].Content[0])
	newSample().read(m)
	if len(r.problems) == 0 || r.problems[0].Message != "the aliases of this file stand for too much" {
		t.Errorf("problems: %+v", r.problems)
	}
}

func TestCheck(t *testing.T) {
	text := "name: x\ninner: {a: 1}\nitems:\n- name: pump\n  unit: 5\n- name: fan\n"
	read := func(m *Map, check error) {
		newSample().read(m)
		m.Check(check)
	}
	tests := []struct {
		name string
		err  error
		want string // line:column message
	}{
		{"path", errors.New("items[0].unit (5) must be less"), "5:9 unit (5) must be less"},
		{"absent key", errors.New("items[1].unit (0) must be more"), "6:3 unit (0) must be more"},
		{"named", errors.New("item pump: unit (5) must be less"), "5:9 unit (5) must be less"},
		{"named, without a key", errors.New("item fan: it turns the wrong way"), "6:3 it turns the wrong way"},
		{"wrapped", fmt.Errorf("item pump: %w", errors.New("unit: no such unit")), "5:9 unit: no such unit"},
		{"key with something behind", errors.New("inner.a + b (12) must be a sum"), "2:12 a + b (12) must be a sum"},
		{"section", errors.New("inner must not be empty"), "2:1 inner must not be empty"},
		{"nothing known", errors.New("the weather: is bad"), "0:0 the weather: is bad"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Read("t.yaml", []byte(text), testEnv, func(m *Map) { read(m, errors.Join(test.err)) })
			found, ok := errors.AsType[*Errors](err)
			if !ok || len(found.Problems) != 1 {
				t.Fatalf("got %v", err)
			}
			p := found.Problems[0]
			if got := fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Message); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestCheckBlamesOnce(t *testing.T) {
	_, err := Read("t.yaml", []byte("items:\n- unit: 300\n"), testEnv, func(m *Map) {
		newSample().read(m)
		m.Check(errors.Join(errors.New("items[0].unit (0) must be more"), errors.New("items[0].name must not be empty")))
	})
	if found, ok := errors.AsType[*Errors](err); !ok || len(found.Problems) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestTree(t *testing.T) {
	text := `
name: ${HOST}
password: "very secret"
wait: 7m
tags: [a, '5', '$${x}']
url: mqtt://me:secret@host
inner: {a: "${SECRET}"}
items:
- name: pump
- name: true
  unit: 0
`
	const want = `name: ${HOST}
password: •••
on: false
level: low
count: 7
wait: 7m
room: 1MiB
tags: [a, '5', '$${x}']
url: mqtt://•••@host
inner:
  a: ${SECRET}
items:
- name: pump
- name: 'true'
  unit: 0
`
	_, result, err := readSample(strings.Replace(text, "wait", "on: false\nwait", 1))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := result.Tree.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyTree(t *testing.T) {
	var b strings.Builder
	if err := (Tree{}).WriteYAML(&b); err != nil || b.String() != "{}\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

// fileSchema reads a file and a secret.
func fileSchema(path, secret *string) func(*Map) {
	return func(m *Map) {
		m.File("file", path)
		m.SecretFile("secret_file", secret)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("cert", "x", 0o644)
	write("safe", "hunter2\r\n", 0o600)
	write("group", "hunter2", 0o640)
	write("open", "hunter2\n", 0o644)
	write("empty", "\n", 0o600)
	write("large", strings.Repeat("x", maxSecret+1), 0o600)
	tests := []struct {
		name, text, path, secret, problem string
	}{
		{"relative file", "file: cert", filepath.Join(dir, "cert"), "", ""},
		{"absolute file", "file: " + dir + "/cert", dir + "/cert", "", ""},
		{"no file", "file: nothing", "", "", "the file " + dir + "/nothing does not exist"},
		{"folder", "file: .", "", "", "the file cannot be used: " + dir + " is no regular file"},
		{"secret", "secret_file: safe", "", "hunter2", ""},
		{"secret of a group", "secret_file: group", "", "hunter2", ""},
		{"open secret", "secret_file: open", "", "hunter2", "others may read or change the secret in " + dir + "/open (mode 0644)"},
		{"empty secret", "secret_file: empty", "", "", dir + "/empty is empty"},
		{"large secret", "secret_file: large", "", "", dir + "/large is too large for a secret"},
		{"no secret", "secret_file: nothing", "", "", "the file " + dir + "/nothing does not exist"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var path, secret string
			result, err := Read(filepath.Join(dir, "t.yaml"), []byte(test.text), testEnv, fileSchema(&path, &secret))
			problems := result.Warnings
			if found, ok := errors.AsType[*Errors](err); ok {
				problems = found.Problems
			}
			got := ""
			for _, p := range problems {
				got += p.Message
			}
			if path != test.path || secret != test.secret || got != test.problem {
				t.Errorf("got path %q, secret %q, problem %q", path, secret, got)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	text := "nmae: x\npassword: {a: hunter2}\nurl: [{mqtt://me:hunter2@host: 1}]\ncount: 7x # " + strings.Repeat("long ", 40) + "\n"
	_, _, err := readSample(text)
	const want = `t.yaml:1:1: error: unknown key "nmae"
     1 | nmae: x
       | ^^^^
       = did you mean "name"?

t.yaml:2:1: error: password must be a single value, but is a section of keys
     2 | password: •••
       | ^^^^^^^^

t.yaml:3:7: error: an entry of url must be a single value, but is a section of keys
     3 | url: [{mqtt://•••@host: 1}]
       |       ^

t.yaml:4:8: error: count (7x) must be a whole number
     4 | count: 7x # long long long long long long long long long long long long long long long long long lo…
       |        ^^

t.yaml: 4 errors`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	var b strings.Builder
	found, _ := errors.AsType[*Errors](err)
	if err := found.Format(&b, true); err != nil || !strings.Contains(b.String(), "\x1b[1;31m^^^^\x1b[0m") {
		t.Errorf("in colour: %q, %v", b.String(), err)
	}
}

func TestWindow(t *testing.T) {
	line := strings.Repeat("x", 150) + "HERE" + strings.Repeat("y", 150)
	column, cut := window(151, line)
	rs := []rune(cut)
	if len(rs) != excerptWidth || string(rs[column-1:column+3]) != "HERE" || rs[0] != '…' || rs[excerptWidth-1] != '…' {
		t.Errorf("column %d of %q", column, cut)
	}
	if column, cut := window(99, "short"); column != 6 || cut != "short" {
		t.Errorf("column %d of %q", column, cut)
	}
}

func TestHideSecrets(t *testing.T) {
	tests := []struct{ line, want string }{
		{"password: hunter2", "password: •••"},
		{"  pasword: hunter2 # mine", "  pasword: •••"},
		{"{username: a, password: hunter2}", "{username: a, password: •••"},
		{`"api_token": "x"`, `"api_token": •••`},
		{"client_secret: x", "client_secret: •••"},
		{"password_file: cloud.secret", "password_file: cloud.secret"},
		{"password:", "password:"},
		{"url: mqtt://a:b@host/", "url: mqtt://•••@host/"},
		{"url: mqtt://host/", "url: mqtt://host/"},
		{"topic: plant/secret", "topic: plant/secret"},
	}
	for _, test := range tests {
		if got := hideSecrets(test.line); got != test.want {
			t.Errorf("%q became %q, want %q", test.line, got, test.want)
		}
	}
}

func TestUnits(t *testing.T) {
	durations := map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * Day,
		"1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "0": 0, "0s": 0,
	}
	for text, want := range durations {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-5s", "+5s", "d", "xd", "1d2", "1d-1s", "1e300d", "99999999999h", "5 s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
	sizes := map[string]int64{
		"0": 0, "1B": 1, "512KiB": 512 << 10, "64MiB": 64 << 20, "64 MiB": 64 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"1kB": 1000, "1KB": 1000, "5MB": 5e6, "1.5GB": 15e8,
	}
	for text, want := range sizes {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-5MiB", "MiB", "5XB", "nanMiB", "9e99TiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v", text, got)
		}
	}
}

func TestFormattedUnitsParse(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Millisecond, 90 * time.Second, time.Hour, 90 * time.Minute, 25 * time.Hour, 7 * Day} {
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("%v is written %q and read %v, %v", d, FormatDuration(d), got, err)
		}
	}
	for _, n := range []int64{0, 1, 1023, 1 << 10, 1<<20 + 1, 64 << 20, 3 << 30, 1 << 40} {
		if got, err := ParseSize(FormatSize(n)); err != nil || got != n {
			t.Errorf("%d is written %q and read %v, %v", n, FormatSize(n), got, err)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"baud", "buad", 1}, {"baud", "baudrate", 4}, {"kitten", "sitting", 3}, {"adress", "address", 1},
	}
	for _, test := range tests {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// FuzzRead: whatever the text, every problem has a place in it, and no secret of
// the environment is shown.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "name: x\n", "a:\n\tb\n", "items: [&i {name: a, unit: 5}, {<<: *i, name: b}]\n", "inner: {a: 1\non: maybe\ntags: [x\n",
		"a: &x [*x]\n", "? [a]\n: b\n", "name: ${SECRET}\ncount: ${SECRET}\n", "name: |\n  a\n  b\n", "---\n---\n", "{a: b, a: c}", "\ufeffx", "%YAML 1.1\n---\nname: y\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, result, err := readSample(text)
		lines := strings.Count(text, "\n") + 1
		if found, ok := errors.AsType[*Errors](err); ok {
			for _, p := range found.Problems {
				if p.Line < 0 || p.Line > lines+1 || p.Column < 0 || p.Message == "" {
					t.Errorf("%+v in %d lines", p, lines)
				}
			}
		}
		var b strings.Builder
		if err := result.Tree.WriteYAML(&b); err != nil {
			t.Error(err)
		}
		if shown := b.String() + fmt.Sprint(err); !strings.Contains(text, "hunter2") && strings.Contains(shown, "hunter2") {
			t.Errorf("the environment shows in %s", shown)
		}
	})
}
