//go:build soak

package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// scene is a cluster with its tasks, and all that watches and harms it.
type scene struct {
	t        *testing.T
	seed     uint64
	innocent int
	duration time.Duration
	*injector
	trace *trace
}

// newScene starts a cluster of four workers, two of them with aria2, and prepares
// its tasks.
func newScene(t *testing.T, seed uint64, innocent int, duration time.Duration, hostile []downloadtest.HostileServer) *scene {
	t.Helper()
	c := startCluster(t, "aria2", "aria2", "direct", "direct")
	// The workers are busy for a little more than half of the time.
	mean := time.Duration(0.55 * float64(len(c.workers)*slots) * float64(duration) / float64(innocent))
	tr := newTrace()
	o := newObserver(c, tr)
	s := &scene{t: t, seed: seed, innocent: innocent, duration: duration, trace: tr}
	s.injector = &injector{c: c, o: o, load: newLoad(t, seed, innocent, duration, mean, hostile)}
	if err := tr.listen(c.nc); err != nil {
		t.Fatal(err)
	}
	return s
}

// play feeds the tasks while harm injects faults, waits until every task has ended,
// and returns the judge's report.
func (s *scene) play(harm func(ctx context.Context)) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.duration+settleLimit+time.Minute)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	all.Go(func() { s.o.run(watching) })
	if !s.o.until(ctx, testbed.Patience, func(now *snapshot) bool { return len(now.workers) == len(s.c.workers) }) {
		s.t.Fatal("the workers did not join")
	}
	fed := make(chan struct{})
	all.Go(func() {
		defer close(fed)
		if err := s.load.feed(ctx, s.c); err != nil {
			s.c.problems.add("%v", err)
			cancel() // the cluster is dead, more faults show nothing
		}
	})
	harm(ctx)
	<-fed
	if !s.o.until(ctx, settleLimit, func(now *snapshot) bool { return len(now.live) == 0 && s.count(ctx) }) {
		s.c.problems.add("%v after the last fault tasks had not ended: %s", settleLimit, s.unended())
	}
	j := &judge{c: s.c, load: s.load, trace: s.trace, faults: s.faults}
	ended, err := j.run(ctx)
	if err != nil {
		s.c.problems.add("the tasks could not be listed at the end: %v", err)
	}
	stop()
	all.Wait()
	s.c.stopAll()
	s.checkLogs()
	s.c.problems.report(s.t)
	return j.report(run{seed: s.seed, duration: s.duration, innocent: s.innocent, ended: ended})
}

// settleLimit bounds the time from the last fault to the end of the last task.
const settleLimit = 3 * time.Minute

// count reports whether the dispatcher has every task that was submitted: those in
// the intake come later.
func (s *scene) count(ctx context.Context) bool {
	n, want := 0, 0
	for _, it := range s.load.items {
		if it.hostile == nil || !it.hostile.Refused {
			want++
		}
	}
	err := list(ctx, s.c, model.ListQuery{}, func(*model.Task) { n++ })
	return err == nil && n >= want
}

func (s *scene) unended() string {
	now := s.o.now()
	var list []string
	for id, t := range now.live {
		list = append(list, fmt.Sprintf("%s is %s (%s), worker %q, attempt %d, %d of %d bytes; held by %s", id, t.Status, t.Reason, t.WorkerID, t.Attempt, t.CompletedLength, t.TotalLength,
			(&judge{trace: s.trace, faults: s.faults}).story(id)))
	}
	return strings.Join(list, "\n")
}

// checkLogs finds panics of the programs: their ends are reported anyway, except
// for those that a program recovered from.
func (s *scene) checkLogs() {
	programs := []*program{s.c.server, s.c.dispatcher}
	for _, n := range s.c.workers {
		programs = append(programs, n.program)
	}
	for _, p := range programs {
		if text := tail(p.log, 1<<30); strings.Contains(text, "panic") || strings.Contains(text, "goroutine 1 [") {
			s.c.problems.add("%s has a panic in %s", p.name, p.log)
		}
	}
}
