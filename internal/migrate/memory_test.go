package migrate

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// running is a dispatcher that was started as its user would.
type running struct {
	*testbed.Process

	url string // of its NATS server
}

// dispatcher is start, for those who need no more than these two.
func dispatcher(t *testing.T, dir string, env ...string) (url string, stop func()) {
	t.Helper()
	r := start(t, dir, env...)
	return r.url, r.Stop
}

// start starts the program with an embedded NATS server and waits until it serves.
func start(t *testing.T, dir string, env ...string) *running {
	t.Helper()
	p, url := testbed.Dispatcher(t, filepath.Join(filepath.Dir(binary), "dispatcher"), dir, env...)
	return &running{p, url}
}

// After a restart the memory store is empty, the SQLite store is not.
func TestRestart_MemoryIsEmptySQLiteIsNot(t *testing.T) {
	for kind, want := range map[string]int64{"memory": 0, "sqlite": 100} {
		dir := t.TempDir()
		seed(t, filepath.Join(dir, "seed.db"), 100, 5)
		env := []string{"DISPATCHER_DB_TYPE=" + kind, "DISPATCHER_DB_PATH=" + filepath.Join(dir, "own.db")}
		url, stop := dispatcher(t, dir, env...)
		if r := moved(t, dir, "--source", "seed.db", "--target", "memory", "--nats", url); r.TasksMigrated != 100 {
			t.Errorf("%s: %+v", kind, r)
		}
		stop()
		url, _ = dispatcher(t, dir, env...)
		if r := moved(t, dir, "--source", "memory", "--target", "after.jsonl", "--nats", url); r.TasksMigrated != want {
			t.Errorf("%s: %d tasks are there after a restart, want %d", kind, r.TasksMigrated, want)
		}
	}
}

// A file is imported into a running dispatcher and exported again.
func TestMemory_ImportsAndExportsFile(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "data", "dispatcher.db"), 3000, 20)
	url, _ := dispatcher(t, t.TempDir())
	args := func(args ...string) []string { return append(args, "--nats", url) }
	in := moved(t, dir, args("--source", "sqlite", "--target", "memory")...)
	if in.Digest != want || in.TasksMigrated != 3000 || in.WorkersMigrated != 20 || !in.Verified {
		t.Errorf("loaded %+v", in)
	}
	out := moved(t, dir, args("--source", "memory", "--target", "sqlite", "--sqlite-path", "saved.db")...)
	if out.TasksMigrated != 3000 || out.WorkersMigrated != 20 || !out.Verified {
		t.Errorf("saved %+v", out)
	}
	if got := digest(t, filepath.Join(dir, "saved.db")); got != out.Digest {
		t.Errorf("the file holds %v, want %v", got, out.Digest)
	}
	must(t, dir, "verify", "saved.db")
	if again := moved(t, dir, args("--source", "memory", "--target", "records.jsonl")...); again.TasksMigrated != 3000 {
		t.Errorf("saved as records: %+v", again)
	}
}

// Without a dispatcher, memory is an error and not an empty store.
func TestMemory_WithoutDispatcherIsError(t *testing.T) {
	t.Parallel() // it waits for some seconds
	addr := freeport.Address(t)
	dir := t.TempDir()
	o := migrate(t, dir, "--source", "memory", "--target", "sqlite", "--nats", "nats://"+addr)
	if o.code != 1 || !strings.Contains(o.stderr, addr) {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
	if left := files(t, dir, ""); left != "" {
		t.Errorf("%s is there", left)
	}
}
