package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/metrics/expose"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	codeOK    = 200
	otherVerb = "other"
)

// requests counts requests and messages.
type requests struct {
	verbs         map[string]*verb
	eventsDropped prometheus.Counter
}

// verb is the requests of one verb.
type verb struct {
	seconds   prometheus.Observer
	ok, other prometheus.Counter
	codes     map[model.Code]prometheus.Counter
}

func (q *requests) init(r *prometheus.Registry, verbs []string) {
	total := counters(r, "aria_requests_total", "Requests that were answered, by verb and code; 200 is success.", "verb", "code")
	all := append([]string{otherVerb}, verbs...)
	seconds := histograms(r, expose.Histogram("aria_request_seconds", "Time from the arrival of a request to its answer.", expose.FastBuckets), "verb", all)
	q.verbs = make(map[string]*verb, len(all))
	for _, name := range all {
		v := &verb{seconds: seconds[name], codes: make(map[model.Code]prometheus.Counter, len(codes))}
		v.ok, v.other = total.WithLabelValues(name, strconv.Itoa(codeOK)), total.WithLabelValues(name, otherCode)
		for _, c := range codes {
			v.codes[c] = total.WithLabelValues(name, strconv.Itoa(int(c)))
		}
		q.verbs[name] = v
	}
	q.eventsDropped = counter(r, "aria_events_dropped_total", "Events that were not published, because too many waited or the connection failed.")
}

// Request counts a request that was answered with a code, 200 for success. traceparent is
// the one of the request, or "".
func (m *Metrics) Request(name string, code model.Code, took time.Duration, traceparent string) {
	v := m.requests.verbs[name]
	if v == nil {
		v = m.requests.verbs[otherVerb]
	}
	observe(v.seconds, took.Seconds(), traceparent)
	switch {
	case code == codeOK:
		v.ok.Inc()
	case v.codes[code] != nil:
		v.codes[code].Inc()
	default:
		v.other.Inc()
	}
}

// EventDropped counts an event that was not published.
func (m *Metrics) EventDropped() { m.requests.eventsDropped.Inc() }
