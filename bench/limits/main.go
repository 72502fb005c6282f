package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/cli"
)

func main() { cli.Main(run) }

// options are the flags.
type options struct {
	root, file, times string
	update            bool
}

// run is main with everything from outside as arguments; it returns the exit code:
// 1 if a limit is not kept, 2 for bad usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("limits", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.file, "file", "bench/limits/limits.txt", "the limits, in the repository")
	f.StringVar(&o.times, "times", "5000x", "as go test's -benchtime; what is made once counts less the more often")
	f.BoolVar(&o.update, "update", false, "rewrite the file with 1.3 times what is measured; a line with a name alone gets its figures")
	if err := cli.Parse(f, args, stderr); err != nil {
		return cli.Usage("limits", err, stderr)
	}
	kept, err := check(ctx, &o, stdout)
	if err == nil && !kept {
		fmt.Fprintf(stderr, "limits: too much is allocated; if that is meant: task bench:limits\n")
	}
	return cli.Verdict("limits", kept, err, stderr)
}

// check measures and prints; it returns whether all limits are kept, or writes them
// again.
func check(ctx context.Context, o *options, stdout io.Writer) (bool, error) {
	path := filepath.Join(o.root, o.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	limits, err := parseLimits(string(text))
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if len(limits) == 0 {
		return false, fmt.Errorf("%s: there is no limit in it", path)
	}
	measured := map[key]figures{}
	for _, pkg := range packages(limits) {
		if err := measure(ctx, o, pkg, limits, measured); err != nil {
			return false, err
		}
	}
	if !o.update {
		return compare(stdout, limits, measured), nil
	}
	fresh, err := rewrite(string(text), measured)
	if err != nil {
		return false, err
	}
	return true, os.WriteFile(path, []byte(fresh), 0o644)
}

// packages are those of the limits, each once, in their order.
func packages(limits []limit) []string {
	var list []string
	for _, l := range limits {
		if !slices.Contains(list, l.Package) {
			list = append(list, l.Package)
		}
	}
	return list
}

// measure runs the benchmarks of one package that have a limit.
func measure(ctx context.Context, o *options, pkg string, limits []limit, into map[key]figures) error {
	var names []string
	for _, l := range limits {
		if l.Package == pkg {
			names = append(names, pattern(l.Name))
		}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", strings.Join(names, "|"), "-benchtime", o.times, "-benchmem", "-vet", "off", "./"+pkg)
	cmd.Dir = o.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, out)
	}
	for name, f := range parseBenchmarks(string(out)) {
		into[key{pkg, name}] = f
	}
	return nil
}

// pattern is what -bench understands as that benchmark and no other.
func pattern(name string) string {
	parts := strings.Split("Benchmark"+name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
