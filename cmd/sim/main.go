// Command sim runs the dispatcher's own loop with injected faults and checks its
// invariants. See internal/sim/world.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/internal/sim/campaign"
	"github.com/aria-cluster/dispatcher/internal/sim/pair"
	"github.com/aria-cluster/dispatcher/internal/sim/world"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	first, seeds, seed, sqlite uint64
	one, verbose, bugs, shrink bool
	pair, once                 bool
	off, bug                   string
	trouble                    time.Duration
}

// run returns 0 if everything held, 1 if something did not, 2 after bad usage.
func run(args []string, out, errs io.Writer) int {
	var o options
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() {} // it is printed for -h only
	flags.Uint64Var(&o.seeds, "seeds", 300, "how many seeds in a row")
	flags.Uint64Var(&o.first, "first", 0, "the first of them")
	flags.Uint64Var(&o.seed, "seed", 0, "one seed alone")
	flags.BoolVar(&o.verbose, "v", false, "print the trace of that seed")
	flags.StringVar(&o.off, "off", "", "kinds of faults to disable, separated by commas")
	flags.DurationVar(&o.trouble, "trouble", 0, "length of the fault phase, at least 10s; 0 = drawn from the seed")
	flags.Uint64Var(&o.sqlite, "sqlite", 100, "interval of the seeds that run against SQLite too; 0 = none")
	flags.BoolVar(&o.shrink, "shrink", true, "look for a shorter run of a failure")
	flags.BoolVar(&o.bugs, "bugs", false, "plant every bug of internal/sim/campaign/testdata/bugs, which must be caught")
	flags.BoolVar(&o.pair, "pair", false, "run two dispatchers with one store, instead of one")
	flags.BoolVar(&o.once, "once", false, "run each seed once, without the check that its trace is the same again")
	flags.StringVar(&o.bug, "bug", "", "plant the bug of one file")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, "usage: sim [flags]")
		flags.SetOutput(out)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintln(errs, "sim: see -h")
		return 2
	}
	flags.Visit(func(f *flag.Flag) { o.one = o.one || f.Name == "seed" })
	off, err := faults(o.off)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is not expected", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(errs, "sim:", err)
		return 2
	}
	switch {
	case o.bugs || o.bug != "":
		return plant(o.bug, out, errs)
	case o.pair:
		return runPairs(&o, out)
	case o.one:
		return runSeed(&o, off, out)
	}
	return runSeeds(&o, off, out)
}

func faults(names string) ([]world.Fault, error) {
	var off []world.Fault
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' }) {
		f, err := world.ParseFault(name)
		if err != nil {
			return nil, err
		}
		off = append(off, f)
	}
	return off, nil
}

// runSeed runs one seed.
func runSeed(o *options, off []world.Fault, out io.Writer) int {
	s := world.Options{Seed: o.seed, Disabled: off, FaultPhase: model.Duration(o.trouble)}
	if o.verbose {
		s.TraceOut = out
	}
	tally, failure := campaign.RunSeed(s, o.sqlite > 0)
	if failure != nil {
		fmt.Fprintln(out, failure)
		return 1
	}
	fmt.Fprintf(out, "seed %d: %d things, %d events decided in %d turns; everything held\n",
		o.seed, tally.Steps, tally.Decided(), tally.Turns)
	return 0
}

// runSeeds runs many seeds, and shrinks the first failure.
func runSeeds(o *options, off []world.Fault, out io.Writer) int {
	began := time.Now()
	c := campaign.Campaign{First: o.first, Seeds: o.seeds, Off: off, Trouble: model.Duration(o.trouble), SQLite: o.sqlite, Once: o.once}
	tally, missing, failure := c.Run()
	tally.Print(out)
	fmt.Fprintf(out, "%d seeds, %d things, %d turns, %d events decided, in %.1f s\n",
		tally.Seeds, tally.Steps, tally.Turns, tally.Decided(), time.Since(began).Seconds())
	for _, kind := range missing {
		fmt.Fprintln(out, "there was no", kind)
	}
	if failure != nil {
		fmt.Fprintln(out, failure)
		if o.shrink {
			failure = campaign.Shrink(failure)
		}
		fmt.Fprintf(out, "%s\n# %v\n", failure.Command(), failure.Violation)
	}
	if failure != nil || len(missing) > 0 {
		return 1
	}
	return runPairs(&options{first: o.first, seeds: o.seeds / pairsPer}, out)
}

// pairsPer is how many seeds with one dispatcher are run for one with two.
const pairsPer = 5

// runPairs runs many seeds, or one, with two dispatchers.
func runPairs(o *options, out io.Writer) int {
	if o.one {
		o.first, o.seeds = o.seed, 1
		if o.verbose {
			pair.Run(o.seed, out)
		}
	}
	began := time.Now()
	counts, seed, err := campaign.Pairs(o.first, o.seeds)
	fmt.Fprintf(out, "pairs: %d seeds, %d terms, %d commits fenced, %d messages ignored, %d requests refused, %d leaders suspended, in %.1f s\n",
		o.seeds, counts.Terms, counts.Fenced, counts.Ignored, counts.Refused, counts.Suspended, time.Since(began).Seconds())
	if err != nil {
		fmt.Fprintf(out, "seed %d: %v\ngo run ./cmd/sim -pair -v -seed %d\n", seed, err, seed)
		return 1
	}
	return 0
}

// plant builds this command with each bug and runs it: it has to fail. An interrupt
// ends what is being built or run, and its folder is removed.
func plant(file string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	bugs, err := campaign.Bugs(ctx, file)
	if err != nil {
		fmt.Fprintln(errs, "sim:", err)
		return 2
	}
	missed := 0
	for b, catch := range campaign.RunBugs(ctx, bugs) {
		switch {
		case ctx.Err() != nil:
			fmt.Fprintln(errs, "sim: interrupted")
			return 2
		case catch.Err != nil:
			fmt.Fprintf(errs, "sim: %s: %v\n", b.Name, catch.Err)
			missed++
		case catch.By == "":
			fmt.Fprintf(out, "%-28s NOT CAUGHT: %s\n", b.Name, b.What)
			missed++
		default:
			fmt.Fprintf(out, "%-28s %s\n", b.Name, catch.By)
		}
	}
	fmt.Fprintf(out, "%d bugs, %d not caught\n", len(bugs), missed)
	return min(missed, 1)
}
