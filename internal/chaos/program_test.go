//go:build soak

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// launcher starts programs from one thread. Linux kills a child with Pdeathsig when
// the thread that started it ends, so the thread must live as long as the test.
type launcher struct {
	requests chan func()
}

func newLauncher(t *testing.T) *launcher {
	t.Helper()
	l := &launcher{requests: make(chan func())}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		for f := range l.requests {
			f()
		}
	}()
	t.Cleanup(func() {
		close(l.requests)
		<-ended
	})
	return l
}

// start is cmd.Start in the launcher's thread.
func (l *launcher) start(cmd *exec.Cmd) error {
	result := make(chan error)
	l.requests <- func() { result <- cmd.Start() }
	return <-result
}

// program is a built program that is started many times, one process at a time.
type program struct {
	name  string
	path  string
	args  []string
	env   []string
	dir   string
	log   string       // the file that all its processes append to
	ended func(string) // called with a sentence when a process ends without being asked

	launcher *launcher

	mu    sync.Mutex
	cmd   *exec.Cmd
	asked bool          // the end of cmd was asked for
	done  chan struct{} // closed when cmd has ended
}

// start starts a process. The one before has ended.
func (p *program) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Env = p.dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + p.dir}, p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.launcher.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.asked, p.done = cmd, false, done
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		asked := p.asked
		p.mu.Unlock()
		if !asked {
			p.ended(fmt.Sprintf("%s ended by itself: %v", p.name, err))
		}
		close(done)
	}()
	return nil
}

// signal sends a signal to the process that runs.
func (p *program) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s was never started", p.name)
	}
	p.asked = p.asked || s == syscall.SIGKILL || s == syscall.SIGTERM
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// end sends a signal and waits until the process has ended.
func (p *program) end(s syscall.Signal, limit time.Duration) error {
	err := p.signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil // the caller of ended was told
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s has not ended %v after %v", p.name, limit, s)
	}
}

// stop ends the process as a service manager does, and wants exit code 0.
func (p *program) stop() error {
	if err := p.end(syscall.SIGTERM, 30*time.Second); err != nil {
		return err
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d after SIGTERM", p.name, code)
	}
	return nil
}

// killAtEnd kills what runs when the test ends.
func (p *program) killAtEnd(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		p.mu.Lock()
		started := p.cmd != nil
		p.mu.Unlock()
		if started {
			if err := p.end(syscall.SIGKILL, 30*time.Second); err != nil {
				t.Error(err)
			}
		}
	})
}

// tail returns the last bytes of a file, for a failure's message.
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	b := make([]byte, min(n, info.Size()))
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return err.Error()
	}
	return filepath.Base(path) + ":\n" + string(b)
}
