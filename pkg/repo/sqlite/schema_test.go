package sqlite

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestOpen_NewerSchemaRefused: a newer schema is refused.
func TestOpen_NewerSchemaRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	s := mustOpen(t, Config{Path: path})
	if _, err := s.w.conn.ExecContext(context.Background(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before, _ := os.ReadFile(path)
	_, err := Open(context.Background(), Config{Path: path})
	if model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "schema 999") {
		t.Errorf("Open = %v, want a refusal that names schema 999", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// older turns the store's file at path into one of the first schema.
func older(t *testing.T, path string) {
	t.Helper()
	first, err := migrations.ReadFile("migrations/00001_tasks.sql")
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "first.db")
	mustWrite(t, empty, string(first))
	kept := columnsOf(t, empty)
	for table, columns := range columnsOf(t, path) {
		switch {
		case table == "goose_db_version":
			mustWrite(t, path, "DELETE FROM goose_db_version WHERE version_id > 1")
		case kept[table] == nil:
			mustWrite(t, path, "DROP TABLE "+table)
		}
		for _, column := range columns {
			if kept[table] != nil && !slices.Contains(kept[table], column) {
				mustWrite(t, path, "ALTER TABLE "+table+" DROP COLUMN "+column)
			}
		}
	}
}

// columnsOf returns the columns of each table in a file.
func columnsOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	db, err := sqlx.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows []struct{ Table, Column string }
	if err := db.Select(&rows, `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`); err != nil {
		t.Fatal(err)
	}
	columns := make(map[string][]string)
	for _, row := range rows {
		columns[row.Table] = append(columns[row.Table], row.Column)
	}
	return columns
}

// TestOpen_OlderSchemaBackedUpAndMigrated: a file with an older schema is backed up and then migrated.
func TestOpen_OlderSchemaBackedUpAndMigrated(t *testing.T) {
	ctx := context.Background()
	path := filled(t, 20)
	older(t, path)
	var log bytes.Buffer
	s := mustOpen(t, Config{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	kept := path + ".before-schema-1"
	if text := log.String(); !strings.Contains(text, kept) || total(t, s) != 20 {
		t.Errorf("%d tasks; the log says %s", total(t, s), text)
	}
	gone := model.TaskChange{ID: "01JD0000000000000000000001", From: model.StatusPending, Delete: true, Keep: 9}
	mustCommit(t, s, gone)
	if have, _, err := Schema(ctx, kept); have != 1 || err != nil {
		t.Errorf("the copy has schema %d, %v", have, err)
	}
	report, err := Verify(ctx, kept)
	if err != nil || report.Tasks != 20 || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], "schema 1") {
		t.Errorf("the copy: %+v, %v", report, err)
	}
	if _, err := OpenReadOnly(ctx, kept); model.CodeOf(err) != model.CodeConflict {
		t.Errorf("OpenReadOnly of the copy: %v, want CodeConflict", err)
	}
	mustOpen(t, Config{Path: kept}) // one can go back to it
}

// TestOpen_FailedMigrationChangesNothing: a migration that fails changes nothing.
func TestOpen_FailedMigrationChangesNothing(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ name, obstacle, away string }{
		{"in the middle of the first one", "CREATE TABLE other (x); CREATE INDEX tombstones_until ON other (x)", "DROP TABLE other"},
		{"in a later one", "ALTER TABLE workers ADD COLUMN drained INTEGER", "ALTER TABLE workers DROP COLUMN drained"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filled(t, 20)
			older(t, path)
			mustWrite(t, path, c.obstacle)
			if s, err := Open(ctx, Config{Path: path}); err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			report, err := Verify(ctx, path)
			if err != nil || report.Schema != 1 || report.Tasks != 20 {
				t.Errorf("after the failure: %+v, %v", report, err)
			}
			mustWrite(t, path, c.away)
			if n := total(t, mustOpen(t, Config{Path: path})); n != 20 {
				t.Errorf("%d tasks when nothing is in the way any more", n)
			}
		})
	}
}

// TestOpen_NewFileHasNewestSchema: a new file has the newest schema.
func TestOpen_NewFileHasNewestSchema(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	if got := pragma(t, s, "application_id"); got != applicationID {
		t.Errorf("application_id is %x", got)
	}
	var version int64
	if err := s.r.Get(&version, "SELECT max(version_id) FROM goose_db_version"); err != nil || version != SchemaVersion() || version < 1 {
		t.Errorf("the file has schema %d, %v; the program knows %d", version, err, SchemaVersion())
	}
}

// The row that is read has a field for every column but shown_url, which is
// only searched; and every column is written by exactly one group.
func TestSchema_EachColumnWrittenAndRead(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	var columns []string
	if err := s.r.Select(&columns, "SELECT name FROM pragma_table_info('tasks')"); err != nil {
		t.Fatal(err)
	}
	written := make(map[string]int)
	for _, g := range groups {
		for _, c := range g.columns {
			written[c]++
		}
	}
	read := slices.Clone(bareColumns)
	for _, c := range packedColumns {
		read = append(read, c.sql)
	}
	for _, c := range columns {
		if written[c] != 1 {
			t.Errorf("the column %s is written by %d groups", c, written[c])
		}
		if !slices.Contains(read, c) && c != "shown_url" {
			t.Errorf("the column %s is not read", c)
		}
	}
	if len(written) != len(columns) || len(columns) == 0 {
		t.Errorf("%d columns are written of %d", len(written), len(columns))
	}
}
