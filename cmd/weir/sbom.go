package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// bom is a bill of materials in the form of CycloneDX 1.5: what Go has linked into a
// binary, which the binary says itself.
type bom struct {
	Format     string         `json:"bomFormat"`
	Spec       string         `json:"specVersion"`
	Version    int            `json:"version"`
	Metadata   bomMetadata    `json:"metadata"`
	Components []bomComponent `json:"components"`
}

type bomMetadata struct {
	Component bomComponent `json:"component"`
}

type bomComponent struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref,omitempty"`
	Name       string        `json:"name"`
	Version    string        `json:"version"`
	PURL       string        `json:"purl"`
	Properties []bomProperty `json:"properties,omitempty"`
}

type bomProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// writeSBOM writes the bill of a binary.
func writeSBOM(out io.Writer, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what %s is made of: %w", binary, err)
	}
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1}
	b.Metadata.Component = component("application", &info.Main)
	for _, s := range info.Settings {
		if s.Key == "GOARCH" || s.Key == "GOOS" || s.Key == "vcs.revision" {
			b.Metadata.Component.Properties = append(b.Metadata.Component.Properties, bomProperty{"build:" + s.Key, s.Value})
		}
	}
	b.Components = []bomComponent{component("library", &debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})}
	for _, dep := range info.Deps {
		b.Components = append(b.Components, component("library", dep))
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(b)
}

func component(kind string, m *debug.Module) bomComponent {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := bomComponent{Type: kind, Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" { // of the whole module, as in go.sum
		c.Properties = []bomProperty{{"go:sum", m.Sum}}
	}
	return c
}
