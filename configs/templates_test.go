package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/modbus"
)

// TestTemplates: each template that comes with the gateway makes a device that can
// be polled, with units and names that are those of the others.
func TestTemplates(t *testing.T) {
	for _, template := range Templates() {
		t.Run(template.Name, func(t *testing.T) {
			c := parse(t, fmt.Sprintf("adapters: [{name: a, type: modbus, url: tcp://plc:502, devices: [{name: m, unit: 1, template: %s}]}]", template.Name))
			if len(c.Warnings) > 0 {
				t.Errorf("warnings: %v", c.Warnings)
			}
			points := make(map[string]modbus.Point)
			for _, p := range c.Adapters[0].Modbus.Devices[0].Points {
				points[p.Name] = p
			}
			for _, name := range []string{"power", "frequency", "energy_import", "energy_export"} {
				if points[name].Unit == "" {
					t.Errorf("there is no %s with a unit", name)
				}
			}
			if template.About() == "" {
				t.Error("it does not say which devices it is for")
			}
			plan, err := modbus.NewPreview(*c.Adapters[0].Modbus, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d points, %d requests", template.About(), len(points), len(plan.Requests))
		})
	}
}

// TestTemplateChanges: a device may leave out what a template has, change it, and
// have more.
func TestTemplateChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte("order: CDAB\nevery: 3s\npoints:\n  - {name: a, register: \"input:0\", unit: V, scale: 0.1}\n  - {name: b, register: \"input:2\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := parse(t, `
adapters:
  - name: a
    type: modbus
    url: tcp://plc:502
    devices:
      - name: m
        unit: 1
        template: `+file+`
        every: 5s
        only: [a]
        points: [{name: a, scale: 0.01, deadband: 1%}, {name: c, register: "coil:7"}]
`)
	d := c.Adapters[0].Modbus.Devices[0]
	if d.Order != modbus.CDAB || d.Every.Seconds() != 5 || len(d.Points) != 2 {
		t.Errorf("the device is %+v", d)
	}
	if p := d.Points[0]; p.Register != "input:0" || p.Unit != "V" || p.Scale != 0.01 || p.Rule.Percent != 1 {
		t.Errorf("the point is %+v", p)
	}
	again := parse(t, show(t, c))
	if diff := cmp.Diff(d, again.Adapters[0].Modbus.Devices[0]); diff != "" {
		t.Errorf("what is shown means something else: %s", diff)
	}
}

// TestBadTemplates: what is wrong in a template is told with its line.
func TestBadTemplates(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"bad.yaml": "points:\n  - {name: a, registre: 7}\n", "empty.yaml": "order: ABCD\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for template, want := range map[string]string{
		"eastron-sdm36":                  "did you mean \"eastron-sdm630\"?",
		filepath.Join(dir, "bad.yaml"):   "line 2: ",
		filepath.Join(dir, "empty.yaml"): "points",
		filepath.Join(dir, "none.yaml"):  "does not exist",
	} {
		_, err := Parse("weir.yaml", fmt.Appendf(nil, "adapters: [{name: a, type: modbus, url: tcp://plc:502, devices: [{name: m, unit: 1, template: %s}]}]", template), testEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: no %q in\n%v", template, want, err)
		}
	}
}

// FuzzDeviceTemplate: any file of a device's points is taken, or refused with a
// reason.
func FuzzDeviceTemplate(f *testing.F) {
	for _, t := range Templates() {
		f.Add(t.Text)
	}
	f.Add("points: [{name: a, register: \"input:0\", type: float32}]")
	f.Add("points: []\nunit: 3\n")
	file := filepath.Join(f.TempDir(), "device.yaml")
	config := "adapters: [{name: a, type: modbus, url: \"tcp://x:502\", devices: [{name: d, unit: 1, template: " + file + "}]}]\n"
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Parse("/nonexistent/weir.yaml", []byte(config), testEnv)
		found, ok := errors.AsType[*Errors](err)
		switch {
		case err != nil && (!ok || len(found.Problems) == 0):
			t.Errorf("an error without problems: %v", err)
		case err == nil && len(c.Adapters) != 1:
			t.Errorf("%+v", c.Adapters)
		}
	})
}
