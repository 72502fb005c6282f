package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/bench/internal/cli"
	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

func main() { cli.Main(run) }

// options are the flags.
type options struct {
	root, before, dir    string
	systems, lists       string
	rounds, slots        int
	divide               int // of the number of files, or the length of a single one
	quick, check, calls  bool
	raw, profiles, chart string
}

// FailsBelowGoals implements [cli.Options].
func (o *options) FailsBelowGoals() bool { return o.check }

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("files", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository, whose dispatcher and worker are built and measured")
	f.StringVar(&o.before, "before", "", "another checkout, such as a git worktree of an earlier commit, that is measured too")
	f.StringVar(&o.dir, "dir", "", "where the files are served from and written to, 10 GB; default: the system's folder for temporary files")
	f.StringVar(&o.systems, "systems", "", "which, with commas; default all: "+names(allSystems(nil, nil)))
	f.StringVar(&o.lists, "lists", "", "which, with commas; default all: "+listNames())
	f.IntVar(&o.rounds, "rounds", 5, "how often each system fetches each list")
	f.IntVar(&o.slots, "slots", 16, "downloads at once, of every system")
	f.IntVar(&o.divide, "divide", 1, "fetch this fraction of each list")
	f.BoolVar(&o.quick, "quick", false, "a minute: two rounds with an eighth of each list; figures are rough")
	f.BoolVar(&o.calls, "calls", false, "count system calls with strace instead of measuring")
	f.BoolVar(&o.check, "check", false, "exit with 1 if a goal is not reached")
	f.StringVar(&o.raw, "json", "", "write every single figure to this file")
	f.StringVar(&o.chart, "chart", "", "write a chart to this SVG file")
	f.StringVar(&o.profiles, "profiles", "", "write a CPU profile of each worker to this folder (perf must be installed)")
	err := cli.Parse(f, args, stderr)
	if o.quick {
		o.rounds, o.divide = 2, 8
	}
	if err == nil && (o.rounds < 1 || o.slots < 1 || o.divide < 1) {
		err = errors.New("-rounds, -slots and -divide must be at least 1")
	}
	return &o, err
}

// run is main with everything from outside as arguments; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Compare(ctx, "files", args, stdout, stderr, parse, compare)
}

// compare measures and prints; it returns whether all goals were reached.
func compare(ctx context.Context, o *options, stdout, stderr io.Writer) (bool, error) {
	dir, err := cli.TempDir(o.dir, "aria-files-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, stderr: stderr}
	if err := b.prepare(ctx); err != nil {
		return false, err
	}
	server, err := startServer(ctx, dir)
	if err != nil {
		return false, err
	}
	defer server.Stop(syscall.SIGTERM)
	b.server = server
	rep := &report{lists: b.lists, systems: b.systems, rounds: o.rounds, busy: proc.LoadAverage()}
	if rep.results, err = b.measure(ctx); err != nil {
		return false, err
	}
	reached := rep.print(stdout, o.calls)
	return reached, figures.Write(o.raw, rep.results, o.chart, rep.drawing)
}

// bench is a run of this program.
type bench struct {
	*options
	dir     string // of everything, removed at the end
	lists   []list
	systems []system
	server  *server
	stderr  io.Writer
	fetched int // how many lists were fetched
}

// prepare builds the programs, chooses what is measured, and writes the files that are
// served.
func (b *bench) prepare(ctx context.Context) error {
	ours, err := b.build(ctx, b.root, "now")
	if err != nil {
		return err
	}
	var earlier *programs
	if b.before != "" {
		if earlier, err = b.build(ctx, b.before, "before"); err != nil {
			return err
		}
	}
	for _, s := range allSystems(ours, earlier) {
		if b.options.systems != "" && !contains(b.options.systems, s.Name()) || b.calls && !s.Ours() {
			continue
		}
		if missing := s.Missing(); missing != "" {
			fmt.Fprintf(b.stderr, "%s is NOT MEASURED: %s\n", s.Name(), missing)
			continue
		}
		b.systems = append(b.systems, s)
	}
	for _, l := range allLists() {
		if b.options.lists == "" || contains(b.options.lists, l.name) {
			b.lists = append(b.lists, l.divided(b.divide))
		}
	}
	if len(b.systems) == 0 || len(b.lists) == 0 {
		return fmt.Errorf("no system or no list is left to measure")
	}
	for _, l := range b.lists {
		if err := l.write(filepath.Join(b.dir, "served")); err != nil {
			return err
		}
	}
	return nil
}

// build builds the dispatcher and the worker of a checkout.
func (b *bench) build(ctx context.Context, root, name string) (*programs, error) {
	dir := filepath.Join(b.dir, "programs", name)
	p := &programs{dispatcher: filepath.Join(dir, "dispatcher"), worker: filepath.Join(dir, "worker"), calls: b.calls, profiles: b.profiles}
	for pkg, file := range map[string]string{"./cmd/dispatcher": p.dispatcher, "./cmd/worker": p.worker} {
		if err := cli.Build(ctx, root, pkg, file); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func contains(commas, name string) bool {
	return strings.Contains(","+commas+",", ","+name+",")
}
