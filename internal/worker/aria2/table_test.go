package aria2

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each failure has its remedy.
func TestRemedyOf_EachFailureHasItsRemedy(t *testing.T) {
	for _, c := range []struct {
		code     int
		message  string
		progress bool
		want     remedy
	}{
		{1, "Download aborted.", false, startOver}, {8, "", false, startOver}, {10, "", false, startOver},
		{13, "", false, startOver}, {14, "", false, startOver}, {32, "", true, startOver},
		{1, "", true, resume}, {2, "", true, resume}, {5, "", true, resume}, {6, "", true, resume}, {19, "", true, resume}, {29, "", true, resume},
		{1, "", false, giveUp}, {2, "", false, giveUp}, {6, "", false, giveUp},
		{3, "", true, giveUp}, {9, "", true, giveUp}, {16, "", true, giveUp}, {22, "status=503", true, giveUp}, {24, "", true, giveUp},
	} {
		if got := remedyOf(c.code, c.message, c.progress); got != c.want {
			t.Errorf("code %d %q, progress %v: remedy %d, want %d", c.code, c.message, c.progress, got, c.want)
		}
	}
}

// Only versions of aria2 that were tested are accepted.
func TestFind_AcceptsTestedVersionsOnly(t *testing.T) {
	for _, c := range []struct {
		output, version string
	}{
		{"aria2 version 1.36.0\nCopyright", "1.36.0"},
		{"aria2 version 1.37.0-beta\n", "1.37.0-beta"},
		{"aria2 version 2.0.0\n", "2.0.0"},
		{"aria2 version 1.35.0\n", ""},
		{"aria2 version 0.99.0\n", ""},
		{"curl 8.0\n", ""},
		{"", ""},
	} {
		got, err := checkVersion(c.output)
		if got != c.version || (err == nil) != (c.version != "") {
			t.Errorf("%q: %q, %v", c.output, got, err)
		}
	}
}

// Find reports that aria2c is missing.
func TestFind_ReportsAMissingAria2c(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, _, err := Find(t.Context()); err == nil || !strings.Contains(err.Error(), "no aria2c in PATH") {
		t.Error(err)
	}
}

// A gid has sixteen hexadecimal digits, derived from the task id.
func TestGIDOf_HasSixteenHexDigits(t *testing.T) {
	if got := gidOf("task"); got != "0ebb429fa86d481c" {
		t.Errorf("%q", got)
	}
	if gidOf("a") == gidOf("b") {
		t.Error("the gid does not follow from the id")
	}
}

// Only options of the allow list reach aria2c.
func TestOptions_OnlyAllowedOnesReachAria2c(t *testing.T) {
	every := model.Options{
		"out": {"name"}, "split": {"2"}, "max-connection-per-server": {"2"}, "min-split-size": {"1M"},
		"max-download-limit": {"1K"}, "lowest-speed-limit": {"1"}, "user-agent": {"a"}, "referer": {"r"},
		"header": {"A: 1", "B: 2"}, "checksum": {"md5=0"}, "http-user": {"u"}, "http-passwd": {"p"}, "ftp-user": {"u"},
		"ftp-passwd": {"p"}, "select-file": {"1"}, "bt-tracker": {"t"}, "timeout": {"1"}, "connect-timeout": {"1"},
		"max-tries": {"1"}, "retry-wait": {"1"},
		"dir": {"/etc"}, "gid": {"1"}, "all-proxy": {"x"}, "index-out": {"1=../x"}, "dry-run": {"true"},
		"on-download-complete": {"/bin/sh"}, "rpc-secret": {"x"}, "pause": {"true"}, "parameterized-uri": {"true"},
	}
	always := []string{"dir", "gid", "pause"}
	http := append(slices.Clone(always), "out", "split", "max-connection-per-server", "min-split-size", "max-download-limit",
		"lowest-speed-limit", "user-agent", "referer", "header", "http-user", "http-passwd", "ftp-user",
		"ftp-passwd", "select-file", "bt-tracker", "timeout", "connect-timeout", "max-tries", "retry-wait")
	bt := append(slices.Clone(always), "check-integrity", "max-download-limit", "user-agent", "select-file", "bt-tracker",
		"timeout", "connect-timeout", "max-tries", "retry-wait")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		spec   model.TaskSpec
		method string
		want   []string
	}{
		"plain":   {model.TaskSpec{URL: "http://h/x"}, "aria2.addUri", http},
		"magnet":  {model.TaskSpec{URL: "magnet:?xt=urn:btih:x"}, "aria2.addUri", bt},
		"torrent": {model.TaskSpec{Torrent: []byte("x")}, "aria2.addTorrent", bt},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Options = every
			got := request(&download.Job{Task: &model.Task{TaskSpec: c.spec}, Dir: dir}, "00000000000000aa", "", false)
			options := got.params[len(got.params)-1].(map[string]any)
			delete(options, "file-allocation") // as the disk of the test has it
			names := slices.Sorted(maps.Keys(options))
			slices.Sort(c.want)
			if got.method != c.method || !slices.Equal(names, c.want) {
				t.Errorf("%s passes %v, want %v", got.method, names, c.want)
			}
			if options["dir"] != dir || options["gid"] != "00000000000000aa" || options["pause"] != "false" {
				t.Errorf("dir, gid or pause is the client's: %v", options)
			}
		})
	}
}

