// Package weatherstation_test runs the recipe: sentences become documents.
package weatherstation_test

import (
	"testing"

	"github.com/weir-edge/weir/examples/exampletest"
)

func TestRecipe(t *testing.T) {
	line := exampletest.Start(t)
	line.Play("stream.nmea")
	line.Expect(map[string]any{
		"site/weather/MWV#wind_angle":        120.0,
		"site/weather/MWV#wind_speed":        3.5,
		"site/weather/XDR#air":               19.5,
		"site/weather/XDR#humidity":          56.0,
		"site/weather/XDR#baro":              1.013,
		"site/weather/MTW#water_temperature": 17.9,
	})
}
