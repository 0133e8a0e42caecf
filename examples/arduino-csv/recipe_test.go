// Package arduinocsv_test runs the recipe: lines of numbers become readings, a greeting does not.
package arduinocsv_test

import (
	"testing"

	"github.com/weir-edge/weir/examples/exampletest"
)

func TestRecipe(t *testing.T) {
	line := exampletest.Start(t)
	line.Play("stream.csv")
	line.Expect(map[string]any{
		"garden/greenhouse/temperature": 21.6,
		"garden/greenhouse/humidity":    41.0,
		"garden/greenhouse/light":       63.875,
	})
}
