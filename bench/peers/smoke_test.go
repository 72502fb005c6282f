package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// Roles are this program again, so the test program is one too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A cell fails unless every job was given to a worker exactly once, and was
// acknowledged as done.
func TestScenarios_EachInstalledSystemRunsJobsOnce(t *testing.T) {
	// The earlier commit is left out: to build it takes longer than all the rest.
	systems := slices.DeleteFunc(allSystems(programs{}), func(s queue.System) bool { return s.Name() == ariaBefore })
	for _, s := range systems {
		if text := s.Missing(); text != "" {
			if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
				t.Errorf("%s: %s", s.Name(), text)
				continue
			}
			t.Logf("%s is NOT TESTED: %s", s.Name(), text)
		}
	}
	const scenarios = "single-64,bulk-1000,drain,latency-200" // single-512 is as single-64
	dir := t.TempDir()
	chart, raw := filepath.Join(dir, "chart.svg"), filepath.Join(dir, "raw.json")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-root", "../..", "-rounds", "1", "-jobs", "200", "-scenarios", scenarios, "-systems", names(systems, queue.System.Name),
		"-chart", chart, "-json", raw}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	t.Logf("%s%s", &stdout, &stderr)
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(b, &results); err != nil {
		t.Fatal(err)
	}
	for _, s := range systems {
		for _, sc := range allScenarios(200, 0) {
			if !strings.Contains(scenarios, sc.Name) {
				continue
			}
			want := int64(200)
			if sc.Load.Bulk > 0 {
				want = 1000
			}
			if s.Missing() == "" && (sc.Load.Bulk == 0 || s.Bulk()) {
				wantResult(t, results, s.Name(), sc.Name, want)
			}
		}
	}
	if svg, err := os.ReadFile(chart); err != nil || figures.WellFormed(svg) != nil || !strings.Contains(string(svg), "ours, SQLite FULL") {
		t.Errorf("the chart: %v, %v", err, figures.WellFormed(svg))
	}
}

func wantResult(t *testing.T, results []result, system, scenario string, jobs int64) {
	t.Helper()
	for _, r := range results {
		if r.System != system || r.Scenario != scenario {
			continue
		}
		if r.Jobs != jobs || r.Rate <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Memory["producer"] == 0 || r.Memory["worker"] == 0 || len(r.CPU) < 3 {
			t.Errorf("%s, %s: want %d jobs and all figures, got %+v", system, scenario, jobs, r)
		}
		return
	}
	t.Errorf("%s, %s: was not measured", system, scenario)
}

// A comparison is worth nothing if lost, doubled or invented jobs count.
func TestResult_LostOrRepeatedJobIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		jobs []int64 // as workers were given them
		ack  int64
		ok   bool
	}{
		"each once":        {[]int64{0, 1, 2}, 3, true},
		"one lost":         {[]int64{0, 1}, 2, false},
		"one twice":        {[]int64{0, 1, 2, 2}, 4, false},
		"one for another":  {[]int64{0, 1, 1}, 3, false},
		"one not reported": {[]int64{0, 1, 2}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := &queue.Ledger{}
			for _, n := range c.jobs {
				l.Given(queue.NewJob(n).URL)
			}
			l.Acked(c.ack)
			cell := &cell{system: &fakeSystem{}, server: &queue.Server{}, producer: self(), worker: self()}
			_, err := cell.result(nil, 0, 3, 1, l.Account())
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Each job has the size that the report states.
func TestJob_HasStatedSize(t *testing.T) {
	b, err := json.Marshal(queue.NewJob(12345))
	if err != nil || len(b) < 280 || len(b) > 320 {
		t.Errorf("%d bytes, %v: %s", len(b), err, b)
	}
}

// Medians and ratios compare measurements of the same round.
func TestMedian_RatiosArePairedByRound(t *testing.T) {
	rep := &report{}
	for round, pair := range [][2]float64{{100, 50}, {10, 10}, {300, 100}} {
		rep.results = append(rep.results,
			result{Round: round, System: "a", Scenario: "s", Rate: pair[0]}, result{Round: round, System: "b", Scenario: "s", Rate: pair[1]})
	}
	if got := figures.Median(rep.of("a", "s", rate)); got != 100 {
		t.Errorf("the median of 100, 10, 300 is 100, not %v", got)
	}
	if got := rep.ratio("a", "b", "s", rate); got != 2 {
		t.Errorf("the median of the ratios 2, 1, 3 is 2, not %v", got)
	}
}

// The unknown name of a system or scenario ends the program as bad usage.
func TestRun_UnknownNameIsBadUsage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is to be measured
	for _, args := range [][]string{{"-bogus"}, {"leftover"}, {"-rounds", "many"}} {
		if code := run(ctx, args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%q: exit %d, not 2", args, code)
		}
	}
}

// A clone without the earlier commit gets a sentence, not a failure.
func TestCheckOut_MissingCommitIsSaid(t *testing.T) {
	root := filepath.Join("..", "..")
	if _, err := checkOut(t.Context(), root, "0000000000000000000000000000000000000001", filepath.Join(t.TempDir(), "x")); err == nil ||
		!strings.Contains(err.Error(), "does not have the commit 0000") {
		t.Errorf("a commit that is not there: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "now")
	if got, err := checkOut(t.Context(), root, "HEAD", dir); err != nil || got != dir {
		t.Fatalf("HEAD: %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cmd", "dispatcher", "main.go")); err != nil {
		t.Errorf("HEAD has no dispatcher: %v", err)
	}
}

// fakeSystem has a name and nothing else.
type fakeSystem struct{ queue.System }

func (fakeSystem) Name() string { return "fake" }

// self is this process, in the place of a role.
func self() *role {
	p, _ := os.FindProcess(os.Getpid())
	return &role{cmd: &exec.Cmd{Process: p}}
}
