package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// load is what an engine is benchmarked under.
type load struct {
	pending int
	workers int  // each with ten slots, all taken
	sets    int  // requirement sets among the pending tasks
	hosts   int  // hosts with a limit among them; 0 = no limit
	unique  bool // each worker has a tag of its own, besides
	ahead   int  // tasks that each worker holds beyond its slots
}

const slots = 10

func (l load) String() string {
	s := fmt.Sprintf("pending=%d/workers=%d/sets=%d/hosts=%d", l.pending, l.workers, max(l.sets, 1), l.hosts)
	if l.unique {
		s += "/unique-tags"
	}
	if l.ahead > 0 {
		s += fmt.Sprintf("/ahead=%d", l.ahead)
	}
	return s
}

// plain is the load of most benchmarks; around it one thing at a time is varied.
var plain = load{pending: 1_000_000, workers: 10_000}

func loads(sets ...load) []load {
	return append([]load{{pending: 1000, workers: 10_000}, {pending: 100_000, workers: 10_000}, plain}, sets...)
}

// bench is an engine under a load, and what its tasks are called.
type bench struct {
	*Engine
	load
	now  model.Time
	back model.Time // by which the wall clock was set back
	next int
	held [][]string // by worker: the tasks that it holds
	seq  int64
}

func newBench(b *testing.B, l load) *bench {
	b.Helper()
	cfg := testConfig()
	cfg.MaxPending, cfg.RequirementSets = 10_000_000, 10_000
	if l.hosts > 0 {
		cfg.PerHost = max(2, 2*l.workers*slots/l.hosts)
	}
	x := &bench{Engine: New(cfg, Clock{Wall: 1, Steady: 1}, Totals{}), load: l, now: 1, held: make([][]string, l.workers)}
	for w := range l.workers {
		x.step(Heartbeat{x.heartbeat(w)})
	}
	plan := x.turnOver(func() {
		for range l.pending + l.workers*(slots+l.ahead) {
			x.Step(x.submit())
		}
	})
	for {
		for _, a := range plan.Assign {
			w := number(a.Worker)
			x.held[w] = append(x.held[w], a.Task)
		}
		if !plan.More {
			break
		}
		plan = x.turnOver(func() {})
	}
	if n := len(x.held[0]) + len(x.held[l.workers-1]); n != 2*(slots+l.ahead) {
		b.Fatalf("the first and the last worker hold %d tasks", n)
	}
	return x
}

func (x *bench) turnOver(do func()) Plan {
	x.Begin(Clock{Wall: x.now - x.back, Steady: x.now}, true, Lookup{})
	do()
	return x.Engine.Plan()
}

func (x *bench) step(ev Event) Plan { return x.turnOver(func() { x.Step(ev) }) }

func (x *bench) submit() Event {
	n := x.next
	x.next++
	host := 0
	if x.hosts > 0 {
		host = n % x.hosts
	}
	s := &model.TaskSpec{ID: fmt.Sprintf("01JD%022d", n), URL: fmt.Sprintf("https://h%d.example/%d.bin", host, n)}
	if x.sets > 1 {
		s.Tags = map[string]string{"group": fmt.Sprint(n % x.sets)}
	}
	return Submit{Client: fmt.Sprint("c", n%7), Spec: s, Hash: model.Hash{1}}
}

func name(w int) string { return fmt.Sprintf("w%05d", w) }

func number(name string) (n int) {
	_, _ = fmt.Sscanf(name, "w%d", &n)
	return n
}

func (x *bench) heartbeat(w int) *model.Heartbeat {
	x.seq++
	h := &model.Heartbeat{
		WorkerID: name(w), Instance: "i", Epoch: 1, Seq: x.seq, State: model.StateReady, TotalSlots: slots, Prefetch: x.ahead,
		Capabilities: model.Capabilities{Tags: map[string]string{"location": "eu"}, Protocols: []string{"https", "ftp"}},
	}
	if x.sets > 1 {
		h.Capabilities.Tags["group"] = fmt.Sprint(w % x.sets)
	}
	if x.unique {
		h.Capabilities.Tags["node"] = name(w)
	}
	for i, id := range x.held[w] {
		r := model.Report{ID: strings.Clone(id), Attempt: 1, Status: model.ReportDownloading, CompletedLength: x.seq, TotalLength: 1 << 40}
		if i >= slots {
			r = model.Report{ID: r.ID, Attempt: 1, Status: model.ReportQueued}
		}
		h.Tasks = append(h.Tasks, r)
	}
	return h
}

// replace is one completion, and the placement of the next task; it returns how
// long the placement took.
func (x *bench) replace(w, i int) time.Duration {
	x.Begin(Clock{Wall: x.now, Steady: x.now}, true, Lookup{})
	x.Step(Report{Worker: name(w), Report: model.Report{ID: x.held[w][i], Attempt: 1, Status: model.ReportCompleted}})
	began := time.Now()
	plan := x.Engine.Plan()
	took := time.Since(began)
	if len(plan.Assign) != 1 {
		panic(fmt.Sprintf("one slot was freed, %d tasks were placed", len(plan.Assign)))
	}
	x.held[w][i] = plan.Assign[0].Task
	return took
}

