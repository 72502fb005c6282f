package migrate

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// files returns the names in a folder that begin with a prefix.
func files(t *testing.T, dir, prefix string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// Copies through each kind of file keep the digest.
func TestCopy_EachFileKindKeepsDigest(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "first.db"), 3000, 20)
	for _, args := range [][]string{
		{"--source", "sqlite", "--sqlite-path", "first.db", "--target", "r.jsonl"},
		{"--source", "r.jsonl", "--target", "sqlite", "-v", "--mkdir"}, // data/dispatcher.db
		{"--source", "sqlite", "--target", "last.sqlite"},
	} {
		r := moved(t, dir, args...)
		if r.Digest != want || !r.Verified || r.TasksMigrated != 3000 || r.WorkersMigrated != 20 || r.Errors != 0 {
			t.Errorf("%v: %+v", args, r)
		}
		again := moved(t, dir, args...)
		if again.TasksMigrated+again.WorkersMigrated != 0 || again.Skipped != 3020 || !again.Verified {
			t.Errorf("%v again: %+v", args, again)
		}
	}
	if got := files(t, dir, "last.sqlite."); got != "" { // an empty WAL may be there
		t.Errorf("beside the file stays %s", got)
	}
	if got := digest(t, filepath.Join(dir, "last.sqlite")); got != want {
		t.Errorf("in the end: %v, want %v", got, want)
	}
	must(t, dir, "verify")
	must(t, dir, "verify", "r.jsonl")
}

// The default path of the SQLite file is that of the dispatcher.
func TestCopy_SQLitePathFromDispatcherConfig(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "named.db"), 10, 2)
	cmd := command(dir, "--source", "sqlite", "--target", "r.jsonl")
	cmd.Env = append(cmd.Env, "DISPATCHER_DB_PATH=named.db")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with DISPATCHER_DB_PATH: %v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(dir, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config", "dispatcher.json"), []byte("{\"database\": {\"path\": \"named.db\"}} // ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "--source", "sqlite", "--target", "s.jsonl")
}

// Bad usage is exit code 2, a failure exit code 1.
func TestExit_BadUsage2Failure1(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 10, 2)
	seed(t, filepath.Join(dir, "other.db"), 11, 2)
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{0, "Usage:", "-h"},
		{0, "migrate ", "-version"},
		{2, "--source is missing", ""},
		{2, "--target is missing", "--source sqlite"},
		{2, "use memory, sqlite", "--source redis --target sqlite"},
		{2, "DISPATCHER_DB_DSN", "--source postgres --target sqlite"},
		{2, "DISPATCHER_DB_DSN", "verify postgres"},
		{2, "PGPASSFILE", "--source postgres --target sqlite --postgres-dsn postgres://u:secret@h/db"},
		{2, "PGPASSFILE", "schema status postgres --postgres-dsn password=secret"},
		{1, "cannot be reached", "--source a.db --target postgres --postgres-dsn postgres://u@127.0.0.1:1/db"},
		{2, "the same", "--source a.db --target ./a.db"},
		{2, "on-conflict", "--source a.db --target r.jsonl --on-conflict maybe"},
		{2, "written whole", "--source a.db --target r.jsonl --on-conflict skip"},
		{2, "--final", "--source a.db --target r.jsonl --final"},
		{2, "verify comes before its flags: migrate verify", "-json verify a.db"},
		{2, "there is no command \"check\"; use backup, restore, verify, schema, or --source", "check a.db"},
		{1, "or name the file by --sqlite-path", "verify"},
		{1, "or name the file by --sqlite-path", "backup --to b.db"},
		{1, "or name the file by --sqlite-path", "--source sqlite --target b.jsonl"},
		{2, "not expected", "--source a.db --target r.jsonl more"},
		{2, "unknown flag -wrong; see -h", "--source a.db --target r.jsonl --wrong"},
		{2, "--to", "--source a.db --target r.jsonl --to x"},
		{2, "--to is missing", "backup"},
		{2, "--from is missing", "restore"},
		{2, "status or up", "schema"},
		{2, "status or up", "schema down"},
		{1, "no such file", "--source none.db --target r.jsonl"},
		{1, "no such file", "--source none.jsonl --target b.db"},
		{1, "no such file", "verify none.db"},
		{1, "no such file", "schema up --sqlite-path none.db"},
		{0, "10 tasks, 2 workers migrated", "--source a.db --target r.jsonl"},
		{1, "holds other records", "--source other.db --target r.jsonl"},
		{0, "11 tasks, 2 workers migrated", "--source other.db --target r.jsonl --on-conflict replace"},
	} {
		o := migrate(t, dir, strings.Fields(c.args)...)
		if o.code != c.code || !strings.Contains(o.stdout+o.stderr, c.want) {
			t.Errorf("migrate %s: exit %d, want %d and %q\n%s%s", c.args, o.code, c.code, c.want, o.stdout, o.stderr)
		}
	}
}

// With -json a failure is one JSON object.
func TestJSON_FailureIsOneObject(t *testing.T) {
	dir := t.TempDir()
	o := migrate(t, dir, "--source", "none.db", "--target", "r.jsonl", "--json")
	if r := decode(t, []byte(o.stdout)); o.code != 1 || r.Error == "" || r.Errors != 1 || r.Verified {
		t.Errorf("exit %d, %+v", o.code, r)
	}
}

