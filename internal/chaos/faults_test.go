//go:build soak

package chaos

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// kind is a kind of fault, by the name that the report has.
type kind string

const (
	workerKill     kind = "worker: kill -9, restarted within 2 s"
	workerKillLong kind = "worker: kill -9, restarted after heartbeat_timeout"
	workerStop     kind = "worker: SIGSTOP, shorter than heartbeat_timeout"
	workerStopLong kind = "worker: SIGSTOP, longer than heartbeat_timeout"
	aria2Kill      kind = "aria2c: kill -9"
	dispatcherKill kind = "dispatcher: kill -9, restarted within 3 s"
	natsKill       kind = "nats-server: kill -9, restarted within 3 s"
	natsRestart    kind = "nats-server: SIGTERM, restarted within 3 s"
	natsReload     kind = "nats-server: reload"
	natsPayload    kind = "nats-server: reload with a smaller max_payload, then with the former"
)

// kinds has all kinds, in the order of the report, with how often each is in a deck.
var kinds = []struct {
	kind  kind
	times int
}{
	{workerKill, 2}, {workerKillLong, 1}, {workerStop, 3}, {workerStopLong, 1}, {aria2Kill, 3},
	{dispatcherKill, 2}, {natsKill, 1}, {natsRestart, 1}, {natsReload, 1}, {natsPayload, 2},
}

// smallPayload is too little for a list of the tasks, which is under way at the
// reload, and enough for everything else.
const smallPayload = 64 << 10

// fault is one that was injected.
type fault struct {
	kind      kind
	worker    string // "" where no worker is the target
	pause     time.Duration
	begun     time.Time
	ended     time.Time // the target runs again
	recovered time.Time
	hit       map[string]*model.Task // innocent tasks that the target held, in their state of then
	long      bool                   // the worker was killed, or stopped for longer than heartbeat_timeout
}

// seen is how long after a heartbeat a worker's stop may begin: a worker that is
// stopped for longer than heartbeat_timeout without it may be marked offline.
const seen = heartbeatInterval + time.Second

// injector injects faults, and notes them.
type injector struct {
	c    *cluster
	o    *observer
	load *load

	busy sync.Map // the names of targets that have a fault now

	mu     sync.Mutex
	faults []*fault
}

// claim makes a target the caller's alone until release.
func (i *injector) claim(target string) bool {
	_, taken := i.busy.LoadOrStore(target, true)
	return !taken
}

func (i *injector) release(target string) { i.busy.Delete(target) }

// inject injects a fault and waits until the cluster has recovered. The node is the
// target of faults of workers.
func (i *injector) inject(ctx context.Context, f *fault, n *node) {
	i.begin(f, n)
	err := i.harm(ctx, f, n)
	i.mu.Lock()
	f.ended = time.Now()
	i.mu.Unlock()
	if err != nil {
		i.c.problems.add("%s: %v", f.kind, err)
		return
	}
	// Other faults may come in between, so that this bound is not a promise.
	if !i.o.until(ctx, recoveryLimit, func(s *snapshot) bool { return f.over(s) }) {
		if ctx.Err() == nil {
			i.c.problems.add("%s of %q at %s: the tasks did not continue within %v: %s", f.kind, f.worker, f.begun.UTC().Format("15:04:05.000"), recoveryLimit, f.waiting(i.o.now()))
		}
		return
	}
	i.mu.Lock()
	f.recovered = time.Now()
	i.mu.Unlock()
}

// recoveryLimit bounds the time from the end of a fault until every task that it hit
// has ended or made progress.
const recoveryLimit = 90 * time.Second

// begin notes the fault and the innocent tasks that its target holds.
func (i *injector) begin(f *fault, n *node) {
	f.hit = make(map[string]*model.Task)
	if n != nil {
		f.worker = n.name
	}
	if s := i.o.now(); s != nil {
		for id, t := range s.live {
			if i.load.innocent(id) && t.WorkerID != "" && (n == nil || t.WorkerID == n.name) {
				f.hit[id] = t
			}
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	f.begun = time.Now()
	i.faults = append(i.faults, f)
}

// harm does what the fault says; at its return the target runs again.
func (i *injector) harm(ctx context.Context, f *fault, n *node) error {
	switch f.kind {
	case workerKill, workerKillLong:
		f.long = true
		return restart(ctx, n.program, syscall.SIGKILL, f.pause)
	case workerStop, workerStopLong:
		if err := n.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		wait(ctx, f.pause)
		err := n.signal(syscall.SIGCONT)
		i.mu.Lock()
		f.long = time.Since(f.begun) > heartbeatTimeout-seen // the time that it really took
		i.mu.Unlock()
		return err
	case aria2Kill:
		n.killAria2c() // it may be between two of them
		return nil
	case dispatcherKill:
		return restart(ctx, i.c.dispatcher, syscall.SIGKILL, f.pause)
	case natsKill:
		return restart(ctx, i.c.server, syscall.SIGKILL, f.pause)
	case natsRestart:
		return restart(ctx, i.c.server, syscall.SIGTERM, f.pause)
	case natsReload:
		return i.c.reload(maxPayload)
	case natsPayload:
		stop := i.askForLists(ctx)
		err := i.c.reload(smallPayload)
		wait(ctx, f.pause)
		stop()
		if err != nil {
			return err
		}
		return i.c.reload(maxPayload)
	}
	return fmt.Errorf("%q is unknown", f.kind)
}

// restart ends a program with a signal and starts it after a pause.
func restart(ctx context.Context, p *program, s syscall.Signal, pause time.Duration) error {
	if err := p.end(s, 30*time.Second); err != nil {
		return err
	}
	wait(ctx, pause)
	return p.start()
}

func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause): // how long the fault lasts
	case <-ctx.Done():
	}
}

// askForLists has large answers under way until stop is called.
func (i *injector) askForLists(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := list(ctx, i.c, model.ListQuery{}, func(*model.Task) {}); err != nil {
					wait(ctx, 50*time.Millisecond)
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// over reports whether the snapshot shows that everything the fault hit continues:
// the worker is back, and each task has ended or made progress.
func (f *fault) over(s *snapshot) bool {
	if s.asked.Before(f.ended) {
		return false
	}
	if f.worker != "" {
		w := s.workers[f.worker]
		if w == nil || w.Status == model.WorkerOffline || w.LastHeartbeat.Std().Before(f.ended) {
			return false
		}
	}
	return len(f.pending(s)) == 0
}

// pending returns the tasks that have neither ended nor made progress.
func (f *fault) pending(s *snapshot) (ids []string) {
	for id, before := range f.hit {
		t := s.live[id]
		if t == nil || t.Status == model.StatusDownloading && (t.Attempt > before.Attempt || t.CompletedLength > before.CompletedLength) {
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// waiting describes what the fault waits for.
func (f *fault) waiting(s *snapshot) string {
	if s == nil {
		return "the dispatcher never answered"
	}
	text := fmt.Sprintf("last answer %v ago", time.Since(s.asked).Round(time.Millisecond))
	if w := s.workers[f.worker]; w != nil {
		text += fmt.Sprintf("; %s is %s, heartbeat %v", w.ID, w.Status, w.LastHeartbeat)
	}
	for _, id := range f.pending(s) {
		t := s.live[id]
		text += fmt.Sprintf("; %s is %s, worker %q, attempt %d, %d bytes (%+v before)", id, t.Status, t.WorkerID, t.Attempt, t.CompletedLength, f.hit[id].CompletedLength)
	}
	return text
}
