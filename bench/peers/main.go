package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	root, before         string
	systems, scenarios   string
	rounds, jobs         int
	long                 time.Duration
	quick, check         bool
	chart, raw, profiles string
}

// FailsBelowGoals implements [cli.Options].
func (o *options) FailsBelowGoals() bool { return o.check }

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository, whose dispatcher is built and measured")
	f.StringVar(&o.before, "before", "c25e188", "an earlier commit, or a folder with its files, whose dispatcher is measured as "+ariaBefore)
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
	built, err := build(ctx, o, dir)
	if err != nil {
		return false, err
	}
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
	before           string // the dispatcher of an earlier commit
	noBefore         string // why there is no such dispatcher
	profile          bool   // the dispatcher serves its profiles
}

// build builds the dispatcher with its own go.mod, as a user does, and nats-server
// with that of the benchmark, which names the same version.
func build(ctx context.Context, o *options, dir string) (programs, error) {
	p := programs{dispatcher: filepath.Join(dir, "dispatcher"), nats: filepath.Join(dir, "nats-server"), profile: o.profiles != ""}
	for _, b := range []struct{ in, out, pkg string }{
		{o.root, p.dispatcher, dispatcher},
		{filepath.Join(o.root, "bench"), p.nats, "github.com/nats-io/nats-server/v2"},
	} {
		if err := cli.Build(ctx, b.in, b.pkg, b.out); err != nil {
			return p, err
		}
	}
	if o.systems != "" && !slices.Contains(strings.Split(o.systems, ","), ariaBefore) {
		p.noBefore = "it was not asked for"
		return p, nil
	}
	tree, err := checkOut(ctx, o.root, o.before, filepath.Join(dir, "before"))
	if err != nil {
		p.noBefore = err.Error()
		return p, nil
	}
	p.before = filepath.Join(dir, "dispatcher-before")
	return p, cli.Build(ctx, tree, dispatcher, p.before)
}

// dispatcher is the package of the dispatcher.
const dispatcher = "./cmd/dispatcher"

// checkOut returns the folder with the files of an earlier commit: the one that is named, or
// dir, into which it writes them. A shallow clone does not have the commit.
func checkOut(ctx context.Context, root, before, dir string) (string, error) {
	if before == "" {
		return "", errors.New("-before is empty")
	}
	if info, err := os.Stat(before); err == nil && info.IsDir() {
		return before, nil
	}
	archive := dir + ".tar"
	git := exec.CommandContext(ctx, "git", "-C", root, "archive", "--output", archive, before)
	if out, err := git.CombinedOutput(); err != nil {
		return "", fmt.Errorf("this clone does not have the commit %s: %w: %s", before, err, bytes.TrimSpace(out))
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w: %s", err, bytes.TrimSpace(out))
	}
	return dir, os.Remove(archive)
}
