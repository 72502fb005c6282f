package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
	"github.com/aria-cluster/dispatcher/internal/sim/world"
)

// TestRun_ExitStatusStatesOutcome: the exit status states the outcome.
func TestRun_ExitStatusStatesOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		code int
		out  string // somewhere in what it prints
		errs string
	}{
		"one seed":                 {"-seed 3", 0, "everything held", ""},
		"one seed, traced":         {"-seed 3 -v -sqlite 0 -trouble 10s", 0, "d1: starts", ""},
		"seeds in a row":           {"-seeds 2 -first 7 -sqlite 0", 0, "2 seeds, ", ""},
		"without faults":           {"-seed 3 -off crash,outage -sqlite 0", 0, "everything held", ""},
		"a block without a kind":   {"-seeds 50 -sqlite 0 -trouble 1s", 1, "there was no restore in the seeds 0 to 49", ""},
		"an unknown flag":          {"-colour red", 2, "", "see -h"},
		"help":                     {"-h", 0, "-seeds", ""},
		"a word":                   {"-seeds 2 more", 2, "", `sim: "more" is not expected`},
		"an unknown fault":         {"-off earthquake", 2, "", `there is no fault "earthquake"`},
		"a bug that is not there":  {"-bug none.txt", 2, "", "none.txt"},
		"a bug that does not live": {"-bug main_test.go", 2, "", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			code := run(strings.Fields(c.args), &out, &errs)
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) || (code == 2) != (errs.Len() > 0) {
				t.Errorf("exit status %d, want %d\n%s\n%s", code, c.code, tail(out.String()), errs.String())
			}
		})
	}
}

// tail is the last lines of a text that may be long.
func tail(s string) string { return s[max(0, len(s)-1000):] }

// TestRun_TableListsEachKind: the table lists each kind of event and fault.
func TestRun_TableListsEachKind(t *testing.T) {
	var out, errs strings.Builder
	if code := run([]string{"-seeds", "1", "-sqlite", "0"}, &out, &errs); code != 0 {
		t.Fatalf("exit status %d: %s", code, errs.String())
	}
	for _, kind := range oracle.EventKinds {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(kind) + `  +\d`).MatchString(out.String()) {
			t.Errorf("there is no line for %s", kind)
		}
	}
	for _, fault := range world.Faults {
		if !regexp.MustCompile(`(?m) ` + string(fault) + `  +\d+$`).MatchString(out.String()) {
			t.Errorf("there is no line for %s", fault)
		}
	}
}
