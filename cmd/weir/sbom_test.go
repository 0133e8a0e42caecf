package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestSBOM: the bill names each module of go.mod that is linked, at its version.
func TestSBOM(t *testing.T) {
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	out, code := weir(t, "version", "--sbom", path)
	var b bom
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != 0 {
		t.Fatalf("exit code %d: %v\n%s", code, err, out)
	}
	if b.Format != "CycloneDX" || b.Metadata.Component.Name != module {
		t.Errorf("%+v", b.Metadata)
	}
	mod, err := os.ReadFile(repoRoot(t) + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	badger, std := false, false
	for _, c := range b.Components {
		std = std || c.Name == "std" && strings.HasPrefix(c.Version, "1.")
		badger = badger || c.Name == "github.com/dgraph-io/badger/v4"
		if c.Name != "std" && !strings.Contains(string(mod), c.Name+" "+c.Version) {
			t.Errorf("%s %s is not in go.mod", c.Name, c.Version)
		}
	}
	if !badger || !std {
		t.Errorf("components are missing: %+v", b.Components)
	}
	if out, code := weir(t, "version", "--sbom", repoRoot(t)+"/go.mod"); code != exitFailed || !strings.Contains(out, "go.mod") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