// The checksum of the task beats that of the options, and is of one file.
func TestChecks_TaskChecksumIsOfOneFile(t *testing.T) {
	spec := model.TaskSpec{URL: "http://h/x", Checksum: "sha-256=aa", Options: model.Options{"checksum": {"md5=bb"}}}
	j := &job{Job: download.Job{Task: &model.Task{TaskSpec: spec}, Dir: t.TempDir()}}
	one := []model.File{{Path: "x"}}
	if list, err := j.checks(one); err != nil || !slices.Equal(list, []check{{"x", "sha-256=aa", "the task", ""}}) {
		t.Errorf("%v, %v", list, err)
	}
	j.Task.Checksum = ""
	if list, err := j.checks(one); err != nil || !slices.Equal(list, []check{{"x", "md5=bb", "the task", ""}}) {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := j.checks(append(one, model.File{Path: "y"})); err == nil || err.Class != model.ClassPermanent {
		t.Errorf("%v, %v", list, err)
	}
}

// A file without a control file is not trusted.
func TestOffer_FileWithoutControlFileIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"resumable", "resumable.aria2", "whole-or-zeros", "orphan.aria2", "old.part"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	job := &download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{URL: "http://h/x"}}, Dir: dir}
	torrent := &download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{Torrent: []byte("x")}}, Dir: dir}
	for _, c := range []struct {
		job  *download.Job
		want []string
	}{
		{torrent, []string{"old.part", "orphan.aria2", "resumable", "resumable.aria2", "whole-or-zeros"}},
		{job, []string{"resumable", "resumable.aria2"}},
	} {
		if err := dropUntrusted(c.job); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("left: %v, want %v", names, c.want)
		}
	}
}

// A task is complete only when every leaf is.
func TestLook_CompleteOnlyWithEveryLeaf(t *testing.T) {
	rows := func(list ...row) map[string]*row {
		all := map[string]*row{}
		for i := range list {
			all[list[i].GID] = &list[i]
		}
		return all
	}
	parent := row{GID: "p", Status: "complete", Completed: 9, Total: 9, FollowedBy: []string{"a", "b"}}
	for name, c := range map[string]struct {
		all                map[string]*row
		done, lost, failed bool
		completed          int64
	}{
		"the only one is active":           {rows(row{GID: "p", Status: "active", Completed: 3}), false, false, false, 3},
		"the only one is complete":         {rows(row{GID: "p", Status: "complete", Completed: 3}), true, false, false, 3},
		"one child is active":              {rows(parent, row{GID: "a", Status: "complete", Completed: 1}, row{GID: "b", Status: "active", Completed: 1}), false, false, false, 2},
		"both children are complete":       {rows(parent, row{GID: "a", Status: "complete", Completed: 1}, row{GID: "b", Status: "complete", Completed: 2}), true, false, false, 3},
		"one child is not there":           {rows(parent, row{GID: "a", Status: "complete", Completed: 1}), false, true, false, 1},
		"one child failed":                 {rows(parent, row{GID: "a", Status: "error"}, row{GID: "b", Status: "complete", Completed: 2}), false, false, true, 2},
		"a grandchild waits":               {rows(parent, row{GID: "a", Status: "complete"}, row{GID: "b", Status: "complete", FollowedBy: []string{"c"}}, row{GID: "c", Status: "waiting"}), false, false, false, 0},
		"it is not there":                  {rows(), false, true, false, 0},
		"somebody else removed it":         {rows(row{GID: "p", Status: "removed"}), false, true, false, 0},
		"a circle ends":                    {rows(row{GID: "p", Status: "complete", FollowedBy: []string{"p"}}), false, false, false, 0},
		"an unknown status is not the end": {rows(row{GID: "p", Status: "dancing"}), false, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := familyStateOf([]string{"p"}, c.all)
			if v.done != c.done || v.lost != c.lost || (v.failed != nil) != c.failed || v.completed != c.completed {
				t.Errorf("%+v", v)
			}
		})
	}
}

// Output is split into clean lines of bounded length.
func TestLines_AreBoundedAndClean(t *testing.T) {
	var seen []string
	l := &lines{log: slog.New(slog.DiscardHandler), seen: func(s string) { seen = append(seen, s) }}
	for _, chunk := range []string{"on", "e\ntwo\n\n", strings.Repeat("x", 3*maxLine), "\nthree", "\n"} {
		if n, err := fmt.Fprint(l, chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := []string{"one", "two", strings.Repeat("x", maxLine), "three"}; !slices.Equal(seen, want) {
		t.Errorf("%d lines: %.60q", len(seen), seen)
	}
}

// aria2c runs with the defaults of every engine.
func TestConfiguration_HasTheCommonDefaults(t *testing.T) {
	for stall, timeout := range map[time.Duration]string{download.DefaultStallTimeout: "timeout=60", 1500 * time.Millisecond: "timeout=1", time.Millisecond: "timeout=1"} {
		lines := perDownload(&Config{StallTimeout: stall})
		for _, want := range []string{timeout, "max-tries=5", "retry-wait=1", "connect-timeout=15"} {
			if !slices.Contains(lines, want) {
				t.Errorf("with %v the line %q is missing in %q", stall, want, lines)
			}
		}
	}
}
