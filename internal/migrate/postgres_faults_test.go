package migrate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// execute runs statements in a database, each alone.
func execute(t *testing.T, dsn string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(testbed.Context(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(testbed.Context(t)) }) // it may be broken
	for _, sql := range statements {
		if _, err := conn.Exec(testbed.Context(t), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return conn
}

// oneLineOf is what a failing run says without its log, which must be one line.
func oneLineOf(t *testing.T, out string) string {
	t.Helper()
	at := strings.Index(out, "migrate: ")
	if at < 0 {
		t.Errorf("there is no error:\n%s", out)
		return ""
	}
	text := strings.TrimSuffix(out[at:], "\nmigrate -h says how to use it\n")
	if strings.Contains(strings.TrimSpace(text), "\n") {
		t.Errorf("the error has several lines:\n%s", text)
	}
	return text
}

// A database that cannot be used is refused in one line that says why, with the exit code of
// bad usage only where the command line or the environment is wrong.
func TestPostgres_UnusableDatabaseIsNamed(t *testing.T) {
	rules := filepath.Join(publicDir(t), "hba.conf")
	err := os.WriteFile(rules, []byte("hostssl tlsonly all all trust\nhost tlsonly all all reject\nhost all guarded all scram-sha-256\nhost all all all trust\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	server := testpostgres.Start(t, "hba_file="+rules)
	execute(t, server.DSN("postgres"), "CREATE DATABASE good", "CREATE DATABASE tlsonly", "CREATE DATABASE empty", "CREATE DATABASE newer",
		"CREATE DATABASE other", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
		"CREATE ROLE guarded LOGIN PASSWORD 'right'", "CREATE ROLE reader LOGIN IN ROLE pg_read_all_data", "ALTER ROLE reader SET default_transaction_read_only = on",
		"CREATE ROLE powerless LOGIN")
	execute(t, server.DSN("newer"), "CREATE TABLE goose_db_version (version_id bigint)", "INSERT INTO goose_db_version VALUES (99)")
	execute(t, server.DSN("other"), "CREATE TABLE tasks (x int)")
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 50, 2)
	withDatabase(t, dir, server.DSN("good"), 0, "--source", "a.db", "--target", "postgres")

	to := []string{"--source", "a.db", "--target", "postgres"}
	from := []string{"--source", "postgres", "--target", "r.jsonl", "--on-conflict", "replace"}
	verify := []string{"verify", "postgres"}
	as := func(user, database string) string {
		return "postgres://" + user + "@" + server.Address() + "/" + database
	}
	for _, c := range []struct {
		dsn  string
		args []string
		code int
		want string
	}{
		{"nonsense", verify, 2, "it must be a URL"},
		{"postgres://aria@[::1/a", to, 2, "it must be a URL"},
		{"host=h sslmode=odd", from, 2, "it must be a URL"},
		{as("aria", "good") + "?sslmode=verify-full&sslrootcert=/missing.pem", verify, 2, "/missing.pem"},
		{"postgres://aria@127.0.0.1:1/a", to, 1, "connection refused"},
		{as("aria", "missing"), to, 1, "the database does not exist"},
		{as("aria", "missing"), from, 1, "the database does not exist"},
		{as("guarded:wrong", "good"), verify, 1, "refuses the user or the password"},
		{as("guarded", "good"), from, 1, "refuses the user or the password"},
		{as("aria", "tlsonly") + "?sslmode=disable", to, 1, "without TLS"},
		{as("aria", "good") + "?sslmode=require", to, 1, "it offers no TLS"},
		{as("aria", "latin"), to, 1, "UTF8 is needed"},
		{as("aria", "empty"), from, 1, "never used by a dispatcher"},
		{as("aria", "empty"), verify, 1, "schema 0"},
		{as("aria", "newer"), to, 1, "use a newer version"},
		{as("aria", "newer"), from, 1, "use a newer version"},
		{as("aria", "newer"), verify, 1, "schema 99"},
		{as("aria", "other"), to, 1, `belongs to another program: relation "tasks" already exists`},
		{as("powerless", "good"), from, 1, "lacks a right"},
		{as("powerless", "empty"), to, 1, "lacks a right"},
		{as("reader", "good"), to, 1, "no host takes writes"},
		{as("reader", "good"), from, 0, ""},
		{as("reader", "good"), verify, 0, ""},
	} {
		t.Run(fmt.Sprint(strings.Replace(c.dsn, server.Address(), "server", 1), " ", c.args[0], " ", c.args[1]), func(t *testing.T) {
			out := withDatabase(t, dir, c.dsn, c.code, c.args...)
			if c.code != 0 && !strings.Contains(oneLineOf(t, out), c.want) {
				t.Errorf("it says nothing of %q:\n%s", c.want, out)
			}
			if strings.Contains(out, "wrong") {
				t.Errorf("it says the password:\n%s", out)
			}
		})
	}
	withDatabase(t, dir, server.DSN("good"), 0, verify...)
}

// publicDir returns a folder that the user of a PostgreSQL server may read.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aria-migrate-") //nolint:usetesting // others may not enter t.TempDir
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it is a test's own
	return dir
}

// verify names what was changed in a database by hand.
func TestPostgres_VerifyNamesDamage(t *testing.T) {
	server := testpostgres.Shared(t)
	dir, whole := t.TempDir(), server.Database(t)
	seed(t, filepath.Join(dir, "a.db"), 300, 3)
	withDatabase(t, dir, whole, 0, "--source", "a.db", "--target", "postgres")
	dump, err := exec.Command(testpostgres.Program(t, "pg_dump"), whole).Output()
	if err != nil {
		t.Fatal(err)
	}
	const oneTask = "WHERE id = (SELECT min(id) FROM tasks WHERE status = 'pending')"
	for _, c := range []struct{ sql, want string }{
		{"DELETE FROM tasks " + oneTask, "the counter of pending tasks says"},
		{"UPDATE counters SET completed = completed + 1", "the counter of completed tasks says"},
		{"UPDATE tasks SET options = '{' " + oneTask, `"task-0000000": its options`},
		{"UPDATE tasks SET spec_hash = 'short' " + oneTask, "spec_hash of the wrong length: task-0000000"},
		{"UPDATE tasks SET worker_id = 'lost' " + oneTask, "a worker that does not exist: task-0000000 (lost)"},
		{"UPDATE workers SET capabilities = '[' WHERE id = (SELECT min(id) FROM workers)", "a worker cannot be read: \"worker-0000\": its capabilities"},
		{"ALTER TABLE tasks DROP COLUMN gid", `column "gid" does not exist`},
		{"DROP INDEX tasks_live_id", "these are missing: index tasks_live_id"},
		{"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tasks_done_seq'::regclass", "index tasks_done_seq"},
		{"DROP FUNCTION aria_fence(bigint, bigint)", "function aria_fence(bigint,bigint)"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			dsn := server.Database(t)
			restore := exec.Command(testpostgres.Program(t, "psql"), "-q", "-v", "ON_ERROR_STOP=1", dsn)
			restore.Stdin = strings.NewReader(string(dump))
			if out, err := restore.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			execute(t, dsn, c.sql)
			if out := withDatabase(t, dir, dsn, 1, "verify", "postgres"); !strings.Contains(oneLineOf(t, out), c.want) {
				t.Errorf("it says nothing of %q:\n%s", c.want, out)
			}
		})
	}
	withDatabase(t, dir, whole, 0, "verify", "postgres")
}

// A copy is interrupted while it waits for a lock in its middle: by kill -9, or by the end
// of PostgreSQL. The target is as before, and a later copy is complete.
func TestPostgres_InterruptedCopyLeavesTarget(t *testing.T) {
	server := testpostgres.Start(t)
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 300, 3)
	for _, c := range []struct {
		name      string
		args      []string
		interrupt func(t *testing.T, cmd *exec.Cmd)
		want      string
	}{
		{"the program is killed", []string{"--source", "a.db", "--target", "postgres"}, func(t *testing.T, cmd *exec.Cmd) {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}, ""},
		{"the target is killed", []string{"--source", "a.db", "--target", "postgres"}, func(t *testing.T, _ *exec.Cmd) { server.Kill(t) }, "migrate: copy: "},
		{"the source is killed", []string{"--source", "postgres", "--target", "r.jsonl"}, func(t *testing.T, _ *exec.Cmd) { server.Kill(t) }, "snapshot: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			execute(t, server.DSN("postgres"), "DROP DATABASE IF EXISTS it", "CREATE DATABASE it")
			dsn := server.DSN("it")
			withDatabase(t, dir, dsn, 0, "schema", "up", "postgres")
			want := "0 tasks"
			if c.args[1] == "postgres" {
				want = "300 tasks"
				withDatabase(t, dir, dsn, 0, "--source", "a.db", "--target", "postgres")
			}
			locker := execute(t, dsn, "BEGIN", "LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
			cmd := command(dir, c.args...)
			cmd.Env = append(cmd.Env, "DISPATCHER_DB_DSN="+dsn)
			var out testbed.Log
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			testbed.Eventually(t, "the copy waits for the lock", func() (waits bool) {
				err := locker.QueryRow(testbed.Context(t), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'workers'::regclass AND NOT granted)").Scan(&waits)
				return err == nil && waits
			})
			c.interrupt(t, cmd)
			if err := cmd.Wait(); err == nil {
				t.Error("the copy succeeded")
			}
			if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "the store is closed") {
				t.Errorf("it says:\n%s", &out)
			}
			if c.want != "" {
				server.Run(t)
			}
			_ = locker.Close(testbed.Context(t)) // it may be broken
			if left, _ := filepath.Glob(filepath.Join(dir, "r.jsonl*")); left != nil {
				t.Errorf("it left %v", left)
			}
			if said := withDatabase(t, dir, dsn, 0, "verify", "postgres"); !strings.Contains(said, want) {
				t.Errorf("verify says %s", said)
			}
			withDatabase(t, dir, dsn, 0, c.args...)
			os.Remove(filepath.Join(dir, "r.jsonl"))
			if said := withDatabase(t, dir, dsn, 0, "verify", "postgres"); !strings.Contains(said, "300 tasks, 3 workers") {
				t.Errorf("after the repetition: %s", said)
			}
		})
	}
}
