package main

import (
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weir-edge/weir"

// importRules is the policy of who may import whom, non-test files only: each
// package may import what stands on the left of a '<' before it, transitively.
// It is the graph of the design; a new package needs a place in it.
const importRules = `
	NONE
	< core, core/audit, core/packet, core/replace, core/topic, core/broker/transport, adapters/serialport, adapters/serialport/pty, adapters/serial/frame, configs/strict;

	core, core/packet
	< core/session, cmd/weir/internal/load;

	core, core/packet, core/topic, core/session, core/broker/transport
	< core/broker
	< core/access, core/auth, core/console;

	core/replace
	< core/auth;

	core/broker/transport, core/replace
	< cmd/weir/internal/pki;

	core
	< adapters;

	adapters, adapters/serialport
	< adapters/modbus;

	adapters
	< adapters/serial/parse;

	adapters/serial/frame
	< adapters/serial/exchange;

	adapters, adapters/serialport, adapters/serial/frame, adapters/serial/parse, adapters/serial/exchange
	< adapters/serial;

	adapters/serialport/pty
	< adapters/modbus/simulator;

	core
	< storage;

	core, storage
	< storage/storagetest;

	core, core/packet, core/topic, core/session
	< bridge;

	core/access, core/audit, core/auth, core/broker, core/console, adapters/modbus, adapters/serial, storage, bridge, configs/strict
	< configs;

	configs, adapters/modbus/simulator, adapters/serialport/pty, storage/storagetest
	< cmd/weir;
`

// forbidden says why a package outside our own may be imported in one place only,
// or in a few.
var forbidden = []struct{ path, within, why string }{
	{"github.com/dgraph-io/badger", "storage", "Badger's traps are contained in storage"},
	{"go.bug.st/serial", "adapters/serialport", "the serial library's traps are contained in serialport"},
	{"github.com/goburrow/serial", "nowhere", "it is pinned only because goburrow/modbus imports it"},
	{"github.com/goburrow/modbus", "adapters/modbus", "Modbus belongs to its adapter"},
	{"go.yaml.in/yaml", "configs", "the file format is known to configs only"},
	{"github.com/prometheus/", "core/console", "metrics are made from core.Status at scrape time"},
	{"github.com/coder/websocket", "core/broker/transport bridge", "what is below MQTT is known there only"},
	{"github.com/golang-jwt/jwt", "core/auth", "tokens are checked in one place"},
	{"github.com/xdg-go/stringprep", "core/auth", "the forms of passwords are known in one place"},
	{"github.com/spf13/cobra", "cmd", "the command line belongs to cmd"},
}

// parseRules turns importRules into package → the packages it may import.
func parseRules(t *testing.T) map[string]map[string]bool {
	t.Helper()
	allowed := make(map[string]map[string]bool)
	for rule := range strings.SplitSeq(importRules, ";") {
		var left []string
		for group := range strings.SplitSeq(rule, "<") {
			names := strings.FieldsFunc(group, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
			for _, name := range names {
				if name == "NONE" || len(left) == 0 && allowed[name] != nil {
					continue
				}
				if allowed[name] == nil {
					allowed[name] = make(map[string]bool)
				}
				for _, l := range left {
					allowed[name][l] = true
					for ll := range allowed[l] {
						allowed[name][ll] = true
					}
				}
			}
			left = append(left, names...)
		}
	}
	delete(allowed, "NONE")
	return allowed
}

// packages lists our packages, as paths below the module.
func packages(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
			return filepath.SkipDir // a module of its own, with tests only
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			rel, err := filepath.Rel(root, path)
			found = append(found, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// isTestPackage says whether a package is made only for tests, which may
// import what they test.
func isTestPackage(pkg string) bool { return strings.HasSuffix(pkg, "test") }

func TestImportGraph(t *testing.T) {
	allowed := parseRules(t)
	for _, pkg := range packages(t, repoRoot(t)) {
		t.Run(pkg, func(t *testing.T) { checkImports(t, pkg, allowed) })
	}
}

func checkImports(t *testing.T, pkg string, allowed map[string]map[string]bool) {
	info, err := build.ImportDir(filepath.Join(repoRoot(t), pkg), 0)
	if err != nil {
		if _, only := err.(*build.NoGoError); only {
			return // test files only
		}
		t.Fatal(err)
	}
	may, known := allowed[pkg]
	if !known && !isTestPackage(pkg) && !strings.HasPrefix(pkg, "examples/") {
		t.Errorf("%s has no place in importRules", pkg)
	}
	for _, path := range info.Imports {
		if ours, ok := strings.CutPrefix(path, module+"/"); ok {
			if known && !may[ours] && !strings.HasPrefix(ours, pkg+"/internal") {
				t.Errorf("%s imports %s, which the design does not allow", pkg, ours)
			}
			continue
		}
		for _, f := range forbidden {
			inside := slices.ContainsFunc(strings.Fields(f.within), func(place string) bool {
				return pkg == place || strings.HasPrefix(pkg, place+"/")
			})
			if strings.HasPrefix(path, f.path) && !inside && !isTestPackage(pkg) {
				t.Errorf("%s imports %s: %s", pkg, path, f.why)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	root := repoRoot(t)
	for _, pkg := range packages(t, root) {
		files, _ := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
		if len(files) == 0 {
			continue
		}
		documented := slices.ContainsFunc(files, func(file string) bool {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			return err == nil && f.Doc != nil && len(f.Doc.Text()) > 40
		})
		if !documented {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// TestModuleHasNoReplace: what users get by `go install` is what we test.
func TestModuleHasNoReplace(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), `"Replace": [`) {
		t.Error("go.mod has a replace directive")
	}
}

// TestTopLevel keeps the prescribed shape of the repository.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(repoRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{"cmd", "core", "adapters", "bridge", "storage", "configs", "examples"}
	made := []string{"bin", "dist", "coverage", "weir-data"}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() && !strings.HasPrefix(name, ".") && !slices.Contains(dirs, name) && !slices.Contains(made, name) {
			t.Errorf("unexpected top-level folder %s", name)
		}
	}
}

// repoRoot is the folder of go.mod.
func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
