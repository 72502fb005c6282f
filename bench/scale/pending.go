package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/aria"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// side is one of two dispatchers that are compared: one with the load, one
// without.
type side struct {
	*instance
	rates     []float64 // single submits a second
	p50s      []float64 // from the submit of a task that can be placed to its worker, ms
	p99s      []float64
	exchanges []float64 // from a report of a task that is done to the next task, p50, ms
	fast      *queue.Ledger
	slow      *aria.Worker
	given     chan struct{} // the slow worker got a task
}

// turns is how often the two take turns; a figure is the median.
const turns = 3

// slowSlots is how many tasks the worker of the backlog holds.
const slowSlots = 10

// shallow is the backlog of the dispatcher without load.
const shallow = 1000

// pendingPart fills one of two dispatchers, and has them take turns.
func (b *bench) pendingPart(ctx context.Context) error {
	b.table.head("%d pending tasks, store %s", b.pending, b.store)
	empty, err := b.newSide(ctx, filepath.Join(b.dir, "pending-empty"))
	if err != nil {
		return err
	}
	defer empty.stop()
	if err := empty.fill(ctx, shallow, "slow"); err != nil {
		return err
	}
	full, err := b.fullSide(ctx, filepath.Join(b.dir, "pending-full"))
	if err != nil {
		return err
	}
	defer full.stop()
	for range turns {
		for _, s := range []*side{empty, full} {
			if err := b.turn(ctx, s); err != nil {
				return err
			}
		}
	}
	t := b.table
	t.line("submits/s, 64 producers, empty", "%.0f", middle(empty.rates))
	t.line("submits/s, 64 producers, full", "%.0f", middle(full.rates))
	t.most("submits/s, empty ÷ full", middle(empty.rates)/middle(full.rates), 1.5, "")
	t.line("submit to worker at 200/s, p50/p99, empty", "%.2f / %.2f ms", middle(empty.p50s), middle(empty.p99s))
	t.line("submit to worker at 200/s, p50/p99, full", "%.2f / %.2f ms", middle(full.p50s), middle(full.p99s))
	t.most("submit to worker, p50, full ÷ empty", middle(full.p50s)/middle(empty.p50s), 1.5, "")
	t.line("done to next task, p50, a backlog of 1,000", "%.2f ms", middle(empty.exchanges))
	t.line("done to next task, p50, full", "%.2f ms", middle(full.exchanges))
	t.most("done to next task, p50, full ÷ empty", middle(full.exchanges)/middle(empty.exchanges), 1.5, "")
	return nil
}