// A conflict leaves the target unchanged.
func TestCopy_ConflictLeavesTargetUnchanged(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 2500, 5)
	seed(t, filepath.Join(dir, "b.db"), 100, 5)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "b.db")})
	if err != nil {
		t.Fatal(err)
	}
	task := *copytest.Task(99, 5)
	task.Attempt += 7
	if err := s.Commit(t.Context(), &model.Batch{Tasks: []model.TaskChange{{ID: task.ID, From: task.Status, Put: &task}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := digest(t, filepath.Join(dir, "b.db"))
	o := migrate(t, dir, "--source", "a.db", "--target", "b.db")
	if o.code != 1 || !strings.Contains(o.stderr, task.ID) {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
	if r := moved(t, dir, "--source", "a.db", "--target", "b.db", "--on-conflict", "skip", "--dry-run"); r.TasksMigrated != 2400 || r.Kept != 1 {
		t.Errorf("dry run: %+v", r)
	}
	if got := digest(t, filepath.Join(dir, "b.db")); got != before {
		t.Errorf("the target holds %v, it held %v", got, before)
	}
	if r := moved(t, dir, "--source", "a.db", "--target", "b.db", "--on-conflict", "replace"); r.Replaced != 1 || r.TasksMigrated != 2401 || !r.Verified {
		t.Errorf("replace: %+v", r)
	}
	if got := digest(t, filepath.Join(dir, "b.db")); got != digest(t, filepath.Join(dir, "a.db")) {
		t.Errorf("in the end the target holds %v", got)
	}
	must(t, dir, "verify", "b.db")
}

// A file that a dispatcher has open is refused as a target and read as a source.
func TestCopy_OpenTargetRefusedOpenSourceRead(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "a.db"), 500, 5)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	extra := copytest.Task(900, 5) // in the WAL only
	if err := s.Commit(t.Context(), &model.Batch{Tasks: []model.TaskChange{{ID: extra.ID, Put: extra}}}); err != nil {
		t.Fatal(err)
	}
	if err := want.Add(&repo.Record{Task: extra}); err != nil {
		t.Fatal(err)
	}
	if r := moved(t, dir, "--source", "a.db", "--target", "b.db"); r.Digest != want {
		t.Errorf("read %v, want %v", r.Digest, want)
	}
	for _, args := range [][]string{
		{"--source", "b.db", "--target", "a.db"},
		{"restore", "--from", "b.db", "--sqlite-path", "a.db"},
	} {
		if o := migrate(t, dir, args...); o.code != 1 || !strings.Contains(o.stderr, "is in use by another process, a dispatcher or migrate (pid ") {
			t.Errorf("%v: exit %d\n%s", args, o.code, o.stderr)
		}
	}
	must(t, dir, "backup", "--sqlite-path", "a.db", "--to", "c.db")
	if got := digest(t, filepath.Join(dir, "c.db")); got != want {
		t.Errorf("the backup holds %v, want %v", got, want)
	}
	must(t, dir, "verify", "c.db")
	must(t, dir, "verify", "a.db")
}

// kills is how many times the test below kills a copy.
const kills = 20

// A killed copy leaves the target unchanged and can be run again.
func TestCopy_KilledLeavesTargetAndRunsAgain(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source.db")
	want := seed(t, source, 3000, 20)
	before := seed(t, filepath.Join(dir, "before.db"), 500, 20)
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	begin := time.Now()
	moved(t, dir, "--source", "source.db", "--target", "whole.db")
	whole := time.Since(begin)
	killed := 0
	for i := range kills {
		target := []string{"t.db", "t.jsonl", "old.db"}[i%3]
		path := filepath.Join(dir, target)
		for _, left := range strings.Fields(files(t, dir, target)) {
			if !strings.HasPrefix(left, target+".") { // what a kill left stays there for the next
				os.Remove(filepath.Join(dir, left))
			}
		}
		if target == "old.db" {
			must(t, dir, "backup", "--sqlite-path", "before.db", "--to", target)
		}
		cmd := command(dir, "--source", "source.db", "--target", target)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(rnd.Int64N(int64(whole)))) // the random moment
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() { // not ended before
			killed++
		}
		// As before, or complete.
		switch _, err := os.Stat(path); {
		case target == "old.db":
			if got := digest(t, path); got != before && got != want {
				t.Errorf("kill %d left %s with %v", i, target, got)
			}
		case err == nil && target == "t.db":
			if got := digest(t, path); got != want {
				t.Errorf("kill %d left %s with %v", i, target, got)
			}
		case err == nil:
			must(t, dir, "verify", target)
		}
		if r := moved(t, dir, "--source", "source.db", "--target", target); r.Digest != want || !r.Verified {
			t.Errorf("again after kill %d: %+v", i, r)
		}
		if target != "t.jsonl" {
			if got := digest(t, path); got != want {
				t.Errorf("after kill %d and again %s holds %v", i, target, got)
			}
		}
		must(t, dir, "verify", target)
	}
	t.Logf("%d kills at random moments within %v", killed, whole)
	if killed < kills/4 { // the copy that was timed may be the slowest
		t.Errorf("only %d copies were killed before they ended", killed)
	}
}

// SIGTERM ends a copy and leaves the target unchanged.
func TestCopy_SIGTERMRollsBack(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "source.db"), 6000, 20)
	cmd := command(dir, "--source", "source.db", "--target", "t.db", "-v")
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(files(t, dir, "t.db"), "t.db.migrating "); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no copy has begun")
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	// Some places return the error of the context, others its cause.
	said := strings.Contains(out.String(), "context canceled") || strings.Contains(out.String(), "terminated signal received")
	if code := cmd.ProcessState.ExitCode(); code != 1 || !said {
		t.Errorf("exit %d\n%s", code, out.String())
	}
	if left := files(t, dir, "t.db"); left != "" {
		t.Errorf("%s is left", left)
	}
}
