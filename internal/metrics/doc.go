// Package metrics counts what a dispatcher does, for Prometheus. docs/metrics.md lists
// the names. What is shown at a scrape is in memory
// already.
package metrics
