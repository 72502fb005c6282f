package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
)

// Every installed system fetches each file of each list once, and all figures are
// written.
func TestSystems_EachInstalledOneFetchesFilesOnce(t *testing.T) {
	if findServer() == "" {
		t.Fatal("apt-get install nginx")
	}
	for _, s := range allSystems(nil, nil) {
		if text := s.Missing(); text != "" && os.Getenv("ARIA_TEST_REQUIRE") == "1" {
			t.Errorf("%s: %s", s.Name(), text)
		}
	}
	dir := t.TempDir()
	raw, chart := filepath.Join(dir, "raw.json"), filepath.Join(dir, "chart.svg")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-root", "../..", "-dir", dir, "-rounds", "1", "-divide", "200", "-json", raw, "-chart", chart}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	t.Logf("%s%s", &stdout, &stderr)
	text, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(text, &results); err != nil {
		t.Fatal(err)
	}
	for _, s := range allSystems(nil, nil) {
		for _, l := range allLists() {
			if s.Missing() == "" {
				wantFigures(t, results, s, l.divided(200))
			}
		}
	}
	if svg, err := os.ReadFile(chart); err != nil || figures.WellFormed(svg) != nil || !strings.Contains(string(svg), "ours, direct") {
		t.Errorf("the chart: %v, %v", err, figures.WellFormed(svg))
	}
	if !strings.Contains(stdout.String(), "small, direct ÷ aria2c") {
		t.Errorf("the goals are not printed:\n%s", &stdout)
	}
}

func wantFigures(t *testing.T, results []result, s system, l list) {
	t.Helper()
	for _, r := range results {
		if r.System != s.Name() || r.List != l.name {
			continue
		}
		if r.Files != l.count || r.FilesPerSec <= 0 || r.Requests < 1 || r.Wire < float64(l.length) {
			t.Errorf("%s, %s: a figure is missing: %+v", s.Name(), l.name, r)
		}
		return
	}
	t.Errorf("%s, %s: was not measured", s.Name(), l.name)
}

// A figure counts only if the files are there, once and with their bytes.
func TestList_LostOrChangedFileIsRefused(t *testing.T) {
	l := list{name: "small", count: 3, length: 1000}
	served := t.TempDir()
	if err := l.write(served); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(dir string) error
		ok     bool
	}{
		"all, in folders, beside the program's own": {func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "x"), 0o755), os.Rename(filepath.Join(dir, l.file(1)), filepath.Join(dir, "x", l.file(1))),
				os.Mkdir(filepath.Join(dir, ".state"), 0o755), os.WriteFile(filepath.Join(dir, ".state", "y"), nil, 0o600))
		}, true},
		"one lost":  {func(dir string) error { return os.Remove(filepath.Join(dir, l.file(2))) }, false},
		"one short": {func(dir string) error { return os.Truncate(filepath.Join(dir, l.file(2)), 999) }, false},
		"one changed": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, l.file(2)), make([]byte, 1000), 0o600)
		}, false},
		"one twice": {func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "x"), 0o755), os.Link(filepath.Join(dir, l.file(1)), filepath.Join(dir, "x", l.file(1))))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.CopyFS(dir, os.DirFS(served)), c.change(dir)); err != nil {
				t.Fatal(err)
			}
			if err := l.check(dir, served); (err == nil) != c.ok {
				t.Errorf("check: %v", err)
			}
		})
	}
}

// The table of strace is read.
func TestCalls_TableOfStraceIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "calls")
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.123456         123      1000        17 futex
  8.00    0.010000          10        40           fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.133456                  1040        17 total
`
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := readCalls(file)
	if err != nil || calls["futex"] != 1000 || calls["fsync"] != 40 {
		t.Errorf("%v, %v", calls, err)
	}
}