// fullSide starts a side and makes its backlog. It measures the start on such a
// store, before the turns of the two add to it.
func (b *bench) fullSide(ctx context.Context, dir string) (*side, error) {
	s, err := b.newSide(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := b.fillPending(ctx, s, dir); err != nil {
		s.stop()
		return nil, err
	}
	if b.store == "memory" {
		return s, nil
	}
	s.stop()
	killed := 5.0
	if b.store == postgres {
		killed += leaseTTL
	}
	for _, start := range []struct {
		after string
		limit float64 // of seconds
	}{{"a clean end", 5}, {"kill -9", killed}} {
		if err := b.restart(ctx, dir, start.after, start.limit); err != nil {
			return nil, err
		}
	}
	again, err := b.newSide(ctx, dir)
	if err != nil {
		return nil, err
	}
	again.next = s.next
	return again, nil
}

// newSide starts a dispatcher with two workers: a fast one of tasks that find a slot at
// once, and a slow one with a growing backlog.
func (b *bench) newSide(ctx context.Context, dir string) (*side, error) {
	i, err := b.start(ctx, dir, b.store)
	if err != nil {
		return nil, err
	}
	s := &side{instance: i, fast: &queue.Ledger{}, given: make(chan struct{}, 100_000)}
	_, err = i.worker(ctx, aria.WorkerOptions{Name: "fast", Slots: 500, Tags: map[string]string{"pool": "fast"}, Ledger: s.fast})
	if err == nil {
		s.slow, err = i.worker(ctx, aria.WorkerOptions{
			Name: "slow", Slots: slowSlots, Tags: map[string]string{"pool": "slow"}, Ledger: &queue.Ledger{}, Hold: true,
			OnGiven: func() { s.given <- struct{}{} },
		})
	}
	if err != nil {
		i.stop()
		return nil, err
	}
	return s, nil
}

// fillPending makes the backlog, and prints its cost.
func (b *bench) fillPending(ctx context.Context, s *side, dir string) error {
	before, err := s.heap(ctx)
	if err != nil {
		return err
	}
	resident, disk := s.resident(), size(dir)
	b.say("submitting %d tasks", b.pending)
	start := time.Now()
	if err := s.fill(ctx, b.pending, "slow"); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := s.heap(ctx)
	if err != nil {
		return err
	}
	b.profile(ctx, s.instance, "heap", "pending.heap")
	n := float64(b.pending)
	b.table.line("tasks/s submitted, 1,000 a request", "%.0f", n/took.Seconds())
	b.table.most("heap in use, a pending task", (after-before)/n, 400, " B")
	b.table.line("resident memory, a pending task", "%.0f B", (s.resident()-resident)/n)
	b.table.line("database, a pending task", "%.0f B", (size(dir)-disk)/n)
	return nil
}

// turn measures one side once.
func (b *bench) turn(ctx context.Context, s *side) error {
	rate, err := s.submitRate(ctx, b.long, "slow")
	if err != nil {
		return err
	}
	s.rates = append(s.rates, rate)
	s.fast.Reset()
	before := s.fast.Account().Given
	n, err := s.trickle(ctx, b.long, "fast")
	if err != nil {
		return err
	}
	if err := s.fast.AwaitGiven(ctx, before+n); err != nil {
		return err
	}
	a := s.fast.Account()
	s.p50s, s.p99s = append(s.p50s, ms(a.P50)), append(s.p99s, ms(a.P99))
	exchanges, err := s.exchange(ctx)
	if err != nil {
		return err
	}
	s.exchanges = append(s.exchanges, exchanges)
	return faultless(s.fast)
}

// exchange has the slow worker finish one task after the other, each when it got
// one for the last, and returns the median time of that in ms.
func (s *side) exchange(ctx context.Context) (float64, error) {
	for len(s.given) > 0 {
		<-s.given
	}
	list := make([]time.Duration, 200)
	for k := range list {
		start := time.Now()
		if !s.slow.Finish() {
			return 0, errors.New("the slow worker holds nothing")
		}
		select {
		case <-s.given:
		case <-time.After(30 * time.Second):
			return 0, errors.New("no task came for one that was done")
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		list[k] = time.Since(start)
	}
	slices.Sort(list)
	return ms(queue.Percentile(list, 50)), nil
}

// restart starts the dispatcher again on its store, waits until a worker that
// was not there before is given a task, and kills it. after says how the one before
// has ended.
func (b *bench) restart(ctx context.Context, dir, after string, limit float64) error {
	start := time.Now()
	i, err := b.start(ctx, dir, b.store)
	if err != nil {
		return err
	}
	defer i.server.Processes[0].Stop(syscall.SIGKILL)
	ready := time.Since(start)
	given := make(chan struct{}, 100)
	ledger := &queue.Ledger{}
	if _, err := i.worker(ctx, aria.WorkerOptions{
		Name: fmt.Sprintf("late-%d", start.UnixNano()), Slots: 1, Tags: map[string]string{"pool": "slow"}, Ledger: ledger, OnGiven: func() { given <- struct{}{} }, Hold: true,
	}); err != nil {
		return err
	}
	select {
	case <-given:
	case <-time.After(time.Minute):
		return errors.New("after a restart no task comes for a minute")
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(start)
	tasks, err := i.live(ctx)
	if err != nil {
		return err
	}
	b.table.line("tasks that a start found after "+after, "%d", tasks)
	b.table.line("start to readiness after "+after, "%.2f s", ready.Seconds())
	b.table.most("start to first assignment after "+after, took.Seconds(), limit, " s")
	return faultless(ledger)
}
