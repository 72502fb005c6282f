package jsonl_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/jsonl"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

func filled(t *testing.T, tasks int) *memory.Store {
	t.Helper()
	s := memory.New()
	if err := copytest.Fill(t.Context(), s, tasks, 5); err != nil {
		t.Fatal(err)
	}
	return s
}

func copied(t *testing.T, src repo.Source, file jsonl.File, o repo.CopyOptions) repo.Stats {
	t.Helper()
	stats, err := repo.Copy(t.Context(), src, file, o)
	if err != nil {
		t.Fatalf("Copy: %v", err)
	}
	return stats
}

func read(t *testing.T, file jsonl.File) []byte {
	t.Helper()
	text, err := os.ReadFile(string(file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// alone fails if anything but the files named is in the folder.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("the folder holds %v, want %v", got, names)
	}
}

// TestFile_OneRecordPerLineForOwner: a file has one record a line for its owner only.
func TestFile_OneRecordPerLineForOwner(t *testing.T) {
	dir := t.TempDir()
	file := jsonl.File(filepath.Join(dir, "new", "r.jsonl"))
	stats := copied(t, filled(t, 2100), file, repo.CopyOptions{})
	if stats.TasksMigrated != 2100 || stats.WorkersMigrated != 5 || !stats.Verified {
		t.Errorf("stats are %+v", stats)
	}
	lines := bytes.Split(bytes.TrimSuffix(read(t, file), []byte("\n")), []byte("\n"))
	if len(lines) != 1+5+2100+1 {
		t.Errorf("%d lines", len(lines))
	}
	for i, want := range map[int]string{0: `{"v":1,"kind":"header",`, 1: `{"v":1,"kind":"worker",`, 6: `{"v":1,"kind":"task",`, len(lines) - 1: `{"v":1,"kind":"end","tasks":2100,"workers":5,`} {
		if !bytes.HasPrefix(lines[i], []byte(want)) {
			t.Errorf("line %d is %.80s", i+1, lines[i])
		}
	}
	info, err := os.Stat(string(file))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	alone(t, filepath.Dir(string(file)), "r.jsonl")
	back := memory.New()
	if again, err := repo.Copy(t.Context(), file, repo.StoreTarget(back), repo.CopyOptions{}); err != nil || again.Digest != stats.Digest {
		t.Errorf("back: %v, %v", again.Digest, err)
	}
}

// TestFile_SecondCopyLeavesItUnchanged: a second copy of the same records does not change the file.
func TestFile_SecondCopyLeavesItUnchanged(t *testing.T) {
	file := jsonl.File(filepath.Join(t.TempDir(), "r.jsonl"))
	src := filled(t, 100)
	copied(t, src, file, repo.CopyOptions{})
	before := read(t, file)
	stats := copied(t, src, file, repo.CopyOptions{})
	if stats.TasksMigrated+stats.WorkersMigrated != 0 || stats.Skipped != 105 || !stats.Verified {
		t.Errorf("stats are %+v", stats)
	}
	if !bytes.Equal(read(t, file), before) {
		t.Error("the file was written again")
	}
}

// TestFile_OtherRecordsKeptUnlessReplace: a file with other records stays unless on_conflict is replace.
func TestFile_OtherRecordsKeptUnlessReplace(t *testing.T) {
	dir := t.TempDir()
	file := jsonl.File(filepath.Join(dir, "r.jsonl"))
	copied(t, filled(t, 100), file, repo.CopyOptions{})
	before := read(t, file)
	if _, err := repo.Copy(t.Context(), filled(t, 50), file, repo.CopyOptions{}); model.CodeOf(err) != model.CodeConflict {
		t.Errorf("Copy = %v", err)
	}
	if _, err := repo.Copy(t.Context(), filled(t, 50), file, repo.CopyOptions{OnConflict: repo.Skip}); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("Copy under skip = %v", err)
	}
	copied(t, filled(t, 50), file, repo.CopyOptions{OnConflict: repo.Replace, DryRun: true})
	if !bytes.Equal(read(t, file), before) {
		t.Error("the file was changed")
	}
	if stats := copied(t, filled(t, 50), file, repo.CopyOptions{OnConflict: repo.Replace}); stats.TasksMigrated != 50 {
		t.Errorf("stats are %+v", stats)
	}
	alone(t, dir, "r.jsonl")
}

