package main

import (
	"bytes"
	"strings"
	"testing"
)

// Each part measures a small cluster and completes.
func TestParts_EachMeasuresSmallCluster(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"-root", "../..", "-pending", "2000", "-finished", "3000", "-workers", "40", "-connections", "4", "-held", "3", "-clients", "3", "-each", "4",
		"-interval", "500ms", "-for", "200ms",
	}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	t.Logf("%s", &stdout)
	for _, figure := range []string{
		"submits/s, empty ÷ full", "submit to worker, p50, full ÷ empty", "start to first assignment after a clean end", "start to first assignment after kill -9", "tasks that a start found after kill -9", "heap in use, a pending task",
		"dispatcher with embedded NATS, of one core", "heartbeats/s, answered", "status, median", "newest 100 of all, median",
		"aria ls, first row, median", "aria show, the end of an id, median and slowest",
		"HTTP: what the clients cost, of one core", "WebSocket: answer to a poll, p50/p99",
	} {
		if !strings.Contains(stdout.String(), "| "+figure+" |") {
			t.Errorf("there is no figure of %q", figure)
		}
	}
}

// A missed goal is printed, and fails the program with -check.
func TestGoal_MissedGoalIsShownAndFails(t *testing.T) {
	var out bytes.Buffer
	table := &table{out: &out}
	table.most("within", 9, 10, " ms")
	if table.missed {
		t.Error("9 of 10 counts as missed")
	}
	table.most("beyond", 11, 10, " ms")
	if !table.missed || !strings.Contains(out.String(), "| beyond | 11 ms | ≤ 10 ms | NOT REACHED |") {
		t.Errorf("11 of 10: missed is %v, and it prints\n%s", table.missed, &out)
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
