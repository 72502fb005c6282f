package repo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// filled returns a store in memory with tasks and workers.
func filled(t *testing.T, tasks, workers int) *memory.Store {
	t.Helper()
	s := memory.New()
	t.Cleanup(func() { s.Close() })
	if err := copytest.Fill(t.Context(), s, tasks, workers); err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a store in a new SQLite file.
func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// all returns everything that a store holds, as it holds it.
func all(t *testing.T, src repo.Source) (tasks []*model.Task, workers []*model.Worker) {
	t.Helper()
	snap, err := src.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for task, err := range snap.Tasks(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	if workers, err = snap.Workers(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tasks, workers
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s:\n got %.2000s\nwant %.2000s", what, g, w)
	}
}

func mustCopy(t *testing.T, src repo.Source, dst repo.Target, o repo.CopyOptions) repo.Stats {
	t.Helper()
	stats, err := repo.Copy(t.Context(), src, dst, o)
	if err != nil {
		t.Fatalf("Copy: %v", err)
	}
	return stats
}

// put commits one task, new or in the place of another.
func put(t *testing.T, s repo.Store, task *model.Task) {
	t.Helper()
	found, err := s.Tasks(t.Context(), []string{task.ID})
	if err != nil {
		t.Fatal(err)
	}
	c := model.TaskChange{ID: task.ID, Put: task}
	if there := found[task.ID]; there != nil {
		c.From = there.Status
	}
	if err := s.Commit(t.Context(), &model.Batch{Tasks: []model.TaskChange{c}}); err != nil {
		t.Fatal(err)
	}
}

// TestCopy_KeepsTasksAndWorkers: a copy has each task and worker of the source, unchanged.
func TestCopy_KeepsTasksAndWorkers(t *testing.T) {
	src, dst := filled(t, 2500, 20), open(t, filepath.Join(t.TempDir(), "d.db"))
	var said []repo.Stats
	stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{Progress: func(s repo.Stats) { said = append(said, s) }})
	wantTasks, wantWorkers := all(t, src)
	gotTasks, gotWorkers := all(t, dst)
	same(t, "workers", gotWorkers, wantWorkers) // with what each holds
	same(t, "tasks", gotTasks, wantTasks)       // ids, times, attempts, errors, results, seq
	held := 0
	for _, w := range gotWorkers {
		held += len(w.CurrentTasks)
	}
	if held < 100 {
		t.Errorf("only %d tasks are held by a worker", held)
	}
	counts, err := src.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "by status", stats.ByStatus, counts)
	if stats.TasksMigrated != 2500 || stats.WorkersMigrated != 20 || stats.Skipped+stats.Errors+stats.Replaced != 0 ||
		!stats.Verified || stats.Bytes < 500_000 || stats.Duration <= 0 || stats.Total != 2500 {
		t.Errorf("stats are %+v", stats)
	}
	if len(said) < 4 || said[0].Tasks > 1000 || !said[len(said)-1].Verified {
		t.Errorf("progress was said %d times", len(said))
	}
}

