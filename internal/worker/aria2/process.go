package aria2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/internal/filelock"
)

const (
	startTimeout    = 10 * time.Second // until aria2c listens
	shutdownTimeout = 5 * time.Second  // for pausing, and again for SIGTERM
	killTimeout     = 5 * time.Second  // until a killed aria2c has ended
	lockTimeout     = 15 * time.Second // until the aria2c of a killed worker has ended
)

// process is one running aria2c.
type process struct {
	cmd    *exec.Cmd // nil if it is attached
	port   int
	secret string
	exited chan struct{} // closed when it has ended
	err    error         // how; to be read after exited

	attach   *Attach
	session  string // of an attached one: another means that it was started again
	leftOnce sync.Once

	fault faultState // why this engine ended it

	// Guarded by the engine's turn:
	noting sync.Mutex // held by noteJob
	first  *job       // the first job that it was given
	shared bool       // it was given other jobs too
}

// startProcess starts aria2c and returns when it listens; or it attaches. The lock is
// inherited: as long as any aria2c of this state folder lives, it is held.
func (e *Engine) startProcess(ctx context.Context, confName string) (*process, error) {
	if e.cfg.Attach != nil {
		return e.attach(ctx)
	}
	cfg := &e.cfg
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &process{port: port, secret: newSecret(), exited: make(chan struct{})}
	conf, err := writeConfiguration(cfg.StateDir, confName, configuration(cfg, e.proxy.URL(), dhtFile(cfg.StateDir, confName), port, p.secret))
	if err != nil {
		return nil, err
	}
	listening := make(chan struct{})
	var once sync.Once
	ready := "IPv4 RPC: listening on TCP port " + strconv.Itoa(port)
	// stdout and stderr are one writer: exec then copies them in one goroutine.
	out := &lines{log: cfg.Logger, seen: func(line string) {
		if strings.HasSuffix(line, ready) {
			once.Do(func() { close(listening) })
		}
	}}
	p.cmd = exec.Command(cfg.Binary, //nolint:noctx // it is ended in order, by Close, not killed by a context
		"--conf-path="+conf, "--stop-with-process="+strconv.Itoa(os.Getpid()))
	p.cmd.Dir = cfg.StateDir
	p.cmd.Env = environment(cfg.StateDir)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.ExtraFiles = []*os.File{e.lock}
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = ownGroup()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Binary, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	// Only a process that says it listens is connected to: on a port that another
	// program took meanwhile, that program would be told our secret.
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-listening:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("start %s: it ended at once (port %d taken, or not an aria2c?): %w", cfg.Binary, port, p.ended())
	case <-timer.C:
		p.kill()
		return nil, fmt.Errorf("start %s: it does not listen after %v", cfg.Binary, startTimeout)
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
}

// alive reports whether it has not ended.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends it at once and waits for its end at most killTimeout: a process that waits
// for a broken disk cannot be killed. It returns false if the process still runs. An
// attached aria2c is only treated as ended.
func (p *process) kill() (ended bool) {
	if p.attach != nil {
		p.leftOnce.Do(func() { close(p.exited) })
		return true
	}
	_ = p.cmd.Process.Kill() // fails only if it has ended
	timer := time.NewTimer(killTimeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// abandon kills it without waiting, for a download that it does not stop.
func (p *process) abandon() {
	p.fault.CompareAndSwap(faultNone, faultAbandoned)
	_ = p.cmd.Process.Kill() // fails only if it has ended
}

// shutdown ends it in order, so that every download's control file is written: by
// SIGTERM, then by force. It waits for the end. aria2.shutdown is not used: aria2c would
// continue to download for three seconds and not report a completion. So transfers are
// stopped first, if c is not nil.
func (p *process) shutdown(c *client, log *slog.Logger) {
	if p.attach != nil {
		return
	}
	if c != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		if err := c.call(ctx, nil, "aria2.forcePauseAll"); err != nil {
			log.Debug("aria2c did not pause", "error", err)
		}
		cancel()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	timer := time.NewTimer(shutdownTimeout)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		log.Warn("aria2c does not end; killing it")
		p.kill()
	}
}

// takeLock waits until no aria2c of an earlier worker lives on this state folder
// (one whose worker was killed ends a second later by itself), so that no two
// ever write the same files.
func takeLock(ctx context.Context, stateDir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(stateDir, "aria2.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("aria2.lock: %w", err)
	}
	deadline := time.NewTimer(lockTimeout)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		locked, err := filelock.TryLock(f)
		if locked {
			return f, nil
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("aria2.lock: %w", err)
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			f.Close()
			return nil, fmt.Errorf("another aria2c still runs on %s: it holds aria2.lock", stateDir)
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		}
	}
}

// noteHang notes that it answers no more. One that a signal has stopped is not to
// blame, nor are its downloads.
func (p *process) noteHang() {
	why := faultHang
	if p.attach == nil && isStopped(p.cmd.Process.Pid) {
		why = faultStopped
	}
	p.fault.CompareAndSwap(faultNone, why)
}

// isStopped reports whether a process is stopped by a signal or waits for a disk,
// where the system tells.
func isStopped(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name before may have any characters
	return strings.HasPrefix(after, "T") || strings.HasPrefix(after, "t") || strings.HasPrefix(after, "D")
}

// failed reports whether it ended by a fault of its own: a crash, or that it
// answered no more. It must have ended.
func (p *process) failed() bool {
	switch p.fault.Load() {
	case faultHang:
		return true
	case faultNone:
		return p.crashed()
	}
	return false
}

// endReason returns how it ended, or that it has not.
func (p *process) endReason() error {
	switch {
	case p.fault.Load() == faultHang, p.fault.Load() == faultStopped:
		return errSilent
	case p.fault.Load() == faultAbandoned:
		return errors.New("it did not stop a download")
	case !p.alive():
		return p.err
	}
	return errors.New("it cannot be reached")
}

// crashed reports whether the ended process crashed. A kill from outside is not a crash.
func (p *process) crashed() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE:
		return true
	}
	return false
}

// ended returns how the process ended, also where it ended well and should not
// have. It must have.
func (p *process) ended() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("exit status 0")
}
