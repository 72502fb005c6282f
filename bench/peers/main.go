package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/cli"
	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		if err := runRole(allSystems(programs{}), os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	cli.Main(run)
}

// options are the flags.
type options struct {
	root, systems, scenarios string
	rounds, jobs             int
	long                     time.Duration
	quick, check             bool
	chart, raw, profiles     string
}

// FailsBelowGoals implements [cli.Options].
func (o *options) FailsBelowGoals() bool { return o.check }

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository, whose dispatcher is built and measured")
	f.StringVar(&o.systems, "systems", "", "which, with commas; default all: "+names(allSystems(programs{}), queue.System.Name))
	f.StringVar(&o.scenarios, "scenarios", "", "which, with commas; default all: "+names(allScenarios(0, 0), scenarioName))
	f.IntVar(&o.rounds, "rounds", 5, "how often each system is measured in each scenario")
	f.IntVar(&o.jobs, "jobs", 50_000, "jobs of one measurement, at most")
	f.DurationVar(&o.long, "for", 5*time.Second, "how long jobs are submitted in one measurement, at most")
	f.BoolVar(&o.quick, "quick", false, "a minute: two short rounds, without some systems and scenarios; figures are rough")
	f.BoolVar(&o.check, "check", false, "exit with 1 if a goal is not reached")
	f.StringVar(&o.chart, "chart", "", "write a chart to this SVG file")
	f.StringVar(&o.profiles, "profiles", "", "write a CPU profile of the dispatcher, of every measurement of 2 s or more, to this folder; it costs a few percent")
	f.StringVar(&o.raw, "json", "", "write every single figure to this file")
	if err := cli.Parse(f, args, stderr); err != nil {
		return nil, err
	}
	if o.quick {
		o.rounds, o.jobs, o.long = 2, 6_000, 500*time.Millisecond
		if o.systems == "" {
			o.systems = strings.Join([]string{ariaMemory, ariaFull, asynqEverysec, asynqAlways, river}, ",")
		}
		if o.scenarios == "" {
			o.scenarios = strings.Join([]string{single64, single512, bulk, latency}, ",")
		}
	}
	return &o, nil
}

func scenarioName(s scenario) string { return s.Name }

func names[T any](list []T, name func(T) string) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = name(x)
	}
	return strings.Join(words, ",")
}

// run is main with everything from outside as arguments; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Compare(ctx, "peers", args, stdout, stderr, parse, compare)
}

// compare measures and prints; it returns whether all goals were reached.
func compare(ctx context.Context, o *options, stdout, stderr io.Writer) (bool, error) {
	dir, err := cli.TempDir("", "aria-peers-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	built, err := build(ctx, o.root, dir)
	if err != nil {
		return false, err
	}
	built.profile = o.profiles != ""
	systems, err := choose(allSystems(built), o.systems, queue.System.Name)
	if err != nil {
		return false, err
	}
	scenarios, err := choose(allScenarios(o.jobs, o.long), o.scenarios, scenarioName)
	if err != nil {
		return false, err
	}
	rep := &report{scenarios: scenarios, rounds: o.rounds, long: o.long, busy: proc.LoadAverage()}
	rep.systems = present(systems, stderr)
	if rep.results, err = measure(ctx, rep, dir, o.profiles, stderr); err != nil {
		return false, err
	}
	return rep.print(stdout), figures.Write(o.raw, rep.results, o.chart, rep.chart)
}

// present omits systems that are not installed, and prints their names.
func present(systems []queue.System, stderr io.Writer) []queue.System {
	var here []queue.System
	for _, s := range systems {
		if text := s.Missing(); text != "" {
			fmt.Fprintf(stderr, "%s is NOT MEASURED: %s\n", s.Title(), text)
			continue
		}
		here = append(here, s)
	}
	return here
}

// measure runs the rounds: in each, for every scenario, one system after the
// other, so that a slower minute of the machine falls on all of them.
func measure(ctx context.Context, rep *report, dir, profiles string, stderr io.Writer) ([]result, error) {
	var all []result
	for round := range rep.rounds {
		for _, sc := range rep.scenarios {
			for i := range rep.systems {
				// Each round begins with another system.
				s := rep.systems[(i+round)%len(rep.systems)]
				if sc.Load.Bulk > 0 && !s.Bulk() {
					continue
				}
				c := &cell{system: s, scenario: sc, dir: filepath.Join(dir, "cell"), profiles: profiles}
				r, err := c.run(ctx)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.Name(), sc.Name, err)
				}
				r.Round = round + 1
				fmt.Fprintf(stderr, "round %d/%d  %-11s  %-15s %8.0f/s  p50 %6.2f ms  p99 %7.2f ms  %d jobs\n",
					r.Round, rep.rounds, sc.Name, s.Name(), r.Rate, ms(r.P50), ms(r.P99), r.Jobs)
				all = append(all, *r)
			}
		}
	}
	return all, nil
}

// programs are the paths of what was built.
type programs struct {
	dispatcher, nats string
	profile          bool // the dispatcher serves its profiles
}

// build builds the dispatcher with its own go.mod, as a user does, and nats-server
// with that of the benchmark, which names the same version.
func build(ctx context.Context, root, dir string) (programs, error) {
	p := programs{dispatcher: filepath.Join(dir, "dispatcher"), nats: filepath.Join(dir, "nats-server")}
	for _, b := range []struct{ in, out, pkg string }{
		{root, p.dispatcher, "./cmd/dispatcher"},
		{filepath.Join(root, "bench"), p.nats, "github.com/nats-io/nats-server/v2"},
	} {
		if err := cli.Build(ctx, b.in, b.pkg, b.out); err != nil {
			return p, err
		}
	}
	return p, nil
}
