package expose

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxScrapes    = 4 // at once; a further one is answered 503
	scrapeTimeout = 10 * time.Second
)

// Buckets of the histograms, in seconds.
var (
	// FastBuckets is for what takes from 50 µs to 10 s.
	FastBuckets = []float64{
		50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10,
	}
	// SlowBuckets is for what takes from 5 ms to a day.
	SlowBuckets = []float64{5e-3, 25e-3, 100e-3, 500e-3, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400}
)

// NewRegistry returns a registry that has Go's metrics and those of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Histogram returns the options of a histogram: classic buckets, and native ones for
// servers that ask for them.
func Histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// Handler serves the metrics of a registry. It bounds the scrapes at once; what a
// collector cannot give is left out.
func Handler(r *prometheus.Registry, logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
		EnableOpenMetrics: true, // it alone has exemplars
	})
}
