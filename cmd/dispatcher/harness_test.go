package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tests of this package start the programs as a user does: built, as
// processes of their own, spoken to over NATS.

var binaries string // the folder of the built programs

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binaries = dir
		return testbed.Build(dir, "../dispatcher", "../worker")
	})
}

// start runs a built program in dir with these variables added to a small
// environment.
func start(t *testing.T, dir string, env []string, name string, args ...string) *testbed.Process {
	t.Helper()
	return startPath(t, dir, env, filepath.Join(binaries, name), args...)
}

// startPath is start for a program of any path.
func startPath(t *testing.T, dir string, env []string, path string, args ...string) *testbed.Process {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	return testbed.Start(t, cmd)
}

// connect reaches a NATS server that may have to start yet.
func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	var nc *nats.Conn
	testbed.Eventually(t, "a connection to "+url, func() bool {
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
