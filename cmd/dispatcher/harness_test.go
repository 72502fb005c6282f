package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tests of this package start the programs as a user does: built, as
// processes of their own, spoken to over NATS.

var binaries string // the folder of the built programs

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "aria-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "../dispatcher", "../worker")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	binaries = dir
	return m.Run(), nil
}

// program is one started process and what it has printed.
type program struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error // of the process, once done is closed
}

// output gathers what a process prints; it can be read while it grows.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs a built program in dir with these variables added to a small
// environment. It is killed at the end of the test if it still runs, and what it
// printed is shown if the test failed.
func start(t *testing.T, dir string, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, name: name, out: &output{}, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, name), args...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", name, strings.Join(args, " "), p.out)
		}
	})
	return p
}

// wait returns the exit code.
func (p *program) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended after %v", p.name, limit)
		return -1
	}
}

func (p *program) kill9() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// stop asks the program to end in good order and wants exit code 0.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(30 * time.Second); code != 0 {
		p.t.Errorf("%s ended with %d after SIGTERM", p.name, code)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		<-tick.C
	}
}

// connect reaches a NATS server that may have to start yet.
func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	var nc *nats.Conn
	eventually(t, 20*time.Second, "a connection to "+url, func() bool {
		var err error
		nc, err = nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		return err == nil
	})
	t.Cleanup(nc.Close)
	return nc
}

// answer is what a request got: a body, or the service's error.
type answer struct {
	code, text string
	body       []byte
}

// ask sends one request with nothing but nats.go.
func ask(nc *nats.Conn, subject, body string) (*answer, error) {
	m, err := nc.Request(subject, []byte(body), 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &answer{m.Header.Get("Nats-Service-Error-Code"), m.Header.Get("Nats-Service-Error"), m.Data}, nil
}

// getTask reads a task; nil if the dispatcher cannot be asked now.
func getTask(t *testing.T, nc *nats.Conn, client, id string) *model.Task {
	t.Helper()
	a, err := ask(nc, "aria.v1.req.task."+client+".get", fmt.Sprintf(`{"id":%q}`, id))
	if err != nil || a.code == "503" {
		return nil
	}
	if a.code != "" {
		t.Fatalf("get %s: %s %s", id, a.code, a.text)
	}
	var task model.Task
	if err := json.Unmarshal(a.body, &task); err != nil {
		t.Fatal(err)
	}
	return &task
}

// shaOf hashes a file.
func shaOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