// TestFile_ForeignFileKept: a file of another program stays unchanged.
func TestFile_ForeignFileKept(t *testing.T) {
	dir := t.TempDir()
	file := jsonl.File(filepath.Join(dir, "r.jsonl"))
	if err := os.WriteFile(string(file), []byte("my notes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Copy(t.Context(), filled(t, 5), file, repo.CopyOptions{}); err == nil || !strings.Contains(err.Error(), "unchanged") {
		t.Errorf("Copy = %v", err)
	}
	if got := read(t, file); string(got) != "my notes\n" {
		t.Errorf("the file is %q", got)
	}
	alone(t, dir, "r.jsonl")
}

// TestFile_DamagedFileRefusedByLine: a damaged file is refused with the line, before any record is copied.
func TestFile_DamagedFileRefusedByLine(t *testing.T) {
	dir := t.TempDir()
	file := jsonl.File(filepath.Join(dir, "r.jsonl"))
	copied(t, filled(t, 20), file, repo.CopyOptions{})
	whole := read(t, file)
	lines := bytes.SplitAfter(whole, []byte("\n")) // header, 5 workers, 20 tasks, end, ""
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	without := func(i int) []byte { return join(join(lines[:i]...), join(lines[i+1:]...)) }
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty":                      {nil, "line 0"},
		"cut off in a record":        {whole[:len(whole)/2], "the record is cut off"},
		"without the end line":       {without(26), "line 26: the file has no end line"},
		"cut off in the end line":    {whole[:len(whole)-10], "line 27"},
		"without the last newline":   {whole[:len(whole)-1], "line 27"},
		"without a record":           {without(10), "line 26: the end line does not fit"},
		"a record twice":             {join(join(lines[:10]...), lines[9], join(lines[10:]...)), "line 28: the end line does not fit"},
		"a number changed":           {bytes.Replace(whole, []byte(`"total_slots":300`), []byte(`"total_slots":301`), 1), "line 27: the lines before the end line are not those"},
		"a record that is no JSON":   {bytes.Replace(whole, []byte(`"kind":"task","task":{`), []byte(`"kind":"task","task":[`), 1), "line 7"},
		"a version of the future":    {bytes.Replace(whole, []byte(`{"v":1,"kind":"header"`), []byte(`{"v":9,"kind":"header"`), 1), "line 1: the file has version 9"},
		"the header is missing":      {without(0), "line 1: the first line"},
		"something after the end":    {join(whole, lines[8]), "line 28: nothing may follow"},
		"an empty line":              {bytes.Replace(whole, []byte("\n"), []byte("\n\n"), 1), "line 2"},
		"a line that is far too big": {join(lines[0], bytes.Repeat([]byte("x"), 3<<20), lines[26]), "line 2: the line has more than"},
	} {
		damaged := jsonl.File(filepath.Join(dir, "damaged.jsonl"))
		if err := os.WriteFile(string(damaged), c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		dst := memory.New()
		_, err := repo.Copy(t.Context(), damaged, repo.StoreTarget(dst), repo.CopyOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
		if counts, err := dst.Counts(t.Context()); err != nil || counts.Total() != 0 {
			t.Errorf("%s: %d tasks were taken in", name, counts.Total())
		}
	}
}

// TestFile_MissingFileIsError: a missing file is an error.
func TestFile_MissingFileIsError(t *testing.T) {
	if _, err := jsonl.File(filepath.Join(t.TempDir(), "none.jsonl")).Snapshot(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Snapshot = %v", err)
	}
}

// TestFile_OneWriterAtATime: one process writes a file at a time, and a killed one does not block the next.
func TestFile_OneWriterAtATime(t *testing.T) {
	dir := t.TempDir()
	file := jsonl.File(filepath.Join(dir, "r.jsonl"))
	// What a killed process leaves.
	if err := os.WriteFile(string(file)+".partial", []byte("half a rec"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := file.Begin(t.Context(), repo.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Begin(t.Context(), repo.CopyOptions{}); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("a second writer: %v", err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	alone(t, dir)
	copied(t, filled(t, 10), file, repo.CopyOptions{})
	alone(t, dir, "r.jsonl")
}

// TestFile_ContradictingRecordsRefused: a file with workers and tasks that contradict
// each other is refused.
func TestFile_ContradictingRecordsRefused(t *testing.T) {
	// A worker's list is no part of the digest, so that of the writer is cheated.
	file := jsonl.File(filepath.Join(t.TempDir(), "r.jsonl"))
	w, err := file.Begin(t.Context(), repo.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	worker := *copytest.Worker(0)
	worker.CurrentTasks = []string{"task-0000002", "task-0000009"} // it holds 1 and 2
	var d repo.Digest
	for _, r := range []repo.Record{{Worker: &worker}, {Task: copytest.Task(1, 1)}, {Task: copytest.Task(2, 1)}} {
		if _, err := w.Put(t.Context(), []repo.Record{r}); err != nil {
			t.Fatal(err)
		}
		if err := d.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context(), d); err == nil || !strings.Contains(err.Error(), worker.ID) {
		t.Errorf("Finish = %v", err)
	}
	if _, err := os.Stat(string(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}
