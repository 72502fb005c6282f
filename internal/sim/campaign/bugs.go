package campaign

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
)

// BugSeeds is how many seeds a planted bug has to be caught in.
const BugSeeds = 200

// A Bug is a mutation of the real code, from a file of its own: lines of comment that
// describe it, "file:" and a path from the root of the module, "pair" where
// runs with two dispatchers have to catch it, "twice" where only a second run of a seed
// does, then under "old:" the text that is replaced, and under "new:" its replacement.
type Bug struct {
	Name, What string
	File       string
	Old, New   string
	Seeds      int // in which it has to be caught
	Pair       bool
	Twice      bool
	root       string
}

// Bugs reads one file with a bug, or, if path is empty, all of
// internal/sim/campaign/testdata/bugs, from the module in which it is called.
func Bugs(ctx context.Context, path string) ([]Bug, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	paths := []string{path}
	if path == "" {
		if paths, err = filepath.Glob(filepath.Join(root, "internal/sim/campaign/testdata/bugs/*.txt")); err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("there are no bugs under %s: %w", root, errors.Join(err, os.ErrNotExist))
		}
	}
	var bugs []Bug
	for _, p := range paths {
		b, err := readBug(p)
		if err != nil {
			return nil, fmt.Errorf("bug %s: %w", p, err)
		}
		b.root = root
		bugs = append(bugs, b)
	}
	return bugs, nil
}

func readBug(path string) (Bug, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Bug{}, err
	}
	b := Bug{Name: strings.TrimSuffix(filepath.Base(path), ".txt"), Seeds: BugSeeds}
	into := (*string)(nil)
	for line := range strings.Lines(string(text)) {
		file, isFile := strings.CutPrefix(line, "file:")
		switch {
		case line == "old:\n" && into == nil:
			into = &b.Old
		case line == "new:\n" && into == &b.Old:
			into = &b.New
		case into != nil:
			*into += line
		case line == "pair\n":
			b.Pair = true
		case line == "twice\n":
			b.Twice = true
		case isFile:
			b.File = strings.TrimSpace(file)
		default:
			b.What += strings.TrimSpace(strings.TrimPrefix(line, "#")) + " "
		}
	}
	if b.File == "" || b.Old == "" || into != &b.New {
		return b, errors.New("one of file:, old: and new: is missing")
	}
	b.What = strings.TrimSpace(b.What)
	return b, nil
}

// A Catch is the result of one [Bug.Run].
type Catch struct {
	By  string // which invariant caught it; "" if none did
	Err error
}

// RunBugs runs the bugs, one for each processor at a time, and yields each result in
// the order of the bugs. To stop before the end, cancel ctx: Err of the rest is then set.
func RunBugs(ctx context.Context, bugs []Bug) iter.Seq2[Bug, Catch] {
	catches := make([]chan Catch, len(bugs))
	for i := range catches {
		catches[i] = make(chan Catch, 1)
	}
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for i := next.Add(1) - 1; i < int64(len(bugs)); i = next.Add(1) - 1 {
				by, err := bugs[i].Run(ctx)
				catches[i] <- Catch{by, err}
			}
		}()
	}
	return func(yield func(Bug, Catch) bool) {
		for i, b := range bugs {
			if !yield(b, <-catches[i]) {
				return
			}
		}
	}
}

// Run builds cmd/sim with the bug in it and runs its number of seeds. It returns which
// invariant caught the bug, "" for a bug that was not caught. It is an error if the old
// text is not there exactly once, or the mutated code does not compile.
func (b *Bug) Run(ctx context.Context) (caught string, err error) {
	dir, err := os.MkdirTemp("", "aria-bug-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "sim")
	if err := b.build(ctx, dir, binary); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, binary, "-sqlite", "0", "-seeds", fmt.Sprint(b.Seeds), "-shrink=false", fmt.Sprintf("-pair=%v", b.Pair), fmt.Sprintf("-once=%v", !b.Twice))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // RunBugs runs others at the same time
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if line := s.Text(); strings.HasPrefix(line, "seed ") && strings.Contains(line, " does not hold at ") {
			return line, nil
		}
	}
	return "", fmt.Errorf("it failed otherwise: %w\n%s", err, out)
}

// build compiles cmd/sim with the mutated file laid over the real one.
func (b *Bug) build(ctx context.Context, dir, binary string) error {
	original := filepath.Join(b.root, b.File)
	text, err := b.mutate(original)
	if err != nil {
		return err
	}
	mutated := filepath.Join(dir, filepath.Base(b.File))
	overlay := filepath.Join(dir, "overlay.json")
	plan, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(mutated, []byte(text), 0o600),
		os.WriteFile(overlay, plan, 0o600),
	)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./cmd/sim")
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// mutate returns the text of a file with the bug in it.
func (b *Bug) mutate(original string) (string, error) {
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), b.Old); n != 1 {
		return "", fmt.Errorf("the old text is %d times in %s, not once", n, b.File)
	}
	return strings.Replace(string(source), b.Old, b.New, 1), nil
}
