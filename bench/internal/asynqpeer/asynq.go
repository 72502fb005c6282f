package asynqpeer

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hibiken/asynq"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// System is asynq with one way of Redis to write its file; it implements
// [queue.System].
type System struct {
	Fsync string // Redis' appendfsync: everysec or always
}

// Name implements [queue.System].
func (s *System) Name() string { return "asynq-" + s.Fsync }

// Title implements [queue.System].
func (s *System) Title() string { return "asynq, Redis " + s.Fsync }

// Missing implements [queue.System].
func (s *System) Missing() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis-server is not on PATH: apt-get install redis-server"
	}
	return ""
}

// Bulk implements [queue.System]: asynq's client enqueues one task at a time.
func (s *System) Bulk() bool { return false }

// Start implements [queue.System].
func (s *System) Start(ctx context.Context, dir string) (*queue.Server, error) {
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p, err := proc.Start(ctx, proc.Spec{Name: "redis", Path: path, Dir: dir, Args: []string{
		"--bind", host, "--port", port, "--dir", dir, "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", s.Fsync, "--save", "",
		// No rewrite of the file falls into a measurement.
		"--auto-aof-rewrite-percentage", "0",
	}})
	if err != nil {
		return nil, err
	}
	server := &queue.Server{Address: address, Processes: []*proc.Process{p}, Stop: func() { p.Stop(syscall.SIGKILL) }}
	if err := p.Await(ctx, proc.Listening(address)); err != nil {
		server.Stop()
		return nil, err
	}
	return server, nil
}

// poolSize is how many connections a process keeps to Redis. More than the
// default (20 on 2 processors) let 64 producers wait for Redis instead of for
// each other; beyond this it got slower.
const poolSize = 64

func options(address string) asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Addr: address, PoolSize: poolSize}
}

type producer struct {
	client *asynq.Client
}

// Producer implements [queue.System].
func (s *System) Producer(_ context.Context, address string, _ queue.Tuning) (queue.Producer, error) {
	return producer{asynq.NewClient(options(address))}, nil
}

func (p producer) Submit(ctx context.Context, j *queue.Job) error {
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = p.client.EnqueueContext(ctx, asynq.NewTask(j.Kind(), body))
	return err
}

func (p producer) SubmitMany(context.Context, []*queue.Job) error {
	return errors.New("asynq has no bulk enqueue")
}

// worker is a process of asynq servers. One server takes tasks one after the
// other, so that several in a process are quicker.
type worker struct {
	ledger    *queue.Ledger
	servers   []*asynq.Server
	inspector *asynq.Inspector
}

const (
	servers     = 4
	concurrency = 64 // of each server
)

// Worker implements [queue.System].
func (s *System) Worker(_ context.Context, address string, l *queue.Ledger, t queue.Tuning) (queue.Worker, error) {
	check := 5 * time.Millisecond
	if t.Latency {
		check = time.Millisecond
	}
	w := &worker{ledger: l, inspector: asynq.NewInspector(options(address))}
	for range servers {
		w.servers = append(w.servers, asynq.NewServer(options(address), asynq.Config{
			Concurrency: concurrency, TaskCheckInterval: check, LogLevel: asynq.ErrorLevel,
		}))
	}
	return w, nil
}

// Start implements [queue.Worker].
func (w *worker) Start(context.Context) error {
	handle := asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		var j queue.Job
		if err := json.Unmarshal(t.Payload(), &j); err != nil {
			w.ledger.Fault(err)
			return err
		}
		w.ledger.Given(j.URL)
		return nil
	})
	for _, s := range w.servers {
		if err := s.Start(handle); err != nil {
			return err
		}
	}
	return nil
}

// Settled implements [queue.Worker]. asynq says nothing when Redis has taken a
// task as done, so once all were given Redis is asked for its own count.
func (w *worker) Settled(ctx context.Context, n int64) error {
	if err := w.ledger.AwaitGiven(ctx, n); err != nil {
		return err
	}
	return queue.Poll(ctx, func() (bool, error) {
		info, err := w.inspector.GetQueueInfo("default")
		if err != nil {
			return false, err
		}
		done := int64(info.ProcessedTotal)
		if done < n || info.Size > 0 {
			return false, nil
		}
		w.ledger.Acked(done - w.ledger.Account().Acked)
		return true, nil
	})
}
