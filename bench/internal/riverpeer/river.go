package riverpeer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/aria-cluster/dispatcher/bench/internal/pgserver"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// System is River; it implements [queue.System].
type System struct{}

// Name implements [queue.System].
func (*System) Name() string { return "river" }

// Title implements [queue.System].
func (*System) Title() string { return "River, PostgreSQL" }

// Missing implements [queue.System].
func (*System) Missing() string { return pgserver.Missing() }

// Bulk implements [queue.System]: InsertManyFast is a COPY.
func (*System) Bulk() bool { return true }

// connections is how many a process keeps: PostgreSQL on 2 processors gets no
// quicker with more.
const connections = 48

type client = river.Client[pgx.Tx]

// open connects; without workers the client only inserts.
func open(ctx context.Context, url string, config *river.Config) (*client, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	config.Logger = slog.New(slog.DiscardHandler)
	return river.NewClient(riverpgxv5.New(pool), config)
}

type producer struct {
	river *client
}

// cooldown is how often a worker looks for jobs at most, and also how often an
// inserting client notifies workers.
func cooldown(t queue.Tuning) time.Duration {
	if t.Latency {
		return river.FetchCooldownMin
	}
	return 2 * time.Millisecond
}

// Producer implements [queue.System].
func (*System) Producer(ctx context.Context, url string, t queue.Tuning) (queue.Producer, error) {
	r, err := open(ctx, url, &river.Config{FetchCooldown: cooldown(t)})
	if err != nil {
		return nil, err
	}
	return &producer{r}, nil
}

func (p *producer) Submit(ctx context.Context, j *queue.Job) error {
	_, err := p.river.Insert(ctx, j, nil)
	return err
}

func (p *producer) SubmitMany(ctx context.Context, jobs []*queue.Job) error {
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i].Args = j
	}
	_, err := p.river.InsertManyFast(ctx, params)
	return err
}

type worker struct {
	ledger *queue.Ledger
	river  *client
}

// handler is River's worker.
type handler struct {
	river.WorkerDefaults[queue.Job]
	ledger *queue.Ledger
}

// Work implements river.Worker.
func (h *handler) Work(_ context.Context, j *river.Job[queue.Job]) error {
	h.ledger.Given(j.Args.URL)
	return nil
}

// Worker implements [queue.System]. The intervals and the number of workers are
// those of River's own benchmark (cmd/river/riverbench); for latency the cooldown
// is the smallest that River takes.
func (*System) Worker(ctx context.Context, url string, l *queue.Ledger, t queue.Tuning) (queue.Worker, error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &handler{ledger: l})
	r, err := open(ctx, url, &river.Config{
		FetchCooldown: cooldown(t), FetchPollInterval: 20 * time.Millisecond,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2_000}},
		Workers: workers,
	})
	if err != nil {
		return nil, err
	}
	return &worker{ledger: l, river: r}, nil
}

// Start implements [queue.Worker]. An event follows the commit that makes a job
// completed.
func (w *worker) Start(ctx context.Context) error {
	events, _ := w.river.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 200_000, Kinds: []river.EventKind{river.EventKindJobCompleted},
	})
	go func() {
		for range events {
			w.ledger.Acked(1)
		}
	}()
	return w.river.Start(context.WithoutCancel(ctx))
}

// Settled implements [queue.Worker].
func (w *worker) Settled(ctx context.Context, n int64) error { return w.ledger.AwaitAcked(ctx, n) }

// Start implements [queue.System]: a cluster and River's schema from nothing.
func (s *System) Start(ctx context.Context, dir string) (*queue.Server, error) {
	server, err := pgserver.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, server.Address); err != nil {
		server.Stop()
		return nil, fmt.Errorf("migrating the schema of River: %w", err)
	}
	return server, nil
}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}
