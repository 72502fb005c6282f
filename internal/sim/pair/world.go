package pair

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/sim/agenda"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

const (
	interval   = model.Time(5_000) // of heartbeats
	faultPhase = model.Time(240_000)
	tasks      = 150
	patience   = model.Time(600_000) // after the faults, until everything has ended
)

// epoch is the wall time at which each run begins.
var epoch = model.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// Counts is what occurred in a run.
type Counts struct {
	Terms     int // leaderships
	Fenced    int // commits of a deposed leader
	Ignored   int // messages of a deposed leader that a worker ignored
	Refused   int // requests that a dispatcher without a lease refused
	Suspended int // suspended processes that led
}

// Add adds the counts of another run.
func (c *Counts) Add(o Counts) {
	c.Terms += o.Terms
	c.Fenced += o.Fenced
	c.Ignored += o.Ignored
	c.Refused += o.Refused
	c.Suspended += o.Suspended
}

// Result is the outcome of a run.
type Result struct {
	Counts
	Trace     uint64 // hash of the trace
	Violation error  // nil: everything held
}

// world is the state of one run. One goroutine runs at a time.
type world struct {
	now    model.Time
	agenda agenda.Agenda
	engine engine.Config
	counts Counts
	over   bool

	netRand, rowRand, workerRand, faultRand, clientRand *rand.Rand

	row       row
	store     *memory.Store
	processes []*process
	workers   map[string]*worker
	acked     map[string]bool // submits that were acknowledged
	open      int             // submits that were not yet

	slowDisk bool // commits are slow
	slowNet  bool // commands to workers are

	traceHash hash.Hash64
	out       io.Writer
	violation error
}

// Run plays one seed. It writes the trace to out, unless that is nil.
func Run(seed uint64, out io.Writer) Result {
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	w := &world{
		netRand: stream(1), rowRand: stream(2), workerRand: stream(3), faultRand: stream(4), clientRand: stream(5),
		store: memory.New(), workers: make(map[string]*worker), acked: make(map[string]bool), traceHash: fnv.New64a(), out: out,
		engine: engine.Config{
			MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(1), RetryDelay: model.Seconds(10),
			HeartbeatInterval: interval.Sub(0), HeartbeatTimeout: 3 * interval.Sub(0), MaxPending: 100_000, RequirementSets: 100,
		},
	}
	for i, ttl := range []time.Duration{longTTL, shortTTL} {
		name := fmt.Sprint("d", i+1)
		x := &process{world: w, name: name, ttl: ttl, events: make(chan model.Time), resume: make(chan struct{})}
		w.processes = append(w.processes, x)
		w.planIn(between(w.faultRand, 0, 100), x.start)
	}
	for i := range 3 {
		k := &worker{world: w, name: fmt.Sprint("w", i), ended: make(map[model.TaskRef]bool), begun: make(map[string]int64)}
		w.workers[k.name] = k
		w.planIn(between(w.workerRand, 0, 5000), k.beat)
	}
	for i := range tasks {
		w.planSubmit(fmt.Sprint("t", i))
	}
	w.planFaults()
	w.planAt(faultPhase, w.settle)
	for w.violation == nil && !w.over {
		next := w.agenda.Next()
		w.now = max(w.now, next.At)
		next.Do()
		w.checkLeases()
	}
	w.over = true
	for _, x := range w.processes {
		x.end(0)
	}
	return Result{Counts: w.counts, Trace: w.traceHash.Sum64(), Violation: w.violation}
}

func (w *world) planAt(t model.Time, do func()) { w.agenda.Add(max(t, w.now), do) }
func (w *world) planIn(d model.Time, do func()) { w.agenda.Add(w.now+d, do) }

func (w *world) trace(format string, args ...any) {
	line := fmt.Appendf(nil, "%9.3f  ", float64(w.now)/1000)
	line = append(fmt.Appendf(line, format, args...), '\n')
	_, _ = w.traceHash.Write(line) // a hash never fails
	if w.out != nil {
		_, _ = w.out.Write(line) // a failing writer does not fail the run
	}
}

// violate ends the run: an invariant does not hold.
func (w *world) violate(invariant, format string, args ...any) {
	if w.violation == nil {
		w.violation = fmt.Errorf("%s does not hold at %v: %s", invariant, w.now.Sub(0).Std(), fmt.Sprintf(format, args...))
		w.trace("VIOLATION %v", w.violation)
	}
}

// deliver brings a message over the network.
func (w *world) deliver(arrive func()) { w.planIn(between(w.netRand, 1, 8), arrive) }

// deliverCommand brings a command over the network. A connection that stalls keeps it for
// less than the time after which the dispatcher takes back an assignment that is not listed.
func (w *world) deliverCommand(arrive func()) {
	if w.slowNet && chance(w.netRand, 2) {
		w.planIn(between(w.netRand, 500, 9_000), arrive)
		return
	}
	w.deliver(arrive)
}

// request carries a question to each dispatcher that serves, because each term has a queue
// group of its own, and the first answer back. failed is called if no answer comes in time. A
// suspended dispatcher reads the question when it continues.
func (w *world) request(ops []engine.Event, answered func(origin int64, answers []engine.Answer), failed func()) {
	over := false
	w.planIn(requestTimeout, func() {
		if !over {
			over = true
			failed()
		}
	})
	for _, x := range w.processes {
		w.deliver(func() {
			if x.stepper == nil {
				return // it has no subscription
			}
			origin := x.lease.Term()
			x.plan(0, func() {
				if x.stepper == nil || x.lease.Term() != origin {
					return
				}
				x.receive(ops, func(answers []engine.Answer) {
					w.deliver(func() {
						if !over {
							over = true
							answered(origin, answers)
						}
					})
				})
			})
		})
	}
}

// planSubmit has a client submit a task until it is acknowledged.
func (w *world) planSubmit(id string) {
	w.open++
	spec := &model.TaskSpec{ID: id, URL: "https://h.example/" + id}
	var submit func()
	submit = func() {
		again := func() { w.planIn(1000, submit) }
		w.request([]engine.Event{engine.Submit{Client: "c", Spec: spec, Hash: spec.Hash(), Chosen: true}}, func(_ int64, a []engine.Answer) {
			if a[0].Err != nil {
				again()
				return
			}
			w.acked[id] = true
			w.open--
		}, again)
	}
	w.planIn(between(w.clientRand, 0, int(faultPhase)), submit)
}

func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// between is a time from low to high milliseconds.
func between(r *rand.Rand, low, high int) model.Time { return model.Time(low + r.IntN(high-low+1)) }
