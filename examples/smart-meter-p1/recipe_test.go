// Package smartmeterp1_test runs the recipe: telegrams become energy and power.
package smartmeterp1_test

import (
	"testing"

	"github.com/weir-edge/weir/examples/exampletest"
)

func TestRecipe(t *testing.T) {
	line := exampletest.Start(t)
	line.Play("stream.txt")
	line.Expect(map[string]any{
		"home/meter/energy_import_t1": 123.456,
		"home/meter/power_import":     0.244,
		"home/meter/voltage_l1":       230.1,
		"home/meter/gas":              42.107,
	})
}
