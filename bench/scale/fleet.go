package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/aria"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// beats gathers how long heartbeats took.
type beats struct {
	mu   sync.Mutex
	list []time.Duration
}

func (b *beats) add(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, d)
}

// take returns those since the last call, sorted.
func (b *beats) take() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	slices.Sort(list)
	return list
}

// fleetPart measures what many workers cost that do nothing but hold tasks and say
// so.
func (b *bench) fleetPart(ctx context.Context) error {
	b.table.head("%d workers on %d connections, a heartbeat each %v with %d tasks, store %s", b.workers, b.connections, b.interval, b.held, b.store)
	i, err := b.start(ctx, filepath.Join(b.dir, "fleet"), b.store,
		"-heartbeat-interval", b.interval.String(), "-heartbeat-timeout", (6 * b.interval).String())
	if err != nil {
		return err
	}
	defer i.stop()
	resident := i.resident()
	tasks := int64(b.workers * b.held)
	if err := i.fill(ctx, int(tasks), "fleet"); err != nil {
		return err
	}
	ledger, heard := &queue.Ledger{}, &beats{}
	stop, err := b.startFleet(ctx, i, fleet{"fleet", b.workers, b.connections, b.held, b.interval}, ledger, heard)
	if err != nil {
		return err
	}
	defer stop()
	b.say("waiting until %d tasks are held", tasks)
	if err := ledger.AwaitGiven(ctx, tasks); err != nil {
		return err
	}
	// One interval more: the bustle of the start is over.
	if err := wait(ctx, b.interval); err != nil {
		return err
	}
	long := 10 * b.long
	b.say("listening for %v", long)
	heard.take()
	before, start := proc.CPU(i.pid()), time.Now()
	profiled := make(chan struct{})
	go func() {
		b.profile(ctx, i, fmt.Sprintf("profile?seconds=%d", max(1, int(long.Seconds()))), "fleet.cpu")
		close(profiled)
	}()
	if err := wait(ctx, long); err != nil {
		return err
	}
	cpu, took := proc.CPU(i.pid())-before, time.Since(start)
	list := heard.take()
	<-profiled
	b.profile(ctx, i, "heap?gc=1", "fleet.heap")
	t := b.table
	t.line("heartbeats/s, expected", "%.0f", float64(b.workers)/b.interval.Seconds())
	t.line("heartbeats/s, answered", "%.0f", float64(len(list))/took.Seconds())
	t.line("answer to a heartbeat, p50/p99", "%.2f / %.2f ms", ms(queue.Percentile(list, 50)), ms(queue.Percentile(list, 99)))
	t.most("dispatcher with embedded NATS, of one core", 100*cpu.Seconds()/took.Seconds(), 30, " %")
	t.most("dispatcher with embedded NATS, resident at most", float64(proc.Memory(i.pid()))/1e6, 300, " MB")
	t.line("resident at the end", "%.1f MB", i.resident()/1e6)
	t.line("resident memory, a worker with its tasks", "%.1f kB", (i.resident()-resident)/float64(b.workers)/1e3)
	t.line("heap in use", "%s", b.heapText(ctx, i))
	if err := b.scrape(ctx, i); err != nil {
		return err
	}
	if a := ledger.Account(); a.Given != tasks || a.Distinct != tasks {
		return fmt.Errorf("of %d tasks %d were given, %d different: some workers were taken for lost", tasks, a.Given, a.Distinct)
	}
	return faultless(ledger)
}

// fleet is some workers for the tasks with one value of the tag "pool".
type fleet struct {
	pool                       string
	workers, connections, held int
	interval                   time.Duration // over which they start
}

// startFleet starts the workers evenly over one interval, as a fleet that has
// grown.
func (b *bench) startFleet(ctx context.Context, i *instance, f fleet, l *queue.Ledger, heard *beats) (stop func(), err error) {
	var workers []*aria.Worker
	var conns []*nats.Conn
	stop = func() {
		for _, w := range workers {
			w.Stop()
		}
		for _, nc := range conns {
			nc.Close()
		}
	}
	for range f.connections {
		nc, err := aria.Connect(i.server.Address)
		if err != nil {
			stop()
			return nil, err
		}
		conns = append(conns, nc)
	}
	b.say("starting %d workers", f.workers)
	tick := time.NewTicker(f.interval / time.Duration(f.workers))
	defer tick.Stop()
	for n := range f.workers {
		w := aria.NewWorker(conns[n%len(conns)], aria.WorkerOptions{
			Name: fmt.Sprintf("node-%05d", n), Slots: f.held, Tags: map[string]string{"pool": f.pool}, Hold: true,
			Ledger: l, OnHeartbeat: heard.add,
		})
		workers = append(workers, w)
		if err := w.Start(ctx); err != nil {
			stop()
			return nil, fmt.Errorf("worker %d: %w", n, err)
		}
		<-tick.C
	}
	return stop, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
