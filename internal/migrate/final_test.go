package migrate

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// customer is a client of a running dispatcher.
func customer(t *testing.T, r *running) (*client.Client, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(r.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c, err := client.New(nc, "shop")
	if err != nil {
		t.Fatal(err)
	}
	return c, nc
}

func submitted(t *testing.T, c *client.Client, id string) error {
	t.Helper()
	_, err := c.Submit(t.Context(), &model.TaskSpec{ID: id, URL: "https://files.example/" + id})
	return err
}

// TestFinal_RefusesWritesOnlyAfterSuccess is a cut-over from memory to
// SQLite: a copy that fails leaves the old dispatcher at work, one that succeeds
// has it refuse writes until it is stopped or told otherwise, and the new one has
// every task that was acknowledged.
func TestFinal_RefusesWritesOnlyAfterSuccess(t *testing.T) {
	dir := t.TempDir()
	old := start(t, t.TempDir())
	c, nc := customer(t, old)
	if err := submitted(t, c, "a"); err != nil {
		t.Fatal(err)
	}
	final := []string{"--source", "memory", "--nats", old.url, "--final", "--target"}

	seed(t, filepath.Join(dir, "other.db"), 10, 2)
	must(t, dir, "--source", "other.db", "--target", "other.jsonl")
	if o := migrate(t, dir, append(final, "other.jsonl")...); o.code != 1 || !strings.Contains(o.stderr, "holds other records") {
		t.Errorf("onto other records: exit %d\n%s", o.code, o.stderr)
	}
	if err := submitted(t, c, "b"); err != nil {
		t.Errorf("after a final copy that failed: %v", err)
	}

	must(t, dir, append(final, "new.db")...)
	if err := submitted(t, c, "late"); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "moved to another store") {
		t.Errorf("after one that succeeded: %v, want 503", err)
	}
	if _, err := c.Get(t.Context(), "b"); err != nil {
		t.Errorf("reading fails during the export: %v", err)
	}
	if r := moved(t, dir, append(final, "new.db")...); r.TasksMigrated != 0 || r.Skipped != 2 {
		t.Errorf("once more: %+v, want that nothing has changed", r)
	}

	next := start(t, dir, "DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH="+filepath.Join(dir, "new.db"))
	n, _ := customer(t, next)
	for _, id := range []string{"a", "b"} {
		if _, err := n.Get(t.Context(), id); err != nil {
			t.Errorf("%s is not in the new dispatcher: %v", id, err)
		}
		if err := submitted(t, n, id); err != nil {
			t.Errorf("%s is not the same task there: %v", id, err)
		}
	}

	if _, err := nc.Request("aria.v1.req.admin.export", []byte(`{"final":true,"abort":true}`), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := submitted(t, c, "late"); err != nil {
		t.Errorf("after the cut-over was taken back: %v", err)
	}
}

// TestFinal_KilledRunsAgain kills one while writes are refused: the
// next one is the last word.
func TestFinal_KilledRunsAgain(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "first.db"), 20_000, 10)
	r := start(t, t.TempDir())
	must(t, dir, "--source", "first.db", "--target", "memory", "--nats", r.url)
	c, _ := customer(t, r)
	final := []string{"--source", "memory", "--nats", r.url, "--final", "--target", "new.db"}
	cmd := command(dir, final...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); submitted(t, c, "x") == nil; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("writes are not refused")
		}
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, "new.db")); err == nil {
		t.Fatal("the copy was whole before it was killed")
	}
	if err := submitted(t, c, "y"); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("after the kill: %v, want 503", err)
	}
	if got := moved(t, dir, final...); got.TasksMigrated != 20_001 || !got.Verified {
		t.Errorf("again: %+v", got)
	}
	if err := submitted(t, c, "y"); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("in the end: %v, want 503", err)
	}
}

