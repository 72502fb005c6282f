package world

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/sim/agenda"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Options describes one run.
type Options struct {
	Seed       uint64
	SQLite     string         // the folder for SQLite files; empty: the memory store
	Disabled   []Fault        // faults that do not occur
	FaultPhase model.Duration // length of the fault phase, at least 10 s; 0 = drawn from the seed
	TraceOut   io.Writer      // receives the trace; nil = discarded
}

// Result is the outcome of a run.
type Result struct {
	Stats
	Trace     uint64     // hash of the trace
	Duration  model.Time // virtual milliseconds
	Violation *Violation // nil: everything held
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	At        model.Time
	Detail    string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s does not hold at %v: %s", v.Invariant, v.At.Sub(0).Std(), v.Detail)
}

// epoch is the wall time at which each run begins.
var epoch = model.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// maxSettling bounds the settling phase, in which each task must end.
const maxSettling = model.Time(2 * 60 * 60 * 1000)

// world is the state of one run.
type world struct {
	options Options
	plan    scenario
	stats   Stats

	now           model.Time // steady, since the beginning
	wallOffset    model.Time // of the wall clock from it
	agenda        agenda.Agenda
	settlingSince model.Time // 0 in the fault phase
	finished      bool

	traceHash hash.Hash64
	line      []byte

	// Each part has its own numbers, so that a disabled fault changes little else.
	networkRand, clientRand, workerRand, faultRand, importRand, serverRand *rand.Rand

	primary   *dispatcher
	secondary *dispatcher // sometimes
	clients   []*client
	workers   []*worker
	outage    bool // no message arrives
	busyHosts map[string]*busyHost

	importers      []*importer
	importing      *importer // the one with an open import
	importFails    int       // imports with a commit that fails
	reloadInImport int       // imports with a reload between two of their commits

	backup    *backup
	files     int // of SQLite
	violation *Violation
}

// Run plays one seed.
func Run(o Options) (result Result) {
	w := &world{options: o, plan: drawScenario(o.Seed, &o), stats: NewStats(), traceHash: fnv.New64a()}
	w.networkRand, w.clientRand, w.workerRand, w.faultRand = stream(o.Seed, 1), stream(o.Seed, 2), stream(o.Seed, 3), stream(o.Seed, 4)
	w.importRand, w.serverRand = stream(o.Seed, 5), stream(o.Seed, 7)
	w.busyHosts = make(map[string]*busyHost)
	defer func() {
		if p := recover(); p != nil {
			w.violation = &Violation{"no-panic", w.now, fmt.Sprintf("%v\n%s", p, panicPlaces())}
		}
		w.close()
		w.stats.Seeds = 1
		result = Result{Stats: w.stats, Trace: w.traceHash.Sum64(), Duration: w.now, Violation: w.violation}
	}()
	w.setUp()
	for w.violation == nil && !w.finished {
		next := w.agenda.Next()
		w.now = max(w.now, next.At)
		w.stats.Steps++
		next.Do()
	}
	return result
}

// stream is one of the sequences of numbers of a seed.
func stream(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// panicPlaces is the part of the stack that is of interest after a panic: the places in this
// module.
func panicPlaces() string {
	var frames []string
	lines := strings.Split(string(debug.Stack()), "\n")
	for i, line := range lines[:len(lines)-1] {
		if strings.HasPrefix(line, "github.com/aria-cluster/dispatcher/") {
			frames = append(frames, strings.TrimSpace(lines[i+1]))
		}
	}
	return strings.Join(frames[min(1, len(frames)):min(7, len(frames))], "\n")
}

// setUp creates clients and workers, and plans the faults.
func (w *world) setUp() {
	w.trace("seed %d: %d clients, %d workers, %d tasks each, %d s of trouble with %d kinds of faults",
		w.options.Seed, w.plan.clients, w.plan.workers, w.plan.tasks, w.plan.faultPhase/1000, len(w.plan.faults))
	w.primary = newDispatcher(w, "d1")
	w.primary.start()
	for i := range w.plan.workers {
		w.addWorker(fmt.Sprintf("w%d", i+1))
	}
	for i := range w.plan.clients {
		w.addClient(fmt.Sprintf("c%d", i+1))
	}
	for i := range w.importRand.IntN(3) {
		w.addImporter(i)
	}
	w.planFaults()
	w.planAt(w.plan.faultPhase, w.beginSettling)
}

// close closes the stores.
func (w *world) close() {
	for _, d := range []*dispatcher{w.primary, w.secondary} {
		if d != nil {
			if err := d.store.close(); err != nil && w.violation == nil {
				w.violation = &Violation{"store-closes", w.now, err.Error()}
			}
		}
	}
}

// planAt plans something.
func (w *world) planAt(t model.Time, do func()) { w.agenda.Add(max(t, w.now), do) }

// planIn plans something for later.
func (w *world) planIn(d model.Time, do func()) { w.agenda.Add(w.now+d, do) }

// wall is the wall clock.
func (w *world) wall() model.Time { return epoch + w.now + w.wallOffset }

// trace adds a line to the trace.
func (w *world) trace(format string, args ...any) {
	w.print(format, args...)
	_, _ = w.traceHash.Write(w.line) // a hash never fails
}

// print prints a line that is not part of the trace.
func (w *world) print(format string, args ...any) {
	w.line = fmt.Appendf(w.line[:0], "%9.3f  ", float64(w.now)/1000)
	w.line = fmt.Appendf(w.line, format, args...)
	w.line = append(w.line, '\n')
	if w.options.TraceOut != nil {
		_, _ = w.options.TraceOut.Write(w.line) // a failing writer does not fail the run
	}
}

// violate ends the run: an invariant does not hold.
func (w *world) violate(invariant, format string, args ...any) {
	if w.violation == nil {
		w.violation = &Violation{invariant, w.now, fmt.Sprintf(format, args...)}
		w.trace("VIOLATION %s: %s", invariant, w.violation.Detail)
	}
}

// countFault counts a fault that had its effect.
func (w *world) countFault(f Fault) { w.stats.Faults[f]++ }

// Now implements [oracle.World].
func (w *world) Now() model.Time { return w.now }

// Wall implements [oracle.World].
func (w *world) Wall() model.Time { return w.wall() }

// Turns implements [oracle.World].
func (w *world) Turns() int { return w.stats.Turns }

// Failed implements [oracle.World].
func (w *world) Failed() bool { return w.violation != nil }

// Say implements [oracle.World].
func (w *world) Say(format string, args ...any) { w.trace(format, args...) }

// Violate implements [oracle.World].
func (w *world) Violate(invariant, format string, args ...any) { w.violate(invariant, format, args...) }

// CountEvent implements [oracle.World].
func (w *world) CountEvent(kind string) { w.stats.Events[kind]++ }

// ImportCommitFailed implements [oracle.World].
func (w *world) ImportCommitFailed() { w.countFault(ImportCommitFails) }

// ReloadedInImport implements [oracle.World].
func (w *world) ReloadedInImport() { w.countFault(ReloadInImport) }

// hasFaults reports whether the fault phase lasts.
func (w *world) hasFaults() bool { return w.settlingSince == 0 }
