package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/metrics/expose"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// loop counts the turns.
type loop struct {
	seconds, operations prometheus.Histogram
	busy, full          prometheus.Counter
}

func (l *loop) init(r *prometheus.Registry) {
	l.seconds = histogram(r, expose.Histogram("aria_turn_seconds", "Time of one turn, with its commit.", expose.FastBuckets))
	l.operations = histogram(r, expose.Histogram("aria_turn_operations", "Operations of one turn.", prometheus.ExponentialBuckets(1, 2, 11)))
	l.busy = counter(r, "aria_turn_busy_seconds_total", "Time in which the loop did not wait for work.")
	l.full = counter(r, "aria_inbox_full_total", "Messages that were answered 503 because the inbox was full.")
}

// Turn implements dispatch.Metrics.
func (m *Metrics) Turn(took time.Duration, operations int) {
	m.loop.seconds.Observe(took.Seconds())
	m.loop.operations.Observe(float64(operations))
}

// Busy implements dispatch.Metrics.
func (m *Metrics) Busy(took time.Duration) { m.loop.busy.Add(max(took, 0).Seconds()) }

// InboxFull implements dispatch.Metrics.
func (m *Metrics) InboxFull() { m.loop.full.Inc() }

// Kinds of errors of a commit.
const (
	kindUnavailable = "unavailable" // the disk is full or fails; a later commit may succeed
	kindRefused     = "refused"     // the batch contradicts the store: a bug
	kindOther       = "other"       // such as a damaged file
)

// store counts commits.
type store struct {
	seconds prometheus.Observer
	errors  map[string]prometheus.Counter
}

func (s *store) init(r *prometheus.Registry, name string) {
	s.seconds = histograms(r, expose.Histogram("aria_commit_seconds", "Time of one commit of the store.", expose.FastBuckets),
		"store", []string{name})[name]
	errs := counters(r, "aria_commit_errors_total", "Commits that failed.", "kind")
	s.errors = make(map[string]prometheus.Counter)
	for _, kind := range []string{kindUnavailable, kindRefused, kindOther} {
		s.errors[kind] = errs.WithLabelValues(kind)
	}
}

// Commit counts a commit that has ended.
func (m *Metrics) Commit(took time.Duration, err error) {
	m.store.seconds.Observe(took.Seconds())
	if err != nil {
		m.store.errors[kindOf(err)].Inc()
	}
}

func kindOf(err error) string {
	var known *model.Error
	switch {
	case !errors.As(err, &known):
		return kindOther
	case known.Code == model.CodeUnavailable:
		return kindUnavailable
	case known.Code == model.CodeInternal:
		return kindRefused
	}
	return kindOther
}
