package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func pending(id string, seq int64) model.TaskChange {
	return model.TaskChange{ID: id, Put: &model.Task{
		TaskSpec: model.TaskSpec{ID: id, Priority: model.PriorityNormal, URL: "http://host.example/" + id}, Client: "c", Seq: seq,
		TaskState: model.TaskState{Status: model.StatusPending},
	}}
}

func mustCommit(t testing.TB, s *Store, changes ...model.TaskChange) {
	t.Helper()
	if err := s.Commit(context.Background(), &model.Batch{Tasks: changes}); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func total(t testing.TB, s *Store) int64 {
	t.Helper()
	counts, err := s.Counts(context.Background())
	if err != nil {
		t.Fatalf("Counts: %v", err)
	}
	return counts.Total()
}

// TestOpen_ReopenedStoreKeepsEverything: reopening keeps everything.
func TestOpen_ReopenedStoreKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	s := mustOpen(t, Config{Path: path})
	mustCommit(t, s, pending("a", 1), pending("b", 2))
	if err := s.Commit(context.Background(), &model.Batch{Workers: []model.WorkerChange{{ID: "w", Put: &model.Worker{ID: "w"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(path + "*")
	if len(left) != 1 {
		t.Errorf("Close leaves %v, want the file alone", left)
	}
	s = mustOpen(t, Config{Path: path})
	found, err := s.Tasks(context.Background(), []string{"a", "b"})
	if err != nil || len(found) != 2 || total(t, s) != 2 {
		t.Errorf("after reopening: %v, %v", found, err)
	}
	if workers, err := s.Workers(context.Background()); err != nil || len(workers) != 1 {
		t.Errorf("after reopening: workers %v, %v", workers, err)
	}
	if seq, err := s.LastSeq(context.Background()); err != nil || seq != 2 {
		t.Errorf("after reopening: LastSeq %d, %v", seq, err)
	}
}

// TestOpen_FolderAndFileForOwnerOnly: folder and file are for their owner only.
func TestOpen_FolderAndFileForOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := mustOpen(t, Config{Path: filepath.Join(dir, "d.db")})
	mustCommit(t, s, pending("a", 1))
	for name, want := range map[string]os.FileMode{"": 0o700, "d.db": 0o600, "d.db-wal": 0o600, "d.db.lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

// TestOpen_SecondOpenerNamesHolder: a second Open fails and names the process that holds the file.
func TestOpen_SecondOpenerNamesHolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d.db")
	s := mustOpen(t, Config{Path: path})
	link := filepath.Join(dir, "by another name.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	for _, p := range []string{path, link, filepath.Join(dir, "x", "..", "d.db")} {
		_, err := Open(context.Background(), Config{Path: p})
		if model.CodeOf(err) != model.CodeUnavailable {
			t.Fatalf("Open of %s: %v, want CodeUnavailable", p, err)
		}
		for _, part := range []string{path, fmt.Sprintf("pid %d", os.Getpid()), host} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	}
	mustCommit(t, s, pending("a", 1)) // the first one is not disturbed
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Path: link})
}

// TestOpen_LockOfKilledProcessTaken: the lock file of a killed process does not prevent Open.
func TestOpen_LockOfKilledProcessTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	if err := os.WriteFile(path+".lock", []byte("pid 1 on elsewhere since long ago, and some more text than ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Path: path})
	text, err := os.ReadFile(path + ".lock")
	if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("pid %d on ", os.Getpid())) || strings.Contains(string(text), "more") {
		t.Errorf("the lock says %q, %v", text, err)
	}
}

// TestOpen_ForeignFileRefusedUnchanged: a file of another program is refused and stays unchanged.
func TestOpen_ForeignFileRefusedUnchanged(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	db, err := sqlx.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA journal_mode=wal; CREATE TABLE tasks (x); INSERT INTO tasks VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	text := filepath.Join(dir, "notes.txt")
	long := filepath.Join(dir, "long.bin")
	os.WriteFile(text, []byte("not a database"), 0o644)
	os.WriteFile(long, bytes.Repeat([]byte("x"), 8192), 0o644)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		other: "another program", text: "not a SQLite file", long: "not a SQLite file", filepath.Join(dir, "folder"): "not a file",
	} {
		before, _ := os.ReadFile(path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), Config{Path: path})
		if err == nil {
			s.Close()
			t.Errorf("%s was opened", path)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q is not one sentence that names the file and says %q", path, err, want)
		}
		after, _ := os.ReadFile(path)
		now, err := os.Stat(path)
		if err != nil || !bytes.Equal(before, after) || !now.ModTime().Equal(info.ModTime()) || now.Mode() != info.Mode() {
			t.Errorf("%s was touched", path)
		}
		if left, _ := filepath.Glob(path + "?*"); left != nil {
			t.Errorf("%s: %v were left behind", path, left)
		}
	}
}

// sqlite3's .dump leaves out the application id.
func TestOpen_FileFromDumpAccepted(t *testing.T) {
	ctx := context.Background()
	path := filled(t, 20)
	mustWrite(t, path, "PRAGMA application_id = 0; PRAGMA journal_mode = delete")
	if r, err := OpenReadOnly(ctx, path); err != nil || len(idsOf(t, r)) != 20 {
		t.Errorf("OpenReadOnly: %v", err)
	}
	s := mustOpen(t, Config{Path: path})
	if n := total(t, s); n != 20 || pragma(t, s, "application_id") != applicationID {
		t.Errorf("%d tasks; the file is not marked", n)
	}
}

// TestOpen_BadConfigurationRefused: a bad configuration is refused.
func TestOpen_BadConfigurationRefused(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]Config{
		"no path is given":  {},
		`synchronous "off"`: {Path: filepath.Join(dir, "d.db"), Synchronous: "off"},
		"not a directory":   {Path: "/dev/null/x/d.db"},
		"too many links":    {Path: loop(t, dir)},
	} {
		if _, err := Open(context.Background(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open = %v, want %q", err, name)
		}
	}
}

func loop(t *testing.T, dir string) string {
	path := filepath.Join(dir, "loop")
	if err := os.Symlink(path, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpen_SynchronousAsConfigured: the connection has the configured synchronous mode.
func TestOpen_SynchronousAsConfigured(t *testing.T) {
	for level, want := range map[Synchronous]int{"": 2, Full: 2, Normal: 1} {
		s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: level})
		var synchronous int
		var journal string
		if err := s.w.conn.GetContext(context.Background(), &synchronous, "PRAGMA synchronous"); err != nil || synchronous != want {
			t.Errorf("%q: PRAGMA synchronous is %d, %v; want %d", level, synchronous, err, want)
		}
		if err := s.w.conn.GetContext(context.Background(), &journal, "PRAGMA journal_mode"); err != nil || journal != "wal" {
			t.Errorf("%q: PRAGMA journal_mode is %s, %v", level, journal, err)
		}
		s.Close()
	}
}

// TestStore_ReadersCannotWrite: readers cannot write.
func TestStore_ReadersCannotWrite(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	if _, err := s.r.Exec("DELETE FROM counters"); err == nil {
		t.Error("a reader wrote")
	}
}

// A process that is killed leaves the file and its WAL as they are; so a copy of
// both, taken while the store is open, is what the next process finds.
func TestCommit_SurvivesKill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d.db")
	s := mustOpen(t, Config{Path: path})
	for seq := int64(1); seq <= 50; seq++ {
		mustCommit(t, s, pending(fmt.Sprintf("t%d", seq), seq))
	}
	copied := filepath.Join(dir, "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil || len(b) == 0 {
			t.Fatalf("%d bytes of %s, %v: there is nothing to recover from", len(b), path+suffix, err)
		}
		if err := os.WriteFile(copied+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := mustOpen(t, Config{Path: copied})
	if n := total(t, again); n != 50 {
		t.Errorf("%d of 50 committed tasks are there", n)
	}
}

// TestOpen_PartlyCreatedFileRecreated: a file with an interrupted creation is created
// again.
func TestOpen_PartlyCreatedFileRecreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Path: path})
	mustCommit(t, s, pending("a", 1))
	s.Close()
	// Marked, but killed before the first migration.
	marked := filepath.Join(t.TempDir(), "marked.db")
	if err := create(marked); err != nil {
		t.Fatal(err)
	}
	if err := markFile(context.Background(), marked); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, mustOpen(t, Config{Path: marked}), pending("a", 1))
}
