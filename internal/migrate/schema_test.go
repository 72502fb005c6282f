package migrate

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// newestSchema is how the outputs name the newest schema.
var newestSchema = fmt.Sprintf("schema %d", repo.SchemaVersion)

// TestSchemaUp_SaysUpToDate: with nothing to do schema up says so, and that needs
// no lock: a dispatcher may have the file open.
func TestSchemaUp_SaysUpToDate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	seed(t, path, 10, 2)
	if o := must(t, dir, "schema", "up", "--sqlite-path", "a.db"); !strings.Contains(o.stdout, "up to date") {
		t.Errorf("a file that nobody has open: %s", o.stdout)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if o := must(t, dir, "schema", "up", "--sqlite-path", "a.db"); !strings.Contains(o.stdout, "up to date") {
		t.Errorf("a file that is in use: %s", o.stdout)
	}
}

// TestSchemaUp_RefusesOldFileInUse: where there is something to do the lock counts.
func TestSchemaUp_RefusesOldFileInUse(t *testing.T) {
	testbed.RequireBinary(t, "sqlite3")
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	seed(t, path, 10, 2)
	// An older schema: without the last migration.
	out, err := exec.Command("sqlite3", path, "DELETE FROM goose_db_version WHERE version_id = 6; ALTER TABLE tasks DROP COLUMN history").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, release, err := sqlite.LockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if o := migrate(t, dir, "schema", "up", "--sqlite-path", "a.db"); o.code != 1 || !strings.Contains(o.stderr, "is in use by another process, a dispatcher or migrate (pid ") {
		t.Errorf("%+v", o)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if o := must(t, dir, "schema", "up", "--sqlite-path", "a.db"); !strings.Contains(o.stdout, "brought up to date: "+newestSchema) {
		t.Errorf("%+v", o)
	}
}

// TestRecordsFile_HasNoSchema: schema and verify say what a file of records is
// instead of a schema 0, and schema takes the file as an argument as verify does.
func TestRecordsFile_HasNoSchema(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 10, 1)
	must(t, dir, "--source", "a.db", "--target", "r.jsonl")
	for _, args := range [][]string{{"status", "r.jsonl"}, {"status", "--sqlite-path", "r.jsonl"}, {"up", "r.jsonl"}} {
		o := migrate(t, dir, append([]string{"schema"}, args...)...)
		if o.code != 1 || !strings.Contains(o.stderr, "r.jsonl is a file of records: it has no schema") {
			t.Errorf("schema %v: %+v", args, o)
		}
	}
	if o := must(t, dir, "verify", "r.jsonl"); !strings.Contains(o.stdout, "r.jsonl is whole: a file of records, 10 tasks, 1 worker\n") {
		t.Errorf("verify: %s", o.stdout)
	}
	var report map[string]any
	if err := json.Unmarshal([]byte(must(t, dir, "verify", "r.jsonl", "--json").stdout), &report); err != nil || report["schema"] != nil {
		t.Errorf("verify --json: %v, %v", report, err)
	}
	if o := must(t, dir, "schema", "status", "a.db"); !strings.Contains(o.stdout, "has "+newestSchema) {
		t.Errorf("schema status a.db: %s", o.stdout)
	}
	if o := migrate(t, dir, "schema", "status", "a.db", "more"); o.code != 2 {
		t.Errorf("an argument too many: %+v", o)
	}
	if err := os.WriteFile(filepath.Join(dir, "other.txt"), []byte("no store"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := migrate(t, dir, "schema", "status", "other.txt"); o.code != 1 || !strings.Contains(o.stderr, "is not a SQLite file") {
		t.Errorf("schema status other.txt: %+v", o)
	}
}

// TestText_CountsOneAsSingular: one task and one worker are no plural.
func TestText_CountsOneAsSingular(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 1, 1)
	if o := must(t, dir, "--source", "a.db", "--target", "b.db"); !strings.HasPrefix(o.stdout, "1 task, 1 worker migrated; 0 skipped, 0 replaced, 0 errors; ") {
		t.Errorf("a copy: %s", o.stdout)
	}
	if o := must(t, dir, "verify", "b.db"); !strings.Contains(o.stdout, "is whole: "+newestSchema+", 1 task, 1 worker\n") {
		t.Errorf("verify: %s", o.stdout)
	}
}