// BenchmarkSubmit is one submit in a turn of its own; the tasks that the events
// name are made while the clock stands.
func BenchmarkSubmit(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			const lot = 10_000
			var events []Event
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if len(events) == 0 {
					b.StopTimer()
					for range lot {
						events = append(events, x.submit())
					}
					b.StartTimer()
				}
				x.step(events[len(events)-1])
				events = events[:len(events)-1]
			}
		})
	}
}

// BenchmarkHeartbeat is a heartbeat of a worker that holds ten tasks, each with new
// progress. Each heartbeat is made just before, as if it had been decoded; that does
// not count.
func BenchmarkHeartbeat(b *testing.B) {
	for _, l := range loads(load{pending: 1_000_000, workers: 10_000, unique: true}) {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			x.seconds(1) // from here on all are downloading
			var took time.Duration
			b.ResetTimer()
			for i := range b.N {
				if i%l.workers == 0 {
					x.now += 1000
					x.step(Tick{})
				}
				beat := Heartbeat{x.heartbeat(i % l.workers)}
				began := time.Now()
				x.step(beat)
				took += time.Since(began)
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
		})
	}
}

// seconds lets every worker beat, so often.
func (x *bench) seconds(n int) {
	for range n {
		x.now += 1000
		for w := range x.load.workers {
			x.step(Heartbeat{x.heartbeat(w)})
		}
	}
}

// BenchmarkReport is the progress of one task.
func BenchmarkReport(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				w := i % l.workers
				x.step(Report{Worker: name(w), Report: model.Report{
					ID: x.held[w][i%slots], Attempt: 1, Status: model.ReportDownloading, CompletedLength: int64(i), TotalLength: 1 << 40,
				}})
			}
		})
	}
}

// BenchmarkTick is a tick at which nothing is due.
func BenchmarkTick(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				x.step(Tick{})
			}
		})
	}
}

// BenchmarkTickWithProgress is a tick at which nothing is due but the progress of
// as many tasks as are written in a second.
func BenchmarkTickWithProgress(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			x.seconds(1) // from here on all are downloading
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				for w := range progressRate / slots {
					x.step(Heartbeat{x.heartbeat(w)})
				}
				x.flushedAt -= 1000 // a second has passed, and no worker is lost
				b.StartTimer()
				if plan := x.step(Tick{}); len(plan.Batch.Tasks) != progressRate {
					b.Fatalf("the progress of %d tasks is written", len(plan.Batch.Tasks))
				}
			}
		})
	}
}

// BenchmarkPlace is a completion and the placement of the next task in the freed
// slot; place-ns/op is the placement alone.
func BenchmarkPlace(b *testing.B) {
	for _, l := range loads(
		load{pending: 1_000_000, workers: 10}, load{pending: 1_000_000, workers: 1000},
		load{pending: 1_000_000, workers: 10_000, sets: 10}, load{pending: 1_000_000, workers: 10_000, sets: 1000},
		load{pending: 1_000_000, workers: 10_000, hosts: 1}, load{pending: 1_000_000, workers: 10_000, hosts: 1000},
		load{pending: 1_000_000, workers: 10_000, hosts: 100_000},
		load{pending: 1_000_000, workers: 10_000, unique: true},
		load{pending: 1_000_000, workers: 10_000, sets: 1000, hosts: 100_000, unique: true},
	) {
		b.Run(l.String(), func(b *testing.B) {
			x := newBench(b, l)
			var took time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%(l.pending/2) == 0 && i > 0 { // the backlog stays
					b.StopTimer()
					for range l.pending / 2 {
						x.turnOver(func() { x.Step(x.submit()) })
					}
					b.StartTimer()
				}
				took += x.replace(i%l.workers, i/l.workers%slots)
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "place-ns/op")
		})
	}
}

// BenchmarkTenThousandWorkers is one second of a cluster: 10,000 heartbeats, each
// with ten tasks that have got further, in turns of 100; 1,000 completions, the
// placements that follow, and as many submits. A second has 1e9 ns: 20% of a core is
// 200e6. The making of the events does not count.
func BenchmarkTenThousandWorkers(b *testing.B) {
	x := newBench(b, plain)
	x.seconds(1)
	var took time.Duration
	count := func(do func()) {
		began := time.Now()
		do()
		took += time.Since(began)
	}
	for second := range b.N {
		x.now += 1000
		count(func() { x.step(Tick{}) })
		for first := 0; first < x.load.workers; first += 100 {
			beats := make([]Event, 100)
			for i := range beats {
				beats[i] = Heartbeat{x.heartbeat(first + i)}
			}
			count(func() {
				x.turnOver(func() {
					for _, ev := range beats {
						x.Step(ev)
					}
				})
			})
		}
		for i := range 1000 {
			submit := x.submit()
			count(func() {
				x.replace((second*1000+i)%x.load.workers, second%slots)
				x.step(submit)
			})
		}
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
}
