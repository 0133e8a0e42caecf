package console

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/weir-edge/weir/core"
)

var update = flag.Bool("update", false, "write the golden files")

func scrape(t *testing.T, st core.Status) string {
	t.Helper()
	w := get(t, showing(st, nil).Handler(), "/metrics")
	if w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// TestMetricsGolden pins every name: dashboards depend on them.
func TestMetricsGolden(t *testing.T) {
	got := scrape(t, example())
	lines := strings.Split(got, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "weir_build_info") {
			lines[i] = `weir_build_info{…}`
		}
	}
	got = strings.Join(lines, "\n")
	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestMetricsLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, example()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsOfNothing(t *testing.T) {
	if got := scrape(t, core.Status{}); !strings.Contains(got, "weir_ready 0") {
		t.Error(got)
	}
}

// TestMetricsHaveFewLabels: a client id is no label. A rule is one, as the
// configuration has few.
func TestMetricsHaveFewLabels(t *testing.T) {
	got := scrape(t, example())
	if strings.Contains(got, "pump-7") {
		t.Error("a client id is in the metrics")
	}
}

func TestMetricsFailure(t *testing.T) {
	if w := get(t, showing(core.Status{}, errors.New("busy")).Handler(), "/metrics"); w.Code != 503 {
		t.Errorf("got %d", w.Code)
	}
}
