package app

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/metrics"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// newMetrics makes the metrics of a daemon. Their sources are asked at a scrape, which
// is after the daemon has opened what they read.
func (d *Daemon) newMetrics() *metrics.Metrics {
	commit, goVersion := process.Build()
	var verbs []string
	for _, e := range api.Endpoints() {
		verbs = append(verbs, e.Subject())
	}
	return metrics.New(metrics.Options{
		Version: d.version, Commit: commit, Go: goVersion, Schema: repo.SchemaVersion,
		Store: d.cfg.Database.Type, Verbs: verbs, Labels: d.cfg.Metrics.Labels,
		Sources: metrics.Sources{
			Figures:    func() engine.Figures { return d.current.p.Load().Figures() },
			InboxDepth: func() int { return d.current.p.Load().InboxDepth() },
			Leads:      d.leads,
			StoreBytes: d.storeSize.Load, LostCommits: d.lostCommits, LeaderConflict: d.hasConflict, UnmetSync: func() bool { return d.unmetSync() != "" },
			NATS:   func() (bool, uint64) { return d.conn.Current().IsConnected(), d.conn.Reconnects() },
			Intake: d.intakeFigures,
		},
	})
}

// intakeFigures returns zeros before the intake starts, and without one.
func (d *Daemon) intakeFigures() metrics.Intake {
	i := d.intake.Load()
	if i == nil {
		return metrics.Intake{}
	}
	return metrics.Intake(i.Figures())
}

// observe counts a request.
func (d *Daemon) observe(e api.Endpoint, code model.Code, took time.Duration, traceparent string) {
	d.metrics.Request(e.Subject(), code, took, traceparent)
}

// measuredStore is a store with commits that are counted.
type measuredStore struct {
	repo.Store
	metrics *metrics.Metrics
}

// Commit implements [repo.Committer].
func (s *measuredStore) Commit(ctx context.Context, b *model.Batch) error {
	start := time.Now()
	err := s.Store.Commit(ctx, b)
	s.metrics.Commit(time.Since(start), err)
	return err
}

// sizeInterval is the time between two looks at the size of the store. A scrape does not
// look itself: a file system that hangs must not keep it from answering.
const sizeInterval = 10 * time.Second

// storeSize is the size of the store's files, in bytes.
type storeSize struct{ bytes atomic.Int64 }

// Load returns the size at the last look.
func (s *storeSize) Load() int64 { return s.bytes.Load() }

// watch looks until ctx ends.
func (s *storeSize) watch(ctx context.Context, look func(context.Context) int64) {
	if look == nil {
		return
	}
	tick := time.NewTicker(sizeInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if n := look(ctx); n > 0 { // 0: the store cannot say
			s.bytes.Store(n)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// fileSizes is the size of the files that exist.
func fileSizes(paths ...string) (n int64) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}
