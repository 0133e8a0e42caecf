package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestModbusImport: a table in Neuron's columns becomes a configuration that can be
// used; what can't be taken over is told with its line.
func TestModbusImport(t *testing.T) {
	out, code := weir(t, "modbus", "import", "testdata/neuron.csv")
	want, err := os.ReadFile("testdata/neuron.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{string(want), `line 7: the address "2!900020"`, `line 8: there is nothing like the type "bytes"`} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	if code != exitConfig {
		t.Errorf("exit code %d", code)
	}
}

func TestImportTags(t *testing.T) {
	const head = "Name;Address;Type;Attribute;Decimal\n"
	for name, c := range map[string]struct{ text, want string }{
		"no table":              {"a,b\n", `no column "name"`},
		"empty":                 {"", "no line with the names"},
		"semicolons":            {head + "a;1!300001;WORD;Read;0,1\n", "decimal (0,1) is no number"},
		"no name":               {head + ";1!300001;WORD\n", "line 2: there is no name"},
		"beyond":                {head + "a;1!399999;WORD\n", "does not count from 1"},
		"text without a length": {head + "a;1!400001;STRING\n", "does not go with the type"},
		"a bit of a float":      {head + "a;1!400001.3;FLOAT\n", "does not go with the type"},
		"static":                {head + "a;1!400001;WORD;8\n", "static"},
		"attribute":             {head + "a;1!400001;WORD;Reed\n", `"reed"`},
		"twice":                 {head + "a;1!400001;WORD\na;1!400002;WORD\n", `line 3: the name "a" is there already`},
	} {
		t.Run(name, func(t *testing.T) {
			_, left, err := importTags(strings.NewReader(c.text))
			for _, e := range left {
				err = e
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzImportTags(f *testing.F) {
	text, err := os.ReadFile("testdata/neuron.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, _, err := importTags(bytes.NewReader(text)); err == nil {
			_ = all.yaml("a", "tcp://x:502")
		}
	})
}

// TestModbusTemplates: the list names them all, and each can be shown.
func TestModbusTemplates(t *testing.T) {
	out, code := weir(t, "modbus", "templates")
	if code != 0 || !strings.Contains(out, "eastron-sdm630") || !strings.Contains(out, "Carlo Gavazzi") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := weir(t, "modbus", "templates", "eastron-sdm120"); code != 0 || !strings.Contains(out, "points:") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := weir(t, "modbus", "templates", "eastron"); code != exitUsage {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
