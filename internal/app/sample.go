package app

import (
	"context"

	dto "github.com/prometheus/client_model/go"

	"github.com/aria-cluster/dispatcher/internal/httpd"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// newSampler returns a function that reads the figures for the plots of the last hour
// from memory: from the engine and from the metrics.
func (d *Daemon) newSampler() func(context.Context) (httpd.Sample, bool) {
	var before []*dto.Bucket
	return func(ctx context.Context) (httpd.Sample, bool) {
		status, err := d.current.Status(ctx)
		if err != nil {
			return httpd.Sample{}, false
		}
		s := httpd.Sample{
			Downloading: status.TasksByStatus[model.StatusDownloading], Waiting: status.TasksByStatus[model.StatusPending],
			CommitP99: -1,
		}
		families, err := d.metrics.Gatherer().Gather()
		if err != nil {
			return s, true // the figures of the engine alone
		}
		for _, f := range families {
			switch f.GetName() {
			case "aria_download_speed_bytes":
				s.Speed = int64(f.GetMetric()[0].GetGauge().GetValue())
			case "aria_tasks_finished_total":
				for _, m := range f.GetMetric() {
					addFinished(&s, m)
				}
			case "aria_commit_seconds":
				now := f.GetMetric()[0].GetHistogram().GetBucket()
				s.CommitP99 = quantile(0.99, before, now)
				before = now
			}
		}
		return s, true
	}
}

func addFinished(s *httpd.Sample, m *dto.Metric) {
	for _, label := range m.GetLabel() {
		switch {
		case label.GetName() != "status":
		case label.GetValue() == string(model.StatusCompleted):
			s.Completed += m.GetCounter().GetValue()
		case label.GetValue() == string(model.StatusFailed):
			s.Failed += m.GetCounter().GetValue()
		}
	}
}

// quantile is the upper bound of the bucket that has the quantile of what was observed
// between two readings, as Prometheus would see it without interpolation; -1 if nothing
// was observed.
func quantile(q float64, before, now []*dto.Bucket) float64 {
	count := func(i int) float64 {
		n := float64(now[i].GetCumulativeCount())
		if i < len(before) {
			n -= float64(before[i].GetCumulativeCount())
		}
		return n
	}
	if len(now) == 0 || count(len(now)-1) <= 0 {
		return -1
	}
	for i := range now {
		if count(i) >= q*count(len(now)-1) {
			return now[i].GetUpperBound()
		}
	}
	return -1
}
