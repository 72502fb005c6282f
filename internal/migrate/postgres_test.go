package migrate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// withDatabase runs the program with a database, and fails unless it ends with the code.
func withDatabase(t *testing.T, dir, dsn string, code int, args ...string) string {
	t.Helper()
	cmd := command(dir, args...)
	cmd.Env = append(cmd.Env, "DISPATCHER_DB_DSN="+dsn)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("migrate %v: %v, want exit %d\n%s", args, err, code, out)
	}
	return string(out)
}

// A copy from SQLite to PostgreSQL and back has every record. A repeated copy writes
// nothing, and what is in the database passes verify.
func TestPostgres_CopyThereAndBack(t *testing.T) {
	server := testpostgres.Shared(t)
	dir, dsn := t.TempDir(), server.Database(t)
	seed(t, filepath.Join(dir, "a.db"), 2500, 5)
	if out := withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "postgres"); !strings.Contains(out, "2500 tasks, 5 workers migrated") {
		t.Error(out)
	}
	if out := withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "postgres"); !strings.Contains(out, "2505 skipped") {
		t.Errorf("a repeated copy: %s", out)
	}
	if out := withDatabase(t, dir, dsn, 0, "verify", "postgres"); !strings.Contains(out, "2500 tasks, 5 workers") {
		t.Error(out)
	}
	if out := withDatabase(t, dir, dsn, 0, "schema", "status", "postgres"); !strings.Contains(out, "postgres has schema") {
		t.Error(out)
	}
	withDatabase(t, dir, dsn, 0, "--source", "postgres", "--target", "b.jsonl")
	withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "c.jsonl")
	b, c := recordLines(t, filepath.Join(dir, "b.jsonl")), recordLines(t, filepath.Join(dir, "c.jsonl"))
	if b != c {
		t.Error("the records that came back differ")
	}
}

// recordLines is a file of records without its first and last line, which have times.
func recordLines(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[1:len(all)-1], "\n")
}

// A database that a dispatcher uses is refused with the dispatcher's name, and stays
// unchanged; so does one whose copy fails in the middle.
func TestPostgres_TargetUnchangedOrComplete(t *testing.T) {
	server := testpostgres.Shared(t)
	dir, dsn := t.TempDir(), server.Database(t)
	seed(t, filepath.Join(dir, "a.db"), 2500, 5)
	s, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	release, err := s.Hold(testbed.Context(t), "dispatcher on moon", 1e9, 1e8)
	if err != nil {
		t.Fatal(err)
	}
	if out := withDatabase(t, dir, dsn, 1, "--source", "a.db", "--target", "postgres"); !strings.Contains(out, "dispatcher on moon") {
		t.Error(out)
	}
	release()
	// Its last chunk cannot be read.
	records := filepath.Join(dir, "r.jsonl")
	withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "r.jsonl")
	text, err := os.ReadFile(records)
	if err == nil {
		err = os.WriteFile(records, text[:len(text)*9/10], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	withDatabase(t, dir, dsn, 1, "--source", "r.jsonl", "--target", "postgres")
	if counts, err := s.Counts(testbed.Context(t)); err != nil || counts.Total() != 0 {
		t.Errorf("the target has %v, %v", counts, err)
	}
	withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "postgres")
}

// pg_dump makes a consistent backup, and what psql reads from it passes verify.
func TestPostgres_DumpRestores(t *testing.T) {
	server := testpostgres.Shared(t)
	dir, dsn := t.TempDir(), server.Database(t)
	seed(t, filepath.Join(dir, "a.db"), 300, 2)
	withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "postgres")
	dump, err := exec.Command(testpostgres.Program(t, "pg_dump"), dsn).Output()
	if err != nil {
		t.Fatal(err)
	}
	other := server.Database(t)
	restore := exec.Command(testpostgres.Program(t, "psql"), "-q", "-v", "ON_ERROR_STOP=1", other)
	restore.Stdin = strings.NewReader(string(dump))
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := withDatabase(t, dir, other, 0, "verify", "postgres"); !strings.Contains(out, "300 tasks, 2 workers") {
		t.Error(out)
	}
}
