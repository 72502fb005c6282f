package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const output = `goos: linux
BenchmarkSubmit/pending=1000/sets=1-2   	    5000	      2101 ns/op	     880 B/op	       5 allocs/op
BenchmarkPlace-16   	    5000	      4000 ns/op	       2012 place-ns/op	    1700 B/op	      12 allocs/op
BenchmarkOne 	    5000	      4000.5 ns/op	    0 B/op	      0 allocs/op
PASS
`

// A benchmark that allocates more than its limit is named.
func TestCompare_AllocationsAboveLimitNameBenchmark(t *testing.T) {
	for name, c := range map[string]struct{ limits, verdict string }{
		"all within":           {"p Submit/pending=1000/sets=1 5 880\np Place 12 1700\np One 0 0", ""},
		"allocations":          {"p Place 11 1700", "| p Place | 12 | 11 | 1700 | 1700 | TOO MUCH |"},
		"bytes":                {"p Submit/pending=1000/sets=1 5 879", "| p Submit/pending=1000/sets=1 | 5 | 5 | 880 | 879 | TOO MUCH |"},
		"one of two":           {"p Place 11 1700\np One 0 0", "TOO MUCH"},
		"gone":                 {"p Gone 5 5", "| p Gone | 0 | 5 | 0 | 5 | NOT MEASURED |"},
		"of another package":   {"q Place 12 1700", "NOT MEASURED"},
		"without a limit":      {"p Place", "HAS NO LIMIT"},
		"a comment, and empty": {"# p Place 1 1\n\np Place 12 1700", ""},
	} {
		t.Run(name, func(t *testing.T) {
			limits, err := parseLimits(c.limits)
			if err != nil {
				t.Fatal(err)
			}
			measured := map[key]figures{}
			for name, f := range parseBenchmarks(output) {
				measured[key{"p", name}] = f
			}
			var out bytes.Buffer
			if kept := compare(&out, limits, measured); kept != (c.verdict == "") || !strings.Contains(out.String(), c.verdict) {
				t.Errorf("kept is %v; want %q in\n%s", kept, c.verdict, &out)
			}
		})
	}
}

// A malformed line of the limits file is an error.
func TestParseLimits_MalformedLineIsError(t *testing.T) {
	for _, text := range []string{"p", "p Place 1", "p Place 1 many", "p Place 1 2 3"} {
		if l, err := parseLimits(text); err == nil {
			t.Errorf("%q was read as %+v", text, l)
		}
	}
}

// New limits leave room above the measurement and keep the comments of the file.
func TestRewrite_LeavesRoomAndKeepsComments(t *testing.T) {
	got, err := rewrite("# why\n\np Place 1 1\np One\n", map[key]figures{{"p", "Place"}: {12, 1700}, {"p", "One"}: {0, 0}})
	if want := "# why\n\np Place 15 2210\np One 1 64\n"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := rewrite("p Gone 1 1\n", nil); err == nil {
		t.Error("a benchmark that is gone got a limit")
	}
}

// source is a module with a benchmark that makes allocations, or half of them.
const source = `package hot
import "testing"
var sink []byte
func BenchmarkHot(b *testing.B) { b.Run("n=1", func(b *testing.B) { for range b.N { for range ALLOCATIONS { sink = make([]byte, 64) } } }) }
func BenchmarkHotter(b *testing.B) { b.Fatal("it has no limit, so it must not run") }
`

// A planted regression makes the whole program fail.
func TestRun_PlantedRegressionFails(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	limits := func(args ...string) (code int, out string) {
		t.Helper()
		var b bytes.Buffer
		code = run(t.Context(), append([]string{"-root", dir, "-file", "limits.txt", "-times", "10000x"}, args...), &b, &b)
		return code, b.String()
	}
	write("go.mod", "module example.org/m\n\ngo 1.26\n")
	write("limits.txt", "hot Hot/n=1\n")
	write("hot/hot_test.go", strings.ReplaceAll(source, "ALLOCATIONS", "10"))
	if code, out := limits("-update"); code != 0 {
		t.Fatalf("-update: exit %d\n%s", code, out)
	}
	// What the runtime allocates beside a benchmark counts too: a few bytes a time.
	if code, out := limits(); code != 0 || !strings.Contains(out, "| hot Hot/n=1 | 10 | 13 | 64") {
		t.Errorf("unchanged: exit %d\n%s", code, out)
	}
	write("hot/hot_test.go", strings.ReplaceAll(source, "ALLOCATIONS", "20"))
	if code, out := limits(); code != 1 || !strings.Contains(out, "| hot Hot/n=1 | 20 | 13 | 128") || !strings.Contains(out, "| TOO MUCH |") {
		t.Errorf("twice as much: exit %d\n%s", code, out)
	}
}

// An unknown flag ends the program as bad usage.
func TestRun_UnknownFlagIsBadUsage(t *testing.T) {
	for _, args := range [][]string{{"-bogus"}, {"leftover"}} {
		if code := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); code != 2 {
			t.Errorf("%q: exit %d, not 2", args, code)
		}
	}
}
