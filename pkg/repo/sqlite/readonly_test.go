package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// mustWrite changes a store's file behind its back, as only a bug or a person
// would.
func mustWrite(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sqlx.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// filled returns the path of a closed store with n tasks.
func filled(t testing.TB, n int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.db")
	s := mustOpen(t, Config{Path: path, Synchronous: Normal})
	fillStore(t, s, 1, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// fillStore puts pending tasks with the seqs from first to last.
func fillStore(t testing.TB, s *Store, first, last int64) {
	t.Helper()
	for ; first <= last; first += 1000 {
		var changes []model.TaskChange
		for seq := first; seq <= min(last, first+999); seq++ {
			changes = append(changes, pending(fmt.Sprintf("01JD%022d", seq), seq))
		}
		mustCommit(t, s, changes...)
	}
}

func idsOf(t testing.TB, s repo.Snapshotter) (ids []string) {
	t.Helper()
	snap, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	defer snap.Close()
	for task, err := range snap.Tasks(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, task.ID)
	}
	return ids
}

// TestReadOnly_OpenFileReadToLastCommit: a file that a dispatcher has open is read up to its last commit.
func TestReadOnly_OpenFileReadToLastCommit(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "d.db")
	s := mustOpen(t, Config{Path: path})
	mustCommit(t, s, pending("a", 1))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := r.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	mustCommit(t, s, pending("b", 2)) // the lock is still the dispatcher's, and it works
	for task, err := range snap.Tasks(ctx, 0) {
		if err != nil || task.ID != "a" {
			t.Errorf("the snapshot shows %v, %v", task, err)
		}
	}
	if got := idsOf(t, r); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("a new snapshot shows %v", got)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("reading wrote to the file")
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil { // no reader is left that holds the WAL
		t.Error(err)
	}
	if got := idsOf(t, r); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after the dispatcher's end a snapshot shows %v", got)
	}
}

// TestReadOnly_UnreadableFileRefused: a file that cannot be read is refused with one sentence.
func TestReadOnly_UnreadableFileRefused(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	text, other, bare := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "other.db"), filepath.Join(dir, "bare.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("not a database. "), 400), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, other, "CREATE TABLE tasks (x)")
	if err := errors.Join(create(bare), markFile(ctx, bare)); err != nil {
		t.Fatal(err)
	}
	newer := filled(t, 1)
	mustWrite(t, newer, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	for path, want := range map[string]string{
		text: "is not a SQLite file", other: "of another program", bare: "has schema 0", newer: "has schema 999",
		filepath.Join(dir, "none.db"): "no such file", dir: "is not a file",
	} {
		_, err := OpenReadOnly(ctx, path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one sentence that says %q", path, err, want)
		}
	}
	if have, known, err := Schema(ctx, newer); have != 999 || known != SchemaVersion() || err != nil {
		t.Errorf("Schema = %d, %d, %v", have, known, err)
	}
	if have, _, err := Schema(ctx, bare); have != 0 || err != nil {
		t.Errorf("Schema of a file without one = %d, %v", have, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was made")
	}
}

// TestBackup_RelativePathAccepted: a backup may have a relative path.
func TestBackup_RelativePathAccepted(t *testing.T) {
	t.Chdir(t.TempDir())
	s := mustOpen(t, Config{Path: "d.db"})
	fillStore(t, s, 1, 10)
	if err := Backup(t.Context(), "d.db", "backup.db"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("backup.db"); err != nil {
		t.Error(err)
	}
}

// TestBackup_ConsistentDuringCommits: a backup shows the store at one moment while commits continue.
func TestBackup_ConsistentDuringCommits(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := mustOpen(t, Config{Path: filepath.Join(dir, "d.db")})
	fillStore(t, s, 1, 1000)
	stop, stopped := make(chan struct{}), make(chan int64, 1)
	go func() {
		seq := int64(1000)
		defer func() { stopped <- seq }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			batch := &model.Batch{Tasks: []model.TaskChange{pending(fmt.Sprint("x", seq+1), seq+1), pending(fmt.Sprint("x", seq+2), seq+2)}}
			if s.Commit(ctx, batch) != nil {
				return
			}
			seq += 2
		}
	}()
	for i := range 2 {
		to := filepath.Join(dir, fmt.Sprintf("it's backup %d.db", i))
		if err := Backup(ctx, s.path, to); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(to)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup has mode %v, %v", info.Mode(), err)
		}
		report, err := Verify(ctx, to)
		if err != nil || !report.OK() || report.Tasks < 1000 || report.Tasks%2 != 0 {
			t.Fatalf("the backup: %+v, %v", report, err)
		}
		again := mustOpen(t, Config{Path: to}) // it is a store
		if n := total(t, again); n != report.Tasks {
			t.Errorf("%d tasks in the opened backup, %d in its report", n, report.Tasks)
		}
		if err := Backup(ctx, s.path, to); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second backup to the same name: %v, want ErrExist", err)
		}
	}
	close(stop)
	if last := <-stopped; total(t, s) != last || last == 1000 {
		t.Errorf("the store has %d tasks after %d commits", total(t, s), last)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial-*")); left != nil {
		t.Errorf("%v were left behind", left)
	}
	if err := Backup(ctx, s.path, filepath.Join(dir, "no folder", "b.db")); err == nil {
		t.Error("a backup into a folder that is not there was made")
	}
}

// TestVerify_NamesProblems: Verify names each problem of a file.
func TestVerify_NamesProblems(t *testing.T) {
	ctx := context.Background()
	good, err := os.ReadFile(filled(t, 30))
	if err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"UPDATE counters SET n = 7 WHERE status = 'failed'":                               "the counter of failed tasks says 7, there are 0",
		"UPDATE tasks SET status = 'queued', attempt = 1 WHERE seq = 2":                   "active and no worker holds them: 01JD0000000000000000000002",
		"UPDATE tasks SET status = 'queued', attempt = 1, worker_id = 'w9' WHERE seq = 2": "01JD0000000000000000000002 (w9)",
		"UPDATE tasks SET worker_id = 'w9'":                                               "30 tasks are held by a worker and not active: 01JD0000000000000000000001, ",
		"UPDATE tasks SET status = 'queued', worker_id = 'w9'":                            "30 tasks are active and were never assigned",
		"UPDATE tasks SET status = 'lost' WHERE seq = 3":                                  "have a status that there is not: 01JD0000000000000000000003",
		"UPDATE tasks SET labels = '{' WHERE seq = 3":                                     "have a field that is no JSON: 01JD0000000000000000000003",
		"UPDATE tasks SET spec_hash = x'00' WHERE seq = 3":                                "spec_hash of the wrong length",
		"UPDATE tasks SET id = '' WHERE seq = 3":                                          "have no id",
		"INSERT INTO workers SELECT 'w',1,1,1,1,1,1,1,1,1,1,'{','','','',0,''":            "workers have no id, or a field that is no JSON: w",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)":           "schema 999",
		"DELETE FROM goose_db_version WHERE version_id > 0":                               "schema 0",
	} {
		path := filepath.Join(t.TempDir(), "d.db")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := Verify(ctx, path); err != nil || !report.OK() || report.Tasks != 30 || report.ByStatus["pending"] != 30 {
			t.Fatalf("a good store: %+v, %v", report, err)
		}
		mustWrite(t, path, statement)
		report, err := Verify(ctx, path)
		if err != nil || report.OK() || !strings.Contains(strings.Join(report.Problems, "\n"), want) {
			t.Errorf("%s:\n%v, %v\nwant %q", statement, report, err, want)
		}
	}
	if _, err := Verify(ctx, filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("a file that is not there was verified")
	}
}
