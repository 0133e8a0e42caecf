package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// attackRows is how many rows each of the tables of attacks has: before
// authentication, malformed packets, identity and authorisation, exhaustion.
var attackRows = map[string]int{"A": 14, "B": 17, "C": 20, "D": 7}

// A test is named by its row where a string begins with it ("C5 queued"), or where
// its function ends with it (TestACLReloadC16).
var (
	rowInText = regexp.MustCompile(`^"([ABCD]\d{1,2})\b`)
	rowInName = regexp.MustCompile(`^(?:Test|Fuzz)\w*[a-z]([ABCD]\d{1,2})$`)
)

// TestEveryAttackHasATest: each row of the tables is the name of a test.
func TestEveryAttackHasATest(t *testing.T) {
	found := make(map[string]bool)
	root := repoRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			row := ""
			switch n := n.(type) {
			case *ast.BasicLit:
				row = first(rowInText.FindStringSubmatch(n.Value))
			case *ast.FuncDecl:
				row = first(rowInName.FindStringSubmatch(n.Name.Name))
			}
			found[row] = true
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for table, rows := range attackRows {
		for n := range rows {
			total++
			if row := table + strconv.Itoa(n+1); !found[row] {
				t.Errorf("no test is named by row %s", row)
			}
		}
	}
	for row := range found {
		if row == "" {
			continue
		}
		var n int
		if _, err := fmt.Sscan(row[1:], &n); err != nil || n < 1 || n > attackRows[row[:1]] {
			t.Errorf("there is no row %s", row)
		}
	}
	if total != 58 {
		t.Errorf("%d rows", total)
	}
}

func first(match []string) string {
	if match == nil {
		return ""
	}
	return match[1]
}

// maxCorpus bounds the files of a fuzz target in the repository: those that show the
// fuzzer the way, not all that it has found.
const maxCorpus = 40

// TestEveryFuzzTargetHasACorpus: each fuzz target begins with files of its own, few and
// small, and there is none without its target.
func TestEveryFuzzTargetHasACorpus(t *testing.T) {
	root := repoRoot(t)
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	folders := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			folders[filepath.Join(filepath.Dir(path), "testdata", "fuzz", m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range folders {
		files, err := os.ReadDir(folder)
		if err != nil || len(files) == 0 || len(files) > maxCorpus {
			t.Errorf("%s has %d files, %v", folder, len(files), err)
		}
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(filepath.Dir(path)) == "fuzz" && strings.HasPrefix(d.Name(), "Fuzz") && !folders[path] {
			t.Errorf("%s belongs to no target", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
