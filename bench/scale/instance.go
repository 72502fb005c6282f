package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/aria"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// instance is a running dispatcher with embedded NATS, and one connection to it.
type instance struct {
	server   *queue.Server
	producer *aria.Producer
	nc       *nats.Conn
	next     *atomic.Int64 // number of the next job
}

// file is where the store of an instance in dir is.
func file(dir string) string { return filepath.Join(dir, "dispatcher.db") }

// start starts a dispatcher on what is in dir, if anything.
func (b *bench) start(ctx context.Context, dir, store string, flags ...string) (*instance, error) {
	return b.startWith(ctx, dir, nil, store, flags...)
}

// startWith is as start, with further variables in the environment.
func (b *bench) startWith(ctx context.Context, dir string, env []string, store string, flags ...string) (*instance, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if store == postgres {
		dsn, err := b.database(ctx, dir)
		if err != nil {
			return nil, err
		}
		env = append(slices.Clone(env), "DISPATCHER_DB_DSN="+dsn)
	}
	system := &aria.System{Dispatcher: b.dispatcher, Profile: true, Env: env, Flags: append(flags, "-db-type", store, "-db-path", file(dir))}
	server, err := system.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	i := &instance{server: server, next: &atomic.Int64{}}
	if i.producer, err = aria.NewProducer(server.Address, false); err == nil {
		i.nc, err = aria.Connect(server.Address)
	}
	if err != nil {
		server.Stop()
		return nil, err
	}
	return i, nil
}

func (i *instance) stop() {
	i.producer.Close()
	i.nc.Close()
	i.server.Stop()
}

func (i *instance) pid() int { return i.server.Processes[0].PID() }

// job makes the next one, for workers with that value of the tag "pool".
func (i *instance) job(pool string) *queue.Job {
	j := queue.NewJob(i.next.Add(1))
	j.Tags = map[string]string{"pool": pool}
	return j
}

// fill submits n jobs, 1,000 a request.
func (i *instance) fill(ctx context.Context, n int, pool string) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, 4)
	var all sync.WaitGroup
	for k := range errs {
		all.Go(func() {
			for errs[k] == nil {
				rest := left.Add(-1000) + 1000
				if rest <= 0 {
					return
				}
				jobs := make([]*queue.Job, min(rest, 1000))
				for m := range jobs {
					jobs[m] = i.job(pool)
				}
				errs[k] = i.producer.SubmitMany(ctx, jobs)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// submitRate submits single jobs from 64 producers for so long, and returns how
// many a second were acknowledged.
func (i *instance) submitRate(ctx context.Context, long time.Duration, pool string) (float64, error) {
	var done atomic.Int64
	errs := make([]error, 64)
	start := time.Now()
	var all sync.WaitGroup
	for k := range errs {
		all.Go(func() {
			for errs[k] == nil && time.Since(start) < long {
				if errs[k] = i.producer.Submit(ctx, i.job(pool)); errs[k] == nil {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

// trickle submits 200 jobs a second for so long, whatever the answers.
func (i *instance) trickle(ctx context.Context, long time.Duration, pool string) (int64, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var done atomic.Int64
	var all sync.WaitGroup
	var once sync.Once
	var failed error
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		all.Go(func() {
			if err := i.producer.Submit(ctx, i.job(pool)); err != nil {
				once.Do(func() { failed = err })
				return
			}
			done.Add(1)
		})
	}
	all.Wait()
	return done.Load(), failed
}

// heap returns the bytes that are in use after a garbage collection: the second
// one, since the first only marks what is pooled.
func (i *instance) heap(ctx context.Context) (float64, error) {
	if _, err := i.collect(ctx); err != nil {
		return 0, err
	}
	return i.collect(ctx)
}

func (i *instance) collect(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.server.Profiles+"heap?gc=1&debug=1", http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "# HeapAlloc = "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, fmt.Errorf("%s has no HeapAlloc", req.URL)
}

// profile writes a profile of the dispatcher, where that is asked for.
func (b *bench) profile(ctx context.Context, i *instance, query, name string) {
	if b.profiles == "" {
		return
	}
	if err := i.server.SaveProfile(ctx, query, filepath.Join(b.profiles, name+".pprof")); err != nil {
		b.say("no profile: %v", err)
	}
}

func (i *instance) resident() float64 { return float64(proc.Resident(i.pid())) }

// worker starts one on a connection of its own; it ends with the instance.
func (i *instance) worker(ctx context.Context, o aria.WorkerOptions) (*aria.Worker, error) {
	nc, err := aria.Connect(i.server.Address)
	if err != nil {
		return nil, err
	}
	w := aria.NewWorker(nc, o)
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// ask sends one request and returns how long the answer took.
func (i *instance) ask(ctx context.Context, subject, body string) (time.Duration, []byte, error) {
	start := time.Now()
	m, err := aria.Request(ctx, i.nc, "aria.v1.req."+subject, []byte(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", subject, body, err)
	}
	return time.Since(start), m.Data, nil
}

// live returns how many tasks have not ended.
func (i *instance) live(ctx context.Context) (n int64, err error) {
	_, answer, err := i.ask(ctx, "query.status", "")
	if err != nil {
		return 0, err
	}
	var status model.ClusterStatus
	if err := json.Unmarshal(answer, &status); err != nil {
		return 0, fmt.Errorf("the answer to query.status: %w", err)
	}
	for s, tasks := range status.TasksByStatus {
		if !s.Terminal() {
			n += tasks
		}
	}
	return n, nil
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// middle is the median.
func middle(list []float64) float64 {
	return queue.Percentile(slices.Sorted(slices.Values(list)), 50)
}

// faultless returns an error if workers had faults.
func faultless(l *queue.Ledger) error {
	if a := l.Account(); len(a.Faults) > 0 {
		return fmt.Errorf("workers had faults: %s", strings.Join(a.Faults, "; "))
	}
	return nil
}
