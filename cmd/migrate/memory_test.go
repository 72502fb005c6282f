package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dispatcher starts the built program with a store in memory and an embedded
// NATS server, and returns the URL of that.
func dispatcher(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(filepath.Dir(binary), "dispatcher")
	if out, err := exec.Command("go", "build", "-o", path, "../dispatcher").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(path)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "DISPATCHER_NATS_LISTEN=" + addr,
		"DISPATCHER_HTTP_LISTEN=", "DISPATCHER_NATS_STORE_DIR=" + filepath.Join(dir, "nats")}, env...)
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("the dispatcher printed:\n%s", out.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return "nats://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("the dispatcher does not listen:\n%s", out.String())
		}
	}
}

func TestAFileIsLoadedIntoARunningDispatcherAndSavedAgain(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "data", "dispatcher.db"), 3000, 20)
	url := dispatcher(t)
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

func TestWithoutADispatcherMemoryIsAnErrorNotAnEmptyStore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	o := migrate(t, dir, "--source", "memory", "--target", "sqlite", "--nats", "nats://"+addr)
	if o.code != 1 || !strings.Contains(o.stderr, addr) {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
	if left := files(t, dir, ""); left != "" {
		t.Errorf("%s is there", left)
	}
}
