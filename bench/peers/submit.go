package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// submitter makes jobs. Their numbers continue from one order to the next.
type submitter struct {
	producer queue.Producer
	next     atomic.Int64
}

func (s *submitter) handle(ctx context.Context, o *order) (outcome, error) {
	r := &submitRun{submitter: s, load: o.Load, limit: s.next.Load() + int64(o.Load.Jobs)}
	r.first = time.Now()
	r.end = r.first.Add(o.Load.For)
	var err error
	if o.Load.Rate > 0 {
		err = r.atRate(ctx)
	} else {
		err = r.asFastAsItGoes(ctx)
	}
	return outcome{Submitted: r.done.Load(), First: r.first, Last: time.Now()}, err
}

// submitRun is the work of one order.
type submitRun struct {
	*submitter
	load       load
	limit      int64 // numbers stay below it
	first, end time.Time
	done       atomic.Int64
}

// asFastAsItGoes has each producer submit again as soon as it is answered.
func (r *submitRun) asFastAsItGoes(ctx context.Context) error {
	size := max(r.load.Bulk, 1)
	errs := make([]error, r.load.Producers)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for errs[i] == nil && time.Now().Before(r.end) {
				from := r.take(size)
				if from < 0 {
					return
				}
				errs[i] = r.submit(ctx, from, size)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// take reserves the numbers of size jobs; -1 if there are no more.
func (r *submitRun) take(size int) int64 {
	for {
		from := r.next.Load()
		if from+int64(size) > r.limit {
			return -1
		}
		if r.next.CompareAndSwap(from, from+int64(size)) {
			return from
		}
	}
}

func (r *submitRun) submit(ctx context.Context, from int64, size int) error {
	if r.load.Bulk == 0 {
		if err := r.producer.Submit(ctx, queue.NewJob(from)); err != nil {
			return err
		}
		r.done.Add(1)
		return nil
	}
	jobs := make([]*queue.Job, size)
	for i := range jobs {
		jobs[i] = queue.NewJob(from + int64(i))
	}
	if err := r.producer.SubmitMany(ctx, jobs); err != nil {
		return err
	}
	r.done.Add(int64(size))
	return nil
}

// atRate submits by the clock: a job that is answered late delays none of the
// next.
func (r *submitRun) atRate(ctx context.Context) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	tick := time.NewTicker(time.Second / time.Duration(r.load.Rate))
	defer tick.Stop()
	for time.Now().Before(r.end) {
		from := r.take(1)
		if from < 0 {
			break
		}
		all.Go(func() {
			if err := r.submit(ctx, from, 1); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	all.Wait()
	return errors.Join(errs...)
}
