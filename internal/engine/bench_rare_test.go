package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// BenchmarkRare is one turn with what is rare and costs more than other events: the loop of the
// dispatcher answers nothing meanwhile. ns/op is all the turns that the event takes, max-ms the
// longest of them; a bound of 50 ms is the aim.
func BenchmarkRare(b *testing.B) {
	ahead := load{pending: 100_000, workers: 10_000, ahead: slots}
	tagged := load{pending: 100_000, workers: 10_000, sets: 1000, unique: true, ahead: slots}
	for _, c := range []struct {
		name string
		load load
		turn func(x *bench, i int) []Event
	}{
		// The worker has a free slot then, and all others are full.
		{"all of a worker rejected", ahead, func(x *bench, i int) (events []Event) {
			for _, id := range x.held[i] {
				events = append(events, Report{Worker: name(i), Report: model.Report{ID: id, Attempt: 1, Status: model.ReportRejected}})
			}
			return events
		}},
		{"a task with a timeout", ahead, (*bench).submitTimeout},
		{"a task with a timeout", tagged, (*bench).submitTimeout},
		{"a task with a timeout for any worker", tagged, func(x *bench, _ int) []Event {
			s := x.submitTimeout(0)[0].(Submit)
			s.Spec.Tags = nil
			return []Event{s, Cancel{ID: s.Spec.ID}}
		}},
		{"a completion beside a task with a timeout", tagged, func(x *bench, i int) []Event {
			if i == 0 {
				x.turnOver(func() { x.Step(x.submitTimeout(0)[0]) })
			}
			return []Event{Report{Worker: name(i + 1), Report: model.Report{ID: x.held[i+1][0], Attempt: 1, Status: model.ReportCompleted}}}
		}},
		{"a size of a file that is new", tagged, func(x *bench, i int) []Event {
			r := model.Report{ID: x.held[i][0], Attempt: 1, Status: model.ReportFailed, TotalLength: int64(1+i) << 30, Error: &model.TaskError{Code: 1, Class: model.ClassWorker}}
			return []Event{Report{Worker: name(i), Report: r}}
		}},
		{"a tick beside an idle worker", ahead, func(x *bench, i int) []Event {
			if i == 0 {
				x.idle()
			}
			return []Event{Tick{}}
		}},
		{"a page of workers", ahead, func(*bench, int) []Event { return []Event{QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 100}}} }},
		{"status", tagged, func(*bench, int) []Event { return []Event{QueryStatus{}} }},
		{"a drain", ahead, func(_ *bench, i int) []Event { return []Event{DrainWorker{ID: name(i)}} }},
		{"the wall clock set back", ahead, func(x *bench, i int) []Event {
			if i == 0 {
				x.deferAll()
			}
			x.back++
			return []Event{Tick{}}
		}},
		{"the end of an import", load{pending: 1000, workers: 100}, func(x *bench, _ int) []Event {
			x.importHeld(100_000)
			return []Event{FinishImport{}}
		}},
		{"a lost worker of 10,000 tasks", load{pending: 1000, workers: 10}, func(x *bench, i int) []Event {
			return []Event{RemoveWorker{ID: x.large(i, 10_000), Force: true}}
		}},
		{"a drained worker of 10,000 tasks", load{pending: 1000, workers: 10}, func(x *bench, i int) []Event {
			return []Event{DrainWorker{ID: x.large(i, 10_000)}}
		}},
	} {
		b.Run(c.name+"/"+c.load.String(), func(b *testing.B) {
			x := newBench(b, c.load)
			if c.load.ahead > 0 {
				x.seconds(1)
			}
			var took, longest time.Duration
			b.ResetTimer()
			for i := range b.N {
				events := c.turn(x, i)
				for more := true; more; events = nil {
					began := time.Now()
					more = x.turnOver(func() {
						for _, ev := range events {
							x.Step(ev)
						}
					}).More
					one := time.Since(began)
					took, longest = took+one, max(longest, one)
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
			b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
		})
	}
}

func (x *bench) submitTimeout(int) []Event {
	s := x.submit().(Submit)
	s.Spec.Timeout = model.Seconds(3600)
	return []Event{s}
}

// idle adds a worker with a free slot that can do none of the tasks, so that each tick looks for
// one that it could.
func (x *bench) idle() {
	h := x.heartbeat(0)
	h.WorkerID, h.Tasks, h.Capabilities.Protocols = "x", nil, []string{"sftp"}
	x.step(Heartbeat{h})
	x.now += 60_000
	for _, w := range x.Engine.workers {
		x.Engine.resetTimeout(w)
	}
}

// deferAll makes tasks that are to start later.
func (x *bench) deferAll() {
	x.turnOver(func() {
		for range 1_000_000 {
			s := x.submit().(Submit)
			s.Spec.NotBefore = x.now + 1<<40
			x.Step(s)
		}
	})
}

// importHeld imports tasks, which are held back.
func (x *bench) importHeld(n int) {
	var batch model.Batch
	for range n {
		s := x.submit().(Submit)
		s.Spec.Normalize(3)
		row := &model.Task{TaskSpec: *s.Spec, Client: "c", TaskState: model.TaskState{Status: model.StatusPending}}
		batch.Tasks = append(batch.Tasks, model.TaskChange{ID: row.ID, Put: row})
	}
	x.step(BeginImport{})
	x.step(Import{&batch})
}

// large adds a worker with many tasks, which it lists in part as queued, and returns its name.
func (x *bench) large(i, n int) string {
	id := fmt.Sprint("large", i)
	h := x.heartbeat(0)
	h.WorkerID, h.Tasks, h.TotalSlots, h.Prefetch = id, nil, n/2, n/2
	h.Capabilities.Tags = map[string]string{"large": id}
	x.step(Heartbeat{h})
	plan := x.turnOver(func() {
		for range n {
			s := x.submit().(Submit)
			s.Spec.Tags = h.Capabilities.Tags
			x.Step(s)
		}
	})
	for {
		for _, a := range plan.Assign {
			if a.Worker == id {
				h.Tasks = append(h.Tasks, model.Report{ID: a.Task, Attempt: a.Attempt, Status: model.ReportQueued})
			}
		}
		if !plan.More {
			break
		}
		plan = x.turnOver(func() {})
	}
	h.Seq++
	x.step(Heartbeat{h})
	return id
}
