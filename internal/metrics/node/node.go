// Package node shows what a worker does, for Prometheus. docs/metrics.md lists the names.
// Every value is in memory already.
package node

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/metrics/expose"
	"github.com/aria-cluster/dispatcher/internal/worker"
)

// Sources are called at each scrape. They must return at once, from memory.
type Sources struct {
	Figures       func() worker.Figures
	Aria2Restarts func() int64
	GuardRefusals func() int64
}

// collector reads its sources once a scrape, so that its values fit together.
type collector struct {
	sources                                    Sources
	slots, used, diskFree, downloaded          *prometheus.Desc
	downloads, restarts, refusals, journalSync *prometheus.Desc
}

// NewRegistry returns a registry of the worker's metrics.
func NewRegistry(s Sources) *prometheus.Registry {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("aria_worker_"+name, help, labels, nil)
	}
	r := expose.NewRegistry()
	r.MustRegister(&collector{
		sources:     s,
		slots:       desc("slots", "Downloads that the worker may run at once."),
		used:        desc("slots_used", "Slots in use: transfers that have not ended."),
		diskFree:    desc("disk_free_bytes", "Free bytes of the file system of the download folder."),
		downloaded:  desc("downloaded_bytes_total", "Bytes that were downloaded."),
		downloads:   desc("downloads_total", "Attempts that ended, by their outcome.", "outcome"),
		restarts:    desc("aria2_restarts_total", "Times that an aria2c has ended and was started again."),
		refusals:    desc("guard_refusals_total", "Connections that were refused because of allow_networks."),
		journalSync: desc("journal_sync_seconds", "Time that the last write of the journal took, until it was on the disk."),
	})
	return r
}

// Handler serves the metrics of a registry.
func Handler(r *prometheus.Registry, logger *slog.Logger) http.Handler {
	return expose.Handler(r, logger)
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.slots, c.used, c.diskFree, c.downloaded, c.downloads, c.restarts, c.refusals, c.journalSync} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	f := c.sources.Figures()
	emit(c.slots, prometheus.GaugeValue, float64(f.Slots))
	emit(c.used, prometheus.GaugeValue, float64(f.UsedSlots))
	emit(c.diskFree, prometheus.GaugeValue, float64(f.DiskFree))
	emit(c.downloaded, prometheus.CounterValue, float64(f.Downloaded))
	for _, outcome := range worker.Outcomes {
		emit(c.downloads, prometheus.CounterValue, float64(f.Downloads[outcome]), outcome)
	}
	emit(c.restarts, prometheus.CounterValue, float64(c.sources.Aria2Restarts()))
	emit(c.refusals, prometheus.CounterValue, float64(c.sources.GuardRefusals()))
	emit(c.journalSync, prometheus.GaugeValue, f.JournalSync.Seconds())
}