// TestStats_JSONNamesAsDocumented: the statistics are JSON with the names of the document.
func TestStats_JSONNamesAsDocumented(t *testing.T) {
	stats := mustCopy(t, filled(t, 10, 2), repo.StoreTarget(memory.New()), repo.CopyOptions{})
	text, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"tasks_migrated":10`, `"workers_migrated":2`, `"skipped":0`, `"errors":0`, `"bytes":`, `"duration":`, `"by_status":{`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// TestCopy_SecondCopyChangesNothing: a second copy changes nothing.
func TestCopy_SecondCopyChangesNothing(t *testing.T) {
	src, dst := filled(t, 2500, 20), open(t, filepath.Join(t.TempDir(), "d.db"))
	mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{})
	before, _ := all(t, dst)
	for _, o := range []repo.OnConflict{repo.Fail, repo.Skip, repo.Replace} {
		stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{OnConflict: o})
		if stats.TasksMigrated+stats.WorkersMigrated+stats.Replaced+stats.Kept != 0 || stats.Skipped != 2520 || !stats.Verified {
			t.Errorf("%s: stats are %+v", o, stats)
		}
	}
	after, _ := all(t, dst)
	same(t, "tasks", after, before)
}

// TestCopy_ConflictFollowsOnConflict: a conflict fails, is skipped or replaced according to on_conflict.
func TestCopy_ConflictFollowsOnConflict(t *testing.T) {
	other := *copytest.Task(7, 5)
	other.Attempt += 3
	worker := *copytest.Worker(3)
	worker.Epoch = 99
	target := func(t *testing.T) repo.Store {
		dst := filled(t, 50, 5)
		put(t, dst, &other)
		if err := dst.Commit(t.Context(), &model.Batch{Workers: []model.WorkerChange{{ID: worker.ID, Put: &worker}}}); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	src := filled(t, 100, 5)

	t.Run("fail names the id", func(t *testing.T) {
		_, err := repo.Copy(t.Context(), src, repo.StoreTarget(target(t)), repo.CopyOptions{})
		if e := model.AsError(err); e == nil || e.Code != model.CodeConflict || e.ID != worker.ID || !strings.Contains(err.Error(), worker.ID) {
			t.Errorf("Copy = %v", err)
		}
	})
	t.Run("skip keeps the target's", func(t *testing.T) {
		dst := target(t)
		stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{OnConflict: repo.Skip})
		if stats.Kept != 2 || stats.TasksMigrated != 50 || stats.Skipped != 55 || !stats.Verified {
			t.Errorf("stats are %+v", stats)
		}
		tasks, workers := all(t, dst)
		if len(tasks) != 100 || tasks[7].Attempt != other.Attempt || workers[3].Epoch != 99 {
			t.Errorf("%d tasks, attempt %d, epoch %d", len(tasks), tasks[7].Attempt, workers[3].Epoch)
		}
	})
	t.Run("replace takes the source's", func(t *testing.T) {
		dst := target(t)
		stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{OnConflict: repo.Replace})
		if stats.Replaced != 2 || stats.TasksMigrated != 51 || stats.WorkersMigrated != 1 || stats.Skipped != 53 {
			t.Errorf("stats are %+v", stats)
		}
		gotTasks, gotWorkers := all(t, dst)
		wantTasks, wantWorkers := all(t, src)
		same(t, "tasks", gotTasks, wantTasks)
		same(t, "workers", gotWorkers, wantWorkers)
	})
}

// TestCopy_DryRunChangesNothing: a dry run counts and changes nothing.
func TestCopy_DryRunChangesNothing(t *testing.T) {
	src, dst := filled(t, 100, 5), filled(t, 60, 5)
	before, _ := all(t, dst)
	stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{DryRun: true})
	if stats.TasksMigrated != 40 || stats.Skipped != 65 || stats.Verified {
		t.Errorf("stats are %+v", stats)
	}
	after, _ := all(t, dst)
	same(t, "tasks", after, before)
}

// TestCopy_NewTasksFollowInSourceOrder: in a store with tasks the copied ones follow in the order of the source.
func TestCopy_NewTasksFollowInSourceOrder(t *testing.T) {
	src, dst := filled(t, 300, 5), memory.New()
	high := copytest.Task(0, 1)
	high.ID, high.Seq, high.WorkerID = "high", 200, ""
	put(t, dst, high)
	mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{})
	tasks, _ := all(t, dst)
	want, _ := all(t, src)
	var got, ids []string
	for _, task := range tasks {
		got = append(got, task.ID)
	}
	for _, task := range want {
		ids = append(ids, task.ID)
	}
	same(t, "order", got, append([]string{"high"}, ids...))
	if tasks[len(tasks)-1].Seq <= 200 {
		t.Error("a seq was given twice")
	}
}

// TestCopy_InterruptedCopyResumes: an interrupted copy resumes where it stopped.
func TestCopy_InterruptedCopyResumes(t *testing.T) {
	src, dst := filled(t, 3000, 10), open(t, filepath.Join(t.TempDir(), "d.db"))
	ctx, cancel := context.WithCancel(t.Context())
	stats, err := repo.Copy(ctx, src, repo.StoreTarget(dst), repo.CopyOptions{Batch: 500, Progress: func(s repo.Stats) {
		if s.Tasks >= 1000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || stats.Verified || stats.TasksMigrated < 1000 || stats.TasksMigrated == 3000 {
		t.Fatalf("cut off: %v, %+v", err, stats)
	}
	again := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{})
	if again.Skipped != stats.TasksMigrated+10 || again.TasksMigrated+again.Skipped != 3010 {
		t.Errorf("first %+v, then %+v", stats, again)
	}
	got, _ := all(t, dst)
	want, _ := all(t, src)
	same(t, "tasks", got, want) // seq too
}

// TestCopy_LiveStoreCopiedAtOneMoment: a copy of a store in use shows one moment.
func TestCopy_LiveStoreCopiedAtOneMoment(t *testing.T) {
	src, dst := open(t, filepath.Join(t.TempDir(), "d.db")), memory.New()
	if err := copytest.Fill(t.Context(), src, 5000, 10); err != nil {
		t.Fatal(err)
	}
	want, err := copytest.Digest(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	more := 0
	stats := mustCopy(t, src, repo.StoreTarget(dst), repo.CopyOptions{Batch: 100, Progress: func(repo.Stats) {
		task := copytest.Task(100_000+more, 0)
		more++
		put(t, src, task)
	}})
	if stats.Digest != want || stats.TasksMigrated != 5000 || more < 50 {
		t.Errorf("%d tasks came meanwhile: %v, want %v", more, stats.Digest, want)
	}
}

// TestCopy_TooLargeTaskIsNamed: a large task is copied, and one that is too large is named in the error.
func TestCopy_TooLargeTaskIsNamed(t *testing.T) {
	src := memory.New()
	task := copytest.Task(1, 0)
	task.Torrent = make([]byte, model.MaxInline/4*3)
	put(t, src, task)
	mustCopy(t, src, repo.StoreTarget(memory.New()), repo.CopyOptions{})
	big := copytest.Task(2, 0)
	big.Torrent = make([]byte, repo.MaxRecord)
	put(t, src, big)
	if _, err := repo.Copy(t.Context(), src, repo.StoreTarget(memory.New()), repo.CopyOptions{}); model.CodeOf(err) != model.CodeTooLarge || !strings.Contains(err.Error(), big.ID) {
		t.Errorf("Copy = %v", err)
	}
}

// TestCopy_InvalidOnConflictRefused: a wrong on_conflict is refused.
func TestCopy_InvalidOnConflictRefused(t *testing.T) {
	if _, err := repo.Copy(t.Context(), memory.New(), repo.StoreTarget(memory.New()), repo.CopyOptions{OnConflict: "maybe"}); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("Copy = %v", err)
	}
}

// ExampleMigrateMemoryToSQLite saves what a program keeps in memory to a file.
func ExampleMigrateMemoryToSQLite() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	// Open the stores.
	memoryDB := memory.New()
	sqliteDB, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "dispatcher.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sqliteDB.Close()
	if err := copytest.Fill(ctx, memoryDB, 100, 4); err != nil {
		fmt.Println(err)
		return
	}

	// From memory to SQLite.
	stats, err := repo.MigrateMemoryToSQLite(ctx, memoryDB, sqliteDB)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("Migration completed: %d tasks, %d workers\n", stats.TasksMigrated, stats.WorkersMigrated)

	// And back, into an empty store.
	stats, err = repo.MigrateSQLiteToMemory(ctx, sqliteDB, memory.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("Migration completed: %d tasks, %d workers\n", stats.TasksMigrated, stats.WorkersMigrated)
	// Output:
	// Migration completed: 100 tasks, 4 workers
	// Migration completed: 100 tasks, 4 workers
}

// A count of one has its noun in the singular.
func TestDigest_TextHasPlurals(t *testing.T) {
	for want, d := range map[string]repo.Digest{"1 task, 1 worker, digest ": {Tasks: 1, Workers: 1}, "0 tasks, 2 workers, digest ": {Workers: 2}} {
		if text := d.String(); !strings.HasPrefix(text, want) {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// TestDigest_IgnoresOrderOnly: a digest depends on the content and the number of records, not on their order.
func TestDigest_IgnoresOrderOnly(t *testing.T) {
	digest := func(tasks ...*model.Task) (d repo.Digest) {
		for _, task := range tasks {
			if err := d.Add(&repo.Record{Task: task}); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	a, b := copytest.Task(1, 3), copytest.Task(2, 3)
	moved := *a
	moved.Seq, moved.Reason = 999, "no worker has it"
	if digest(a, b) != digest(b, &moved) {
		t.Error("order, seq or reason change the digest")
	}
	for _, other := range []repo.Digest{digest(a), digest(a, a), digest(a, b, b), digest(), digest(a, a, a, b)} {
		if other == digest(a, b) {
			t.Errorf("%v is the digest of other tasks", other)
		}
	}
	if d := digest(a, b, a).Minus(digest(a)); d != digest(b, a) {
		t.Errorf("a difference is %v", d)
	}
	text, err := json.Marshal(digest(a, b))
	var read repo.Digest
	if err != nil || json.Unmarshal(text, &read) != nil || read != digest(a, b) {
		t.Errorf("JSON gives %s, read as %v (%v)", text, read, err)
	}
	if !slices.Contains(strings.Fields(digest(a, b).String()), digest(a, b).Sum()) {
		t.Error("String does not say the sum")
	}
}
