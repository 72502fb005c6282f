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

// Block is the number of seeds in a row in which every kind of event and of fault
// has to come up.
const Block = 50

// Campaign is many stories, one for each seed, told on all cores.
type Campaign struct {
	First, Seeds uint64
	Off          []world.Fault
	Trouble      model.Duration
	// SQLite has every so many seeds told against SQLite too; 0 = none.
	SQLite uint64
}

// Failure is a story in which something did not hold.
type Failure struct {
	Options   world.Options
	SQLite    bool // it was told against SQLite too
	Violation *world.Violation
}

func (f *Failure) Error() string { return fmt.Sprintf("seed %d: %v", f.Options.Seed, f.Violation) }

// Command is the line that tells the story again.
func (f *Failure) Command() string {
	line := fmt.Sprintf("go run ./cmd/sim -v -seed %d", f.Options.Seed)
	if len(f.Options.Off) > 0 {
		names := make([]string, len(f.Options.Off))
		for i, off := range f.Options.Off {
			names[i] = string(off)
		}
		line += " -off " + strings.Join(names, ",")
	}
	if f.Options.Trouble > 0 {
		line += " -trouble " + f.Options.Trouble.Std().String()
	}
	return line
}

// Run tells the stories until one fails; of several that fail at once it returns
// the one with the lowest seed. Missing names what did not come up in a block.
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
				o := world.Options{Seed: c.First + i, Off: c.Off, Trouble: c.Trouble}
				r, err := RunSeed(o, c.SQLite > 0 && i%c.SQLite == 0)
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

// RunSeed tells the story of one seed twice, and if sqlite is true a third time with
// that for a store: it has to be the same story each time.
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

// runWithSQLite tells the story with that for a store, in a folder of its own.
func runWithSQLite(o world.Options, first *world.Result) (v *world.Violation) {
	dir, err := os.MkdirTemp("", "aria-sim-")
	if err != nil {
		return &world.Violation{Invariant: "store-agrees", What: err.Error()}
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil && v == nil {
			v = &world.Violation{Invariant: "store-agrees", What: err.Error()}
		}
	}()
	o.SQLite = dir
	third := world.Run(o)
	return cmp.Or(third.Violation, differs(first, third, "with SQLite"))
}

func differs(a *world.Result, b world.Result, how string) *world.Violation {
	if a.Trace == b.Trace && a.Lasted == b.Lasted && b.Violation == nil {
		return nil
	}
	return &world.Violation{Invariant: "same-story-again", At: a.Lasted, What: fmt.Sprintf("told %s, the seed gives traces %x and %x, %d and %d things, %v",
		how, a.Trace, b.Trace, a.Happens, b.Happens, b.Violation)}
}

// Shrink looks for a shorter story in which the same invariant does not hold:
// without kinds of faults that it does not need, and with less time of trouble.
func Shrink(f *Failure) *Failure {
	try := func(o world.Options) bool {
		_, again := RunSeed(o, f.SQLite)
		if again == nil || again.Violation.Invariant != f.Violation.Invariant {
			return false
		}
		f = again
		return true
	}
	faults, _ := world.Drawn(&f.Options)
	for _, fault := range faults {
		o := f.Options
		o.Off = append(slices.Clone(o.Off), fault)
		try(o)
	}
	_, trouble := world.Drawn(&f.Options)
	for trouble/2 >= world.MinTrouble {
		o := f.Options
		o.Trouble = model.Duration(trouble/2) * 1_000_000
		if !try(o) {
			break
		}
		trouble /= 2
	}
	return f
}
