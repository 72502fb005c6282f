package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Main runs the tests of a package with a folder that prepare has filled, once for
// all of them; it is removed after the last. TestMain calls it and returns.
func Main(m *testing.M, prepare func(dir string) error) {
	dir, err := os.MkdirTemp("", "aria-test-")
	if err == nil {
		err = prepare(dir)
	}
	if err == nil {
		m.Run()
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Build builds programs into dir, each under the name of its package.
func Build(dir string, packages ...string) error {
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, packages...)
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Process is a program that runs, or ran.
type Process struct {
	Out *Log // what it printed, to both outputs

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a program and reads what it prints. At the end of the test it is
// killed if it still runs, and if the test failed the end of its output is shown.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Out: &Log{}, t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.Out, p.Out
	cmd.WaitDelay = time.Second // a child that outlives a killed program keeps its pipes
	// A program inherits that a signal is ignored, so under nohup no program would end
	// on SIGHUP. One that is caught is inherited as the default.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	err := cmd.Start()
	signal.Stop(caught)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // ExitCode reports the result
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, mostly
		<-p.done
		if t.Failed() {
			t.Logf("%s printed:\n%s", p, p.Out.end(20_000))
		}
	})
	return p
}

func (p *Process) String() string {
	return strings.Join(append([]string{filepath.Base(p.cmd.Path)}, p.cmd.Args[1:]...), " ")
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait returns the exit code, -1 after a signal. A program that has not ended
// within the limit ends the test.
func (p *Process) Wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended after %v", p, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal; a program that has ended by itself ends the test.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p, err)
	}
}

// Kill is kill -9.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks it to end, as a service manager does, and wants exit code 0.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(30 * time.Second); code != 0 {
		p.t.Errorf("%s ended with %d after SIGTERM", p, code)
	}
}
