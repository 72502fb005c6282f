package metrics

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/metrics/expose"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Options describe the dispatcher and say where the values of gauges come from.
type Options struct {
	Version, Commit, Go string
	Schema              int
	Store               string   // type of the store
	Verbs               []string // of requests: every other one is counted as "other"
	// Labels has client, worker or both where these are labels. Their values are bounded.
	Labels  []string
	Sources Sources
}

// Sources are called at each scrape. They must return at once, from memory.
type Sources struct {
	Figures    func() engine.Figures
	InboxDepth func() int
	Leads      func() (leads bool, term int64) // term is 0 without standbys
	// UnmetSync: the store is less durable than database.require_sync wants.
	UnmetSync func() bool
	// LeaderConflict: another database with the store_id of this one has a leader.
	LeaderConflict func() bool
	StoreBytes     func() int64
	// LostCommits counts commits that the store had confirmed and has no longer.
	LostCommits func() int64
	NATS        func() (connected bool, reconnects uint64)
	Intake      func() Intake
}

// Intake is what waits in the streams.
type Intake struct {
	Pending     uint64 // submits that are not decided on
	Parked      uint64 // of them, those above the limits of their client
	DeadLetters uint64
}

// Labels that are off unless the configuration names them.
const (
	LabelClient = "client"
	LabelWorker = "worker"
)

// Metrics is the metrics of one dispatcher. Its methods are safe for concurrent use and
// do not block.
type Metrics struct {
	registry *prometheus.Registry
	tasks    tasks
	loop     loop
	store    store
	requests requests
}

// New returns metrics with every series at 0 whose labels are bounded.
func New(o Options) *Metrics {
	m := &Metrics{registry: expose.NewRegistry()}
	m.tasks.init(m.registry, o.Labels)
	m.loop.init(m.registry)
	m.store.init(m.registry, o.Store)
	m.requests.init(m.registry, o.Verbs)
	m.registry.MustRegister(newGauges(&o))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler(logger *slog.Logger) http.Handler {
	return expose.Handler(m.registry, logger)
}

// Gatherer is for tests and for the table in docs/metrics.md.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// counters makes a vector of counters.
func counters(r *prometheus.Registry, name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.MustRegister(v)
	return v
}

// counter makes a counter without labels.
func counter(r *prometheus.Registry, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

// histograms makes a histogram for each value of a label.
func histograms(r *prometheus.Registry, opts prometheus.HistogramOpts, label string, values []string) map[string]prometheus.Observer {
	v := prometheus.NewHistogramVec(opts, []string{label})
	r.MustRegister(v)
	m := make(map[string]prometheus.Observer, len(values))
	for _, value := range values {
		m[value] = v.WithLabelValues(value)
	}
	return m
}

// histogram makes a histogram without labels.
func histogram(r *prometheus.Registry, opts prometheus.HistogramOpts) prometheus.Histogram {
	h := prometheus.NewHistogram(opts)
	r.MustRegister(h)
	return h
}

// exemplarLabel is the label of an exemplar with the id of a trace.
const exemplarLabel = "trace_id"

// observe observes a value. A sampled trace becomes the exemplar of the value's bucket: a
// trace that is not sampled is in no database.
func observe(o prometheus.Observer, value float64, traceparent string) {
	withExemplar, ok := o.(prometheus.ExemplarObserver)
	if id := model.SampledTrace(traceparent); id != "" && ok {
		withExemplar.ObserveWithExemplar(value, prometheus.Labels{exemplarLabel: id})
		return
	}
	o.Observe(value)
}

func build(o *Options) prometheus.Labels {
	return prometheus.Labels{"version": o.Version, "commit": o.Commit, "goversion": o.Go, "schema": strconv.Itoa(o.Schema)}
}

func has(labels []string, label string) bool { return slices.Contains(labels, label) }
