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

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Options is how one story is told.
type Options struct {
	Seed     uint64
	SQLite   string         // the folder for SQLite files; empty: the memory store
	Off      []Fault        // that do not happen
	Trouble  model.Duration // how long things go wrong, at least 10 s; 0 = drawn from the seed
	TraceOut io.Writer      // where it is printed; nil = nowhere
}

// Result is what came of a story.
type Result struct {
	Stats
	Trace     uint64     // hash of all that was said
	Lasted    model.Time // virtual milliseconds
	Violation *Violation // nil: everything held
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	At        model.Time
	What      string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s does not hold at %v: %s", v.Invariant, v.At.Sub(0).Std(), v.What)
}

// epoch is the wall time at which every story begins.
var epoch = model.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// maxCalm bounds the time after the trouble, in which everything must end.
const maxCalm = model.Time(2 * 60 * 60 * 1000)

// world is one story while it is told.
type world struct {
	opts  Options
	plan  scenario
	tally Stats

	now    model.Time // steady, since the beginning
	ahead  model.Time // of it is the wall clock
	agenda agenda
	calm   model.Time // when the trouble ended; 0 before
	ended  bool

	trace hash.Hash64
	line  []byte

	// Each has its own numbers, so that switching off a fault changes little
	// else.
	net, user, node, luck, mover *rand.Rand

	main    *dispatcher
	second  *dispatcher // now and then
	clients []*client
	workers []*worker
	outage  bool // nobody reaches anybody

	importers      []*importer
	importing      *importer // whose import is under way
	importFails    int       // imports with a commit that fails
	reloadInImport int       // and with a reload between two of their commits

	backup *backup
	files  int // of SQLite
	failed *Violation
}

// Run tells the story of one seed.
func Run(o Options) (result Result) {
	w := &world{opts: o, plan: draw(o.Seed, &o), tally: NewStats(), trace: fnv.New64a()}
	w.net, w.user, w.node, w.luck = stream(o.Seed, 1), stream(o.Seed, 2), stream(o.Seed, 3), stream(o.Seed, 4)
	w.mover = stream(o.Seed, 5)
	defer func() {
		if p := recover(); p != nil {
			w.failed = &Violation{"no-panic", w.now, fmt.Sprintf("%v\n%s", p, where())}
		}
		w.close()
		w.tally.Seeds = 1
		result = Result{Stats: w.tally, Trace: w.trace.Sum64(), Lasted: w.now, Violation: w.failed}
	}()
	w.build()
	for w.failed == nil && !w.ended {
		next := w.agenda.next()
		w.now = max(w.now, next.at)
		w.tally.Happens++
		next.do()
	}
	return result
}

// stream is one of the sequences of numbers of a seed.
func stream(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// where is the part of the stack that is of interest after a panic: the places in this
// module.
func where() string {
	var frames []string
	lines := strings.Split(string(debug.Stack()), "\n")
	for i, line := range lines[:len(lines)-1] {
		if strings.HasPrefix(line, "github.com/aria-cluster/dispatcher/") {
			frames = append(frames, strings.TrimSpace(lines[i+1]))
		}
	}
	return strings.Join(frames[min(1, len(frames)):min(7, len(frames))], "\n")
}

// build sets up everybody and plans what will go wrong.
func (w *world) build() {
	w.say("seed %d: %d clients, %d workers, %d tasks each, %d s of trouble with %d kinds of faults",
		w.opts.Seed, w.plan.clients, w.plan.workers, w.plan.tasks, w.plan.trouble/1000, len(w.plan.faults))
	w.main = newDispatcher(w, "d1")
	w.main.start()
	for i := range w.plan.workers {
		w.addWorker(fmt.Sprintf("w%d", i+1))
	}
	for i := range w.plan.clients {
		w.addClient(fmt.Sprintf("c%d", i+1))
	}
	for i := range w.mover.IntN(3) {
		w.addImporter(i)
	}
	w.planFaults()
	w.at(w.plan.trouble, w.endTrouble)
}

// close lets go of the stores.
func (w *world) close() {
	for _, d := range []*dispatcher{w.main, w.second} {
		if d != nil {
			if err := d.store.close(); err != nil && w.failed == nil {
				w.failed = &Violation{"store-closes", w.now, err.Error()}
			}
		}
	}
}

// at plans something.
func (w *world) at(t model.Time, do func()) { w.agenda.add(max(t, w.now), do) }

// in plans something for later.
func (w *world) in(d model.Time, do func()) { w.agenda.add(w.now+d, do) }

// wall is the wall clock.
func (w *world) wall() model.Time { return epoch + w.now + w.ahead }

// say tells what happens; all that is said makes the trace.
func (w *world) say(format string, args ...any) {
	w.print(format, args...)
	_, _ = w.trace.Write(w.line) // a hash never fails
}

// print prints what is no part of the trace.
func (w *world) print(format string, args ...any) {
	w.line = fmt.Appendf(w.line[:0], "%9.3f  ", float64(w.now)/1000)
	w.line = fmt.Appendf(w.line, format, args...)
	w.line = append(w.line, '\n')
	if w.opts.TraceOut != nil {
		_, _ = w.opts.TraceOut.Write(w.line) // a story that nobody hears is no error
	}
}

// violate ends the story: an invariant does not hold.
func (w *world) violate(invariant, format string, args ...any) {
	if w.failed == nil {
		w.failed = &Violation{invariant, w.now, fmt.Sprintf(format, args...)}
		w.say("VIOLATION %s: %s", invariant, w.failed.What)
	}
}

// struck counts a fault that had its effect.
func (w *world) struck(f Fault) { w.tally.Faults[f]++ }

// Now implements [oracle.World].
func (w *world) Now() model.Time { return w.now }

// Wall implements [oracle.World].
func (w *world) Wall() model.Time { return w.wall() }

// Turns implements [oracle.World].
func (w *world) Turns() int { return w.tally.Turns }

// Failed implements [oracle.World].
func (w *world) Failed() bool { return w.failed != nil }

// Say implements [oracle.World].
func (w *world) Say(format string, args ...any) { w.say(format, args...) }

// Violate implements [oracle.World].
func (w *world) Violate(invariant, format string, args ...any) { w.violate(invariant, format, args...) }

// CountEvent implements [oracle.World].
func (w *world) CountEvent(kind string) { w.tally.Events[kind]++ }

// ImportCommitFailed implements [oracle.World].
func (w *world) ImportCommitFailed() { w.struck(ImportCommitFails) }

// ReloadedInImport implements [oracle.World].
func (w *world) ReloadedInImport() { w.struck(ReloadInImport) }

// troubled reports whether things may go wrong now.
func (w *world) troubled() bool { return w.calm == 0 }
