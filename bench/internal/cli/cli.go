// Package cli is what the programs of the benchmark have in common: how they begin,
// take their flags and end. Exit codes are 0, 1 if the work failed or a goal was not
// reached, and 2 for bad usage.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Main runs a program and exits with its code. SIGINT and SIGTERM end its context.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Parse reads the flags; nothing may follow them. -h prints them and is flag.ErrHelp.
func Parse(f *flag.FlagSet, args []string, stderr io.Writer) error {
	f.SetOutput(io.Discard) // Usage prints the error
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(stderr)
		f.Usage()
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("what is %q?", f.Arg(0))
	}
	return err
}

// Usage prints an error of Parse, and returns the exit code.
func Usage(name string, err error, stderr io.Writer) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v (-h tells of all flags)\n", name, err)
	return 2
}

// Verdict prints an error of the work, and returns the exit code.
func Verdict(name string, reached bool, err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
	}
	if err != nil || !reached {
		return 1
	}
	return 0
}

// Options are the flags of a program that compares its figures with goals.
type Options interface {
	// FailsBelowGoals reports whether a goal that is not reached fails the program.
	FailsBelowGoals() bool
}

// Compare reads the flags with parse and measures with compare, which reports whether all
// goals were reached. It returns the exit code.
func Compare[O Options](ctx context.Context, name string, args []string, stdout, stderr io.Writer,
	parse func(args []string, stderr io.Writer) (O, error), compare func(ctx context.Context, o O, stdout, stderr io.Writer) (bool, error),
) int {
	o, err := parse(args, stderr)
	if err != nil {
		return Usage(name, err, stderr)
	}
	reached, err := compare(ctx, o, stdout, stderr)
	return Verdict(name, reached || !o.FailsBelowGoals(), err, stderr)
}

// TempDir makes a folder that other users can read too: nginx and PostgreSQL do. The
// caller removes it. parent is as that of [os.MkdirTemp].
func TempDir(parent, prefix string) (string, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// Build builds the program of a package, as seen from the folder in, into a file.
func Build(ctx context.Context, in, pkg, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, pkg)
	cmd.Dir, cmd.Env = in, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
