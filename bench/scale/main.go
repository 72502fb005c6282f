package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/cli"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

func main() { cli.Main(run) }

// options are the flags.
type options struct {
	root, parts, store         string
	pending, finished          int
	workers, connections, held int
	clients, each              int
	interval                   time.Duration // of heartbeats
	long                       time.Duration // of each timed measurement
	quick, check               bool
	profiles                   string // folder; "" without profiles
	keep                       string // folder of the finished tasks; "" if they are removed
	runs                       int    // of each page in the browser
}

// FailsBelowGoals implements [cli.Options].
func (o *options) FailsBelowGoals() bool { return o.check }

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("scale", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository, whose dispatcher is built and measured")
	f.StringVar(&o.parts, "parts", "pending,fleet,finished,aria,rpc", "which, with commas; pages needs chromium, node and npm too")
	f.StringVar(&o.store, "store", "sqlite", "of pending, fleet and rpc: sqlite (FULL), memory, or postgres, which starts a server of it")
	f.IntVar(&o.pending, "pending", 1_000_000, "tasks that wait; of aria half of them")
	f.IntVar(&o.finished, "finished", 5_000_000, "tasks that are completed")
	f.IntVar(&o.workers, "workers", 10_000, "workers")
	f.IntVar(&o.connections, "connections", 200, "connections to NATS that they share")
	f.IntVar(&o.held, "held", 10, "tasks that each worker holds")
	f.IntVar(&o.clients, "clients", 1000, "clients of the aria2 endpoint")
	f.IntVar(&o.each, "each", 10, "running tasks of each of them")
	f.DurationVar(&o.interval, "interval", 10*time.Second, "of heartbeats")
	f.DurationVar(&o.long, "for", 4*time.Second, "how long one measurement takes, of the fleet ten times that, of rpc five times")
	f.StringVar(&o.profiles, "profiles", "", "write heap profiles, and a CPU profile of the fleet, to this folder; it costs a few percent")
	f.StringVar(&o.keep, "dir", "", "keep a file with the finished tasks in this folder, and use it if an earlier run wrote it")
	f.IntVar(&o.runs, "runs", 9, "how often each page is opened in the browser")
	f.BoolVar(&o.quick, "quick", false, "a hundredth of everything: shows that it works")
	f.BoolVar(&o.check, "check", false, "exit with 1 if a goal is not reached")
	if err := cli.Parse(f, args, stderr); err != nil {
		return nil, err
	}
	if o.quick {
		o.pending, o.finished, o.workers, o.connections, o.clients = o.pending/100, o.finished/100, o.workers/100, o.connections/10, o.clients/100
		o.interval, o.long = o.interval/10, o.long/8
	}
	return &o, nil
}

// run is main with everything from outside as arguments; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Compare(ctx, "scale", args, stdout, stderr, parse, func(ctx context.Context, o *options, stdout, stderr io.Writer) (bool, error) {
		t := &table{out: stdout}
		err := measure(ctx, o, t, stderr)
		return !t.missed, err
	})
}

// bench is a run of this program.
type bench struct {
	*options
	dir        string // of everything, removed at the end
	dispatcher string // path of the program
	table      *table
	stderr     io.Writer
	databases  map[string]*queue.Server // by the folder of their instance
}

func measure(ctx context.Context, o *options, t *table, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "aria-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// PostgreSQL refuses root: it runs as another user, in a folder below.
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, dispatcher: filepath.Join(dir, "dispatcher"), table: t, stderr: stderr, databases: make(map[string]*queue.Server)}
	if err := cli.Build(ctx, o.root, "./cmd/dispatcher", b.dispatcher); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"pending", b.pendingPart}, {"fleet", b.fleetPart}, {"finished", b.finishedPart}, {"aria", b.ariaPart}, {"rpc", b.rpcPart}, {"pages", b.pagesPart}} {
		if !slices.Contains(strings.Split(o.parts, ","), part.name) {
			continue
		}
		err := part.run(ctx)
		b.stopDatabases()
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// say prints the current step.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// table prints figures as they come, in Markdown.
type table struct {
	out    io.Writer
	missed bool // a goal was not reached
}

func (t *table) head(format string, args ...any) {
	fmt.Fprintf(t.out, "\n## "+format+"\n\n| | measured | wanted | |\n|---|---:|---:|---|\n", args...)
}

// line prints a figure that nothing is asked of.
func (t *table) line(what, format string, args ...any) {
	fmt.Fprintf(t.out, "| %s | %s | | |\n", what, fmt.Sprintf(format, args...))
}

// most prints a figure that should not be above a limit.
func (t *table) most(what string, x, limit float64, unit string) {
	t.within(what, fmt.Sprintf("%.4g%s", x, unit), x, limit, unit)
}

// within is most with a text for the figure.
func (t *table) within(what, text string, x, limit float64, unit string) {
	verdict := "reached"
	if x > limit {
		verdict, t.missed = "NOT REACHED", true
	}
	fmt.Fprintf(t.out, "| %s | %s | ≤ %g%s | %s |\n", what, text, limit, unit, verdict)
}
