package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxNames bounds the values of a label that names clients or workers. The first ones
	// since the start have a value of their own.
	maxNames = 100
	// otherName sums up the rest.
	otherName = "other"
)

// named is counters by a fixed label, and by the name of a client or a worker if that
// label is on. Without a fixed label its only value is "".
type named struct {
	vector *prometheus.CounterVec
	fixed  map[string]prometheus.Counter // while the names are off

	mu    sync.Mutex
	names map[string]map[string]prometheus.Counter // by name and value
	init  []string
}

// newNamed makes the counters of the fixed values, at 0.
func newNamed(r *prometheus.Registry, name, help, label string, values []string, nameLabel string, on bool) *named {
	var labels []string
	if label != "" {
		labels = append(labels, label)
	} else {
		values = []string{""}
	}
	if on {
		labels = append(labels, nameLabel)
	}
	n := &named{vector: counters(r, name, help, labels...), init: values}
	if on {
		n.names = make(map[string]map[string]prometheus.Counter)
		n.add(otherName)
		return n
	}
	n.fixed = n.children()
	return n
}

// children makes the counters of every fixed value.
func (n *named) children(name ...string) map[string]prometheus.Counter {
	m := make(map[string]prometheus.Counter, len(n.init))
	for _, value := range n.init {
		var labels []string
		if value != "" {
			labels = append(labels, value)
		}
		m[value] = n.vector.WithLabelValues(append(labels, name...)...)
	}
	return m
}

func (n *named) add(name string) map[string]prometheus.Counter {
	m := n.children(name)
	n.names[name] = m
	return m
}

// of returns the counter of a value and a name.
func (n *named) of(value, name string) prometheus.Counter {
	if n.names == nil {
		return n.fixed[value]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.names[name]
	switch {
	case m != nil:
	case len(n.names) <= maxNames: // and "other"
		m = n.add(name)
	default:
		m = n.names[otherName]
	}
	return m[value]
}
