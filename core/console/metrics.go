package console

import (
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-edge/weir/core"
)

// emit gives one sample of a family.
type emit func(value float64, labels ...string)

// family is one metric: how it is made from the state.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(st *core.Status, e emit)
}

// serveMetrics makes the metrics from one snapshot. The registry lives for one
// scrape only: nothing is counted twice, and nothing outlives its device.
func (c *Console) serveMetrics(w http.ResponseWriter, r *http.Request) {
	st, err := c.snapshot(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&collector{st: &st, families: c.families})
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// collector shows one snapshot to Prometheus.
type collector struct {
	st       *core.Status
	families []family
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.families {
		f.read(c.st, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(f.desc, f.kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(f.desc, err)
			}
			ch <- m
		})
	}
}

// families lists all metrics. No label is a topic or a client id: their number
// has no bound.
func families() []family {
	return slices.Concat(gatewayFamilies(), brokerFamilies(), authFamilies(), bufferFamilies(), bridgeFamilies(), adapterFamilies(), processFamilies())
}

func gauge(name, help string, read func(*core.Status, emit), labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, read}
}

func counter(name, help string, read func(*core.Status, emit), labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, read}
}

// single is a family of one sample without labels.
func single[N int | uint64 | float64](value func(*core.Status) N) func(*core.Status, emit) {
	return func(st *core.Status, e emit) { e(float64(value(st))) }
}

// byReason gives one sample a key of a counter map.
func byReason[K ~string](e emit, counts map[K]uint64, labels ...string) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		e(float64(counts[k]), append(slices.Clone(labels), string(k))...)
	}
}

func truth(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

func gatewayFamilies() []family {
	return []family{
		gauge("weir_build_info", "What is running; always 1.", func(st *core.Status, e emit) {
			e(1, st.Version, runtime.Version(), st.Gateway)
		}, "version", "goversion", "gateway"),
		gauge("weir_start_time_seconds", "When the gateway was started, as Unix time.", func(st *core.Status, e emit) {
			e(float64(st.Started.UnixMilli()) / 1000)
		}),
		gauge("weir_ready", "Whether configuration, store and listeners work.", func(st *core.Status, e emit) { e(truth(st.Ready)) }),
		gauge("weir_clock_synced", "Whether the wall clock is known to be right.", func(st *core.Status, e emit) { e(truth(st.ClockSynced)) }),
	}
}

func processFamilies() []family {
	return []family{
		gauge("process_resident_memory_bytes", "Resident memory.", single(func(st *core.Status) uint64 { return st.Process.RSS })),
		counter("process_cpu_seconds_total", "Processor time used.", single(func(st *core.Status) float64 { return st.Process.CPU })),
		gauge("process_open_fds", "Open file descriptors.", single(func(st *core.Status) int { return st.Process.FDs })),
		gauge("go_goroutines", "Goroutines.", single(func(st *core.Status) int { return st.Process.Goroutines })),
		counter("weir_process_written_bytes_total", "Bytes written to block devices, as the kernel counts.", single(func(st *core.Status) uint64 { return st.Process.Written })),
	}
}
