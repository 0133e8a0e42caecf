// Package gpsnmea_test runs the recipe: a receiver on a serial line becomes positions.
package gpsnmea_test

import (
	"testing"

	"github.com/weir-edge/weir/examples/exampletest"
)

func TestRecipe(t *testing.T) {
	line := exampletest.Start(t)
	line.Play("stream.nmea")
	line.Expect(map[string]any{
		"vehicle/gps/GGA/lat":        47.385,
		"vehicle/gps/GGA/satellites": 9.0,
		"vehicle/gps/RMC/datetime":   "2026-07-01T12:00:00Z",
		"vehicle/gps/RMC/speed":      0.4,
		"vehicle/gps/GSA/hdop":       0.9,
		"vehicle/gps/VTG/course":     77.0,
	})
}
