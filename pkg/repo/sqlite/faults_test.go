package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func pragma(t *testing.T, s *Store, text string) (n int64) {
	t.Helper()
	if err := s.w.connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.w.conn.GetContext(context.Background(), &n, "PRAGMA "+text); err != nil {
		t.Fatalf("PRAGMA %s: %v", text, err)
	}
	return n
}

// TestStore_FullDiskRefusesWritesOnly: a full disk refuses writes only, and writes succeed when it has space again.
func TestStore_FullDiskRefusesWritesOnly(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	mustCommit(t, s, pending("first", 1))
	pages := pragma(t, s, "page_count")
	pragma(t, s, fmt.Sprintf("max_page_count = %d", pages+4))

	big := pending("big", 2)
	big.Put.Torrent = bytes.Repeat([]byte("x"), 300<<10)
	begun := model.TaskChange{ID: "first", From: model.StatusPending, Set: model.SetStatus, State: model.TaskState{Status: model.StatusQueued}}
	for range 3 {
		err := s.Commit(context.Background(), &model.Batch{Tasks: []model.TaskChange{begun, big}})
		if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "the disk is full") {
			t.Fatalf("Commit = %v, want CodeUnavailable that says the disk is full", err)
		}
		found, err := s.Tasks(context.Background(), []string{"first", "big"})
		if err != nil || len(found) != 1 || found["first"].Status != model.StatusPending || total(t, s) != 1 {
			t.Fatalf("reads while the disk is full: %v, %v", found, err)
		}
	}
	pragma(t, s, "max_page_count = 1000000")
	mustCommit(t, s, begun, big)
	if n := total(t, s); n != 2 {
		t.Errorf("%d tasks after there was room again, want 2", n)
	}
}

// TestWriter_LostConnectionReopened: a writer that lost its connection opens another.
func TestWriter_LostConnectionReopened(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	mustCommit(t, s, pending("a", 1))
	if err := s.w.discardConnection(); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, pending("b", 2))
	if n := total(t, s); n != 2 {
		t.Errorf("%d tasks, want 2", n)
	}
	if got := pragma(t, s, "synchronous"); got != 2 {
		t.Errorf("the new connection has synchronous %d, want 2 (full)", got)
	}
}

// TestWriter_RolledBackTransactionEnds: an error with which SQLite rolls back the transaction does not affect the next commit.
func TestWriter_RolledBackTransactionEnds(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	for _, text := range []string{
		"CREATE TEMP TRIGGER fail BEFORE INSERT ON main.tasks BEGIN SELECT raise(ROLLBACK, 'broken'); END",
		"DROP TRIGGER fail",
	} {
		if _, err := s.w.conn.ExecContext(context.Background(), text); err != nil {
			t.Fatal(err)
		}
		err := s.Commit(context.Background(), &model.Batch{Tasks: []model.TaskChange{pending("a", 1)}})
		if failed := err != nil; failed != strings.HasPrefix(text, "CREATE") {
			t.Errorf("after %s: Commit = %v", text, err)
		}
	}
	if n := total(t, s); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
}

// TestStore_ReadOnlyFileUnavailable: a read-only file is unavailable until it can be written again.
func TestStore_ReadOnlyFileUnavailable(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	if _, err := s.w.conn.ExecContext(context.Background(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	err := s.Commit(context.Background(), &model.Batch{Tasks: []model.TaskChange{pending("a", 1)}})
	if model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("Commit = %v, want CodeUnavailable", err)
	}
	if _, err := s.w.conn.ExecContext(context.Background(), "PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, pending("a", 1))
}

// TestErrors_KeepCause: other errors keep their cause.
func TestErrors_KeepCause(t *testing.T) {
	cause := errors.New("cause")
	if err := explainError("op", cause); !errors.Is(err, cause) || err.Error() != "op: cause" {
		t.Errorf("explain = %v", err)
	}
	if explainError("op", nil) != nil {
		t.Error("explain makes an error of nil")
	}
}

// Every list must walk an index, or the table, in the order of seq. A temporary
// B-tree would read and sort all that a filter finds.
func TestList_NeitherSortsNorScans(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	all := model.Statuses
	for name, q := range map[string]model.ListQuery{
		"everything":             {},
		"of a client":            {Client: "c"},
		"of a client, by status": {Client: "c", Status: all[:2]},
		"of a worker":            {WorkerID: "w", Status: all[:2], Client: "c"},
		"pending":                {Status: all[:1]},
		"live":                   {Status: all[:4]},
		"completed":              {Status: all},
		"failed with text":       {Status: all[5:6], Text: "x", Labels: map[string]string{"a": "b"}},
	} {
		for _, down := range []bool{false, true} {
			sel, err := s.choose(context.Background(), &q)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := s.r.Queryx("EXPLAIN QUERY PLAN "+sel.sql(down, true, "LIMIT 10"), sel.values(1, 1<<60, true)...)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var plan []string
			for rows.Next() {
				row, err := rows.SliceScan()
				if err != nil {
					t.Fatal(err)
				}
				plan = append(plan, fmt.Sprint(row[3]))
			}
			text := strings.Join(plan, "; ")
			if len(plan) == 0 || strings.Contains(text, "TEMP B-TREE") || strings.Contains(text, "SCAN tasks") {
				t.Errorf("%s (down %v): %s", name, down, text)
			}
		}
	}
}
