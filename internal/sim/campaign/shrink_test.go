package campaign

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
	"github.com/aria-cluster/dispatcher/internal/sim/world"
)

// TestShrink_PrintsCommandOfShorterRun: a failure prints one command that reproduces it in a shorter run.
func TestShrink_PrintsCommandOfShorterRun(t *testing.T) {
	bugs, err := Bugs(t.Context(), filepath.Join("testdata", "bugs", "fence-forgotten.txt"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "sim")
	if err := bugs[0].build(t.Context(), dir, binary); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary, "-sqlite", "0").CombinedOutput()
	if err == nil {
		t.Fatal("the bug is not caught")
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	paste := lines[len(lines)-2]
	line := regexp.MustCompile(`^go run ./cmd/sim (-v -seed \d+ -off [a-z,-]+( -trouble \S+)?)$`).FindStringSubmatch(paste)
	if line == nil {
		t.Fatalf("the line to paste is %q", paste)
	}
	invariant := regexp.MustCompile(`^seed \d+: (\S+) does not hold`).FindStringSubmatch(lines[len(lines)-3])
	if invariant == nil || !strings.HasPrefix(lines[len(lines)-1], "# "+invariant[1]+" does not hold") {
		t.Fatalf("it does not say of one invariant what does not hold:\n%s", strings.Join(lines[len(lines)-3:], "\n"))
	}
	again, err := exec.CommandContext(t.Context(), binary, strings.Fields(line[1])...).CombinedOutput()
	if err == nil || !strings.Contains(string(again), ": "+invariant[1]+" does not hold") {
		t.Errorf("%s: %v, and not %s", paste, err, invariant[1])
	}
}

// TestBug_OldTextIsInSource: the old text of each planted bug is in the source once.
func TestBug_OldTextIsInSource(t *testing.T) {
	bugs, err := Bugs(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		if text, err := b.mutate(filepath.Join(b.root, b.File)); err != nil || text == "" {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
}

// TestStats_EmptyStatsMissEachKind: empty statistics miss each kind.
func TestStats_EmptyStatsMissEachKind(t *testing.T) {
	want := slices.Clone(oracle.EventKinds)
	for _, f := range world.Faults {
		want = append(want, string(f))
	}
	tally := world.NewStats()
	if got := tally.Missing(); !slices.Equal(got, want) {
		t.Errorf("missing: %q", got)
	}
	for _, kind := range oracle.EventKinds {
		tally.Events[kind] = 1
	}
	for _, f := range world.Faults {
		tally.Faults[f] = 1
	}
	if got := tally.Missing(); len(got) > 0 {
		t.Errorf("of all there is one; missing: %q", got)
	}
}

// TestOracle_InvariantsAreDocumented compares the names in the source with
// those in the table of docs/simulator.md.
func TestOracle_InvariantsAreDocumented(t *testing.T) {
	source := make(map[string]bool)
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?:[vV]iolate\(|Violation\{(?:Invariant: )?)"([a-z-]+)"`)
	for _, file := range files {
		for _, m := range name.FindAllStringSubmatch(read(t, file), -1) {
			source[m[1]] = true
		}
	}
	_, text, _ := strings.Cut(read(t, "../../../docs/simulator.md"), "## Invariants")
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z, -]+) \|`).FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			if !source[name] && name != "name" {
				t.Errorf("%s is in the documentation and not in the source", name)
			}
			documented[name] = true
		}
	}
	for name := range source {
		if !documented[name] {
			t.Errorf("%s is in the source and not in the documentation", name)
		}
	}
	if len(source) < 40 {
		t.Errorf("only %d invariants are found in the source", len(source))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOracle_InvariantHasFileAndTest: an invariant of the oracle is checked in the file
// of its name, which has a test file.
func TestOracle_InvariantHasFileAndTest(t *testing.T) {
	files, err := filepath.Glob("../oracle/*.go")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`[vV]iolate\("([a-z-]+)"`)
	found := 0
	for _, file := range files {
		for _, m := range name.FindAllStringSubmatch(read(t, file), -1) {
			found++
			own := filepath.Join("..", "oracle", strings.ReplaceAll(m[1], "-", "_"))
			if file != own+".go" {
				t.Errorf("%s is checked in %s", m[1], file)
			}
			if !strings.Contains(read(t, own+"_test.go"), `"`+m[1]+`"`) {
				t.Errorf("%s has no test of its own", m[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d checks are found", found)
	}
}
