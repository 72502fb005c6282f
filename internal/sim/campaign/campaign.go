package campaign

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/internal/sim/world"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Block is the number of consecutive seeds in which each kind of event and fault must
// occur.
const Block = 50

// Campaign runs many seeds on all cores.
type Campaign struct {
	First, Seeds uint64
	Off          []world.Fault
	Trouble      model.Duration
	// Once runs each seed once: that the trace is the same each time is not checked.
	Once bool
	// SQLite is the interval of the seeds that run against SQLite too; 0 = no seed.
	SQLite uint64
}

// Failure is a seed in which an invariant did not hold.
type Failure struct {
	Options   world.Options
	SQLite    bool // it ran against SQLite too
	Violation *world.Violation
}

func (f *Failure) Error() string { return fmt.Sprintf("seed %d: %v", f.Options.Seed, f.Violation) }

// Command is the command that repeats the failure.
func (f *Failure) Command() string {
	line := fmt.Sprintf("go run ./cmd/sim -v -seed %d", f.Options.Seed)
	if len(f.Options.Disabled) > 0 {
		names := make([]string, len(f.Options.Disabled))
		for i, off := range f.Options.Disabled {
			names[i] = string(off)
		}
		line += " -off " + strings.Join(names, ",")
	}
	if f.Options.FaultPhase > 0 {
		line += " -trouble " + f.Options.FaultPhase.Std().String()
	}
	return line
}

// Run runs the seeds until one fails; of several that fail at once it returns
// the one with the lowest seed. Missing names the kinds that did not occur in a block.
func (c Campaign) Run() (tally world.Stats, missing []string, failure *Failure) {
	var next atomic.Uint64
	var mu sync.Mutex
	blocks := make([]world.Stats, (c.Seeds+Block-1)/Block)
	for i := range blocks {
		blocks[i] = world.NewStats()
	}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				i := next.Add(1) - 1
				mu.Lock()
				stop := i >= c.Seeds || failure != nil && failure.Options.Seed < c.First+i
				mu.Unlock()
				if stop {
					return
				}
				o := world.Options{Seed: c.First + i, Disabled: c.Off, FaultPhase: c.Trouble}
				r, err := c.runSeed(o, c.SQLite > 0 && i%c.SQLite == 0)
				mu.Lock()
				blocks[i/Block].Add(&r)
				if err != nil && (failure == nil || o.Seed < failure.Options.Seed) {
					failure = err
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	tally = world.NewStats()
	for i := range blocks {
		tally.Add(&blocks[i])
		if failure == nil && blocks[i].Seeds == Block && len(c.Off) == 0 {
			for _, kind := range blocks[i].Missing() {
				missing = append(missing, fmt.Sprintf("%s in the seeds %d to %d", kind, c.First+uint64(i)*Block, c.First+uint64(i+1)*Block-1))
			}
		}
	}
	return tally, missing, failure
}

func (c *Campaign) runSeed(o world.Options, sqlite bool) (world.Stats, *Failure) {
	if !c.Once {
		return RunSeed(o, sqlite)
	}
	r := world.Run(o)
	if r.Violation != nil {
		return r.Stats, &Failure{o, sqlite, r.Violation}
	}
	return r.Stats, nil
}

// RunSeed runs one seed twice, and if sqlite is true a third time with a SQLite store:
// the trace must be the same each time.
func RunSeed(o world.Options, sqlite bool) (world.Stats, *Failure) {
	first := world.Run(o)
	if first.Violation != nil {
		return first.Stats, &Failure{o, sqlite, first.Violation}
	}
	o.TraceOut = nil
	if v := differs(&first, world.Run(o), "twice"); v != nil {
		return first.Stats, &Failure{o, sqlite, v}
	}
	if !sqlite {
		return first.Stats, nil
	}
	if v := runWithSQLite(o, &first); v != nil {
		return first.Stats, &Failure{o, sqlite, v}
	}
	return first.Stats, nil
}

// runWithSQLite runs the seed with a SQLite store in a folder of its own.
func runWithSQLite(o world.Options, first *world.Result) (v *world.Violation) {
	dir, err := os.MkdirTemp("", "aria-sim-")
	if err != nil {
		return &world.Violation{Invariant: "store-agrees", Detail: err.Error()}
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil && v == nil {
			v = &world.Violation{Invariant: "store-agrees", Detail: err.Error()}
		}
	}()
	o.SQLite = dir
	third := world.Run(o)
	return cmp.Or(third.Violation, differs(first, third, "with SQLite"))
}

func differs(a *world.Result, b world.Result, how string) *world.Violation {
	if a.Trace == b.Trace && a.Duration == b.Duration && b.Violation == nil {
		return nil
	}
	return &world.Violation{Invariant: "same-story-again", At: a.Duration, Detail: fmt.Sprintf("run %s, the seed gives traces %x and %x, %d and %d things, %v",
		how, a.Trace, b.Trace, a.Steps, b.Steps, b.Violation)}
}

// Shrink looks for a shorter run in which the same invariant does not hold: without
// kinds of faults that it does not need, and with a shorter fault phase.
func Shrink(f *Failure) *Failure {
	try := func(o world.Options) bool {
		_, again := RunSeed(o, f.SQLite)
		if again == nil || again.Violation.Invariant != f.Violation.Invariant {
			return false
		}
		f = again
		return true
	}
	faults, _ := world.DrawnScenario(&f.Options)
	for _, fault := range faults {
		o := f.Options
		o.Disabled = append(slices.Clone(o.Disabled), fault)
		try(o)
	}
	_, trouble := world.DrawnScenario(&f.Options)
	for trouble/2 >= world.MinFaultPhase {
		o := f.Options
		o.FaultPhase = model.Duration(trouble/2) * 1_000_000
		if !try(o) {
			break
		}
		trouble /= 2
	}
	return f
}
