package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is one started program.
type Process struct {
	Name string // as figures call it
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error // once done is closed
}

// Spec describes a process to start.
type Spec struct {
	Name string // also that of its log in Dir
	Path string
	Args []string
	Dir  string
	Env  []string // beside PATH, HOME and TMPDIR
	// Credential is the account of the program; nil: that of this process.
	Credential *syscall.Credential
}

// Start starts a program; its output goes to Dir/Name.log. It is killed when ctx
// ends, and when we do.
func Start(ctx context.Context, s Spec) (*Process, error) {
	log, err := os.Create(filepath.Join(s.Dir, s.Name+".log"))
	if err != nil {
		return nil, err
	}
	p := &Process{Name: s.Name, log: log, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, s.Path, s.Args...)
	p.cmd.Dir = s.Dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "TMPDIR=" + s.Dir}, s.Env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.Credential}
	if err := p.cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting %s: %w", s.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Run runs a program to its end; the error has what it printed.
func Run(ctx context.Context, account *syscall.Credential, dir, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, bytes.TrimSpace(out))
	}
	return nil
}

// Stop sends the signal and waits for the end; after 30 s it kills.
func (p *Process) Stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.log.Close()
}

// startLimit bounds the start of a program: on a busy machine a large store is checked for
// minutes after a kill.
const startLimit = 5 * time.Minute

// Await waits until ready returns nil, for 5 minutes at most. If the program ends first, the
// error has the end of its log.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %w\n%s", p.Name, errors.Join(p.err, err), p.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, err, p.Log())
		case <-tick.C:
		}
	}
}

// Log returns the last 2,000 bytes that the program printed.
func (p *Process) Log() []byte {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-2000):]
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Listening is a function for Await: something takes connections at the address.
func Listening(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// FreeAddress returns an address of this machine on which nothing listens now. Its port is below
// those of outgoing connections: one of these may have such a port a moment later, or connect to
// itself there, which looks like a server.
func FreeAddress() (string, error) {
	const first, last = 12_000, 32_000
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first)))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port was found")
}