// TestImport_KilledIsHeldAndRunsAgain kills an import into a running
// dispatcher: its tasks wait, whatever worker there is, until the same one has
// been run again.
func TestImport_KilledIsHeldAndRunsAgain(t *testing.T) {
	t.Parallel() // the second one waits for some seconds
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "first.db"), 30_000, 10)
	r := start(t, t.TempDir())
	_, nc := customer(t, r)
	cmd := command(dir, "--source", "first.db", "--target", "memory", "--nats", r.url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const early, late = "task-0000021", "task-0029995" // pending, and in the first and last batch
	there := func(id string) *model.Task {
		for _, owner := range []string{"client-8", "client-4"} {
			if o, err := client.New(nc, owner); err == nil {
				if task, err := o.Get(t.Context(), id); err == nil {
					return task
				}
			}
		}
		return nil
	}
	for deadline := time.Now().Add(20 * time.Second); there(early) == nil; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing has arrived")
		}
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if there(late) != nil {
		t.Fatal("the copy was whole before it was killed")
	}
	if task := there(early); task.Reason != "is held back until its import is verified" {
		t.Errorf("after the kill: %+v", task)
	}
	again := moved(t, dir, "--source", "first.db", "--target", "memory", "--nats", r.url)
	if again.Digest != want || !again.Verified || again.Skipped == 0 || again.TasksMigrated == 0 {
		t.Errorf("again: %+v", again)
	}
	if task := there(early); strings.Contains(task.Reason, "held back") {
		t.Errorf("in the end: %+v", task)
	}
	if out := moved(t, dir, "--source", "memory", "--target", "out.jsonl", "--nats", r.url); out.Digest != want {
		t.Errorf("the dispatcher holds %v, want %v", out.Digest, want)
	}
}

// TestRestore_StoppedDispatcherServesBackup is the whole way
// of an operator, with the built programs.
func TestRestore_StoppedDispatcherServesBackup(t *testing.T) {
	dir := t.TempDir()
	env := []string{"DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=" + filepath.Join(dir, "data", "dispatcher.db")}
	r := start(t, dir, env...)
	c, _ := customer(t, r)
	if err := submitted(t, c, "before"); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "backup", "--to", "backup.db")
	if err := submitted(t, c, "after"); err != nil {
		t.Fatal(err)
	}
	if o := migrate(t, dir, "restore", "--from", "backup.db"); o.code != 1 || !strings.Contains(o.stderr, "is in use by another process, a dispatcher or migrate (pid ") {
		t.Errorf("while it works: exit %d\n%s", o.code, o.stderr)
	}
	if err := submitted(t, c, "after-2"); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
	r.Kill() // so that what is to be kept is in the WAL
	must(t, dir, "restore", "--from", "backup.db")

	c, _ = customer(t, start(t, dir, env...))
	if _, err := c.Get(t.Context(), "before"); err != nil {
		t.Errorf("of before the backup: %v", err)
	}
	if _, err := c.Get(t.Context(), "after"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("of after the backup: %v, want 404", err)
	}
	kept := files(t, filepath.Join(dir, "data"), "dispatcher.db.before-restore-")
	if d := digest(t, filepath.Join(dir, "data", strings.Fields(kept)[0])); d.Tasks != 3 {
		t.Errorf("kept in %s are %v, want 3 tasks", kept, d)
	}
}

// TestRestore_KilledLeavesOldOrNewFile kills one every few
// milliseconds of its way.
func TestRestore_KilledLeavesOldOrNewFile(t *testing.T) {
	dir := t.TempDir()
	old := seed(t, filepath.Join(dir, "old.db"), 300, 5)
	want := seed(t, filepath.Join(dir, "backup.db"), 2000, 5)
	path := filepath.Join(dir, "a.db")
	begin := time.Now()
	must(t, dir, "restore", "--from", "backup.db", "--sqlite-path", "whole.db")
	whole := time.Since(begin)
	const kills = 12
	seen := make(map[bool]int)
	for i := range kills {
		for _, left := range strings.Fields(files(t, dir, "a.db")) {
			os.Remove(filepath.Join(dir, left))
		}
		must(t, dir, "backup", "--sqlite-path", "old.db", "--to", "a.db")
		cmd := command(dir, "restore", "--from", "backup.db", "--sqlite-path", "a.db")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(whole * time.Duration(i+1) / kills) // the moment of the kill
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		got := digest(t, path)
		if got != old && got != want {
			t.Errorf("kill %d leaves %v", i, got)
		}
		seen[got == want]++
		os.Remove(path + "-wal") // of reading just now
		os.Remove(path + "-shm")
		must(t, dir, "restore", "--from", "backup.db", "--sqlite-path", "a.db")
		if got := digest(t, path); got != want {
			t.Errorf("again after kill %d: %v", i, got)
		}
	}
	t.Logf("unchanged %d times, restored %d times, in %v", seen[false], seen[true], whole)
	if seen[false] == 0 {
		t.Error("no restore was killed before its end")
	}
}
