// Package weighingscale_test runs the recipe: a scale is asked, and tared.
package weighingscale_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weir-edge/weir/examples/exampletest"
)

func TestRecipe(t *testing.T) {
	stream, err := os.ReadFile("stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(stream)))
	line := exampletest.Start(t)
	line.Answer(func(request string) string {
		if request == "TARE\r\n" {
			return "OK\r\n"
		}
		return lines[2]
	})
	line.Expect(map[string]any{"plant/scale/weight": 12.5, "plant/scale/state": "ST"})
	line.Set("plant/scale/tare/set", "1")
	line.Expect(map[string]any{"plant/scale/tare/ack": true})
}
