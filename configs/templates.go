package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/configs/strict"
)

// shipped are the templates of devices that come with the gateway.
//
//go:embed devices/*.yaml
var shipped embed.FS

const (
	shippedFolder = "devices"
	templateEnd   = ".yaml"
)

// Template is a Modbus device without name and unit, as a file has it.
type Template struct {
	Name string
	Text string
}

// About is the comment that the file begins with.
func (t Template) About() string {
	var about []string
	for line := range strings.Lines(t.Text) {
		comment, found := strings.CutPrefix(line, "#")
		if !found {
			break
		}
		about = append(about, strings.TrimSpace(comment))
	}
	return strings.Join(about, " ")
}

// Templates are those that come with the gateway, by name.
func Templates() []Template {
	entries, err := fs.ReadDir(shipped, shippedFolder)
	if err != nil {
		panic(err) // it is in the program
	}
	var all []Template
	for _, e := range entries {
		t, err := findTemplate(strings.TrimSuffix(e.Name(), templateEnd))
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}

// findTemplate gives the shipped template of a name.
func findTemplate(name string) (Template, error) {
	text, err := fs.ReadFile(shipped, path.Join(shippedFolder, name+templateEnd))
	return Template{name, string(text)}, err
}

// readTemplate reads the device that a template describes: one of the gateway's,
// by name, or a file, by a path that ends with .yaml.
func readTemplate(m *strict.Map) (d modbus.Device) {
	name := ""
	m.String("template", &name)
	if name == "" {
		return d
	}
	t, err := Template{}, error(nil)
	if strings.HasSuffix(name, templateEnd) {
		t, err = templateFile(m)
	} else if t, err = findTemplate(name); err != nil {
		names := make([]string, 0, 8)
		for _, known := range Templates() {
			names = append(names, known.Name)
		}
		m.Check(fmt.Errorf("template (%s) must be %s, or a file .yaml", name, strings.Join(names, ", ")))
		return d
	}
	if err != nil {
		return d // which is told already
	}
	_, err = strict.Read(t.Name, []byte(t.Text), noEnv, func(m *strict.Map) { d = templateDevice(m) })
	if bad, ok := errors.AsType[*strict.Errors](err); ok {
		p := bad.Problems[slices.IndexFunc(bad.Problems, func(p Problem) bool { return !p.Warning })]
		m.Problem("template", fmt.Sprintf("template (%s) line %d: %s", name, p.Line, p.Message), p.Hint)
	}
	return d
}

// noEnv: a template is the same everywhere.
func noEnv(string) (string, bool) { return "", false }

func templateFile(m *strict.Map) (Template, error) {
	file := ""
	m.File("template", &file)
	if file == "" {
		return Template{}, fs.ErrNotExist
	}
	text, err := os.ReadFile(file)
	if err != nil {
		m.Problem("template", "template ("+file+") cannot be read: "+err.Error(), "")
	}
	return Template{file, string(text)}, err
}

// templateDevice is a device without the keys that are its own.
func templateDevice(m *strict.Map) (d modbus.Device) {
	m.Require("points")
	readDeviceSettings(m, &d)
	var names strict.Names
	m.List("points", func(m *strict.Map) { d.Points = append(d.Points, readPoint(m, &names, nil)) })
	return d
}

// choosePoints leaves those of a template's points that the device wants.
func choosePoints(m *strict.Map, points []modbus.Point) []modbus.Point {
	var only []string
	m.Strings("only", &only)
	if len(only) == 0 {
		return points
	}
	for _, name := range only {
		if !slices.ContainsFunc(points, func(p modbus.Point) bool { return p.Name == name }) {
			m.Problem("only", "only ("+name+"): the template has no such point", "")
		}
	}
	return slices.DeleteFunc(points, func(p modbus.Point) bool { return !slices.Contains(only, p.Name) })
}
