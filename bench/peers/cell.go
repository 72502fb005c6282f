package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// scenario is one way in which jobs come.
type scenario struct {
	Name, Title string
	Load        load
	Tuning      queue.Tuning
	Backlog     bool // all jobs are there before the workers start
}

// result is what one run of one system in one scenario gave.
type result struct {
	Round            int
	System, Scenario string
	Jobs             int64
	Rate             float64 // jobs a second, from the first submit (of a backlog: from the start of the workers) to the last acknowledgement
	P50, P99         time.Duration
	CPU              map[string]float64 // microseconds a job, by process
	Memory           map[string]int64   // bytes, by process
}

// cell is one run: servers, a producer, a worker, and what they cost.
type cell struct {
	system   queue.System
	scenario scenario
	dir      string
	profiles string // folder; "" without profiles
	server   *queue.Server
	producer *role
	worker   *role
}

// patience bounds each step of a cell.
const patience = 3 * time.Minute

// warmUp is submitted before a measurement, so that connections and statements are
// there.
var warmUp = load{Producers: 64, Jobs: 2000, For: 500 * time.Millisecond}

func (c *cell) run(ctx context.Context) (res *result, err error) {
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(c.dir)
	if c.server, err = c.system.Start(ctx, c.dir); err != nil {
		return nil, err
	}
	defer c.server.Stop()
	if c.worker, err = c.startRole(ctx, "worker"); err != nil {
		return nil, err
	}
	defer c.worker.stop()
	if c.producer, err = c.startRole(ctx, "producer"); err != nil {
		return nil, err
	}
	defer c.producer.stop()
	if c.scenario.Backlog {
		return c.drain()
	}
	return c.lifecycles(ctx)
}

// lifecycles measures jobs that are worked on while others are submitted.
func (c *cell) lifecycles(ctx context.Context) (*result, error) {
	if _, err := c.worker.ask(order{Do: "start"}); err != nil {
		return nil, err
	}
	warm, err := c.producer.ask(order{Do: "submit", Load: warmUp})
	if err != nil {
		return nil, err
	}
	if _, err := c.worker.ask(order{Do: "settle", N: warm.Submitted}); err != nil {
		return nil, err
	}
	if _, err := c.worker.ask(order{Do: "reset"}); err != nil {
		return nil, err
	}
	syscall.Sync() // earlier writes do not count
	before := c.usage()
	defer c.profile(ctx)()
	made, err := c.producer.ask(order{Do: "submit", Load: c.scenario.Load})
	if err != nil {
		return nil, err
	}
	settled, err := c.worker.ask(order{Do: "settle", N: warm.Submitted + made.Submitted})
	if err != nil {
		return nil, err
	}
	end := settled.Account.LastAck
	if made.Last.After(end) {
		end = made.Last
	}
	return c.result(before, warm.Submitted, made.Submitted, end.Sub(made.First), settled.Account)
}

// drain measures the working off of a backlog.
func (c *cell) drain() (*result, error) {
	made, err := c.producer.ask(order{Do: "submit", Load: c.scenario.Load})
	if err != nil {
		return nil, err
	}
	syscall.Sync()
	before := c.usage()
	start := time.Now()
	if _, err := c.worker.ask(order{Do: "start"}); err != nil {
		return nil, err
	}
	settled, err := c.worker.ask(order{Do: "settle", N: made.Submitted})
	if err != nil {
		return nil, err
	}
	return c.result(before, 0, made.Submitted, settled.Account.LastAck.Sub(start), settled.Account)
}

// result checks that every job was given to a worker once, and reckons.
func (c *cell) result(before map[string]time.Duration, warm, jobs int64, took time.Duration, a queue.Account) (*result, error) {
	if len(a.Faults) > 0 {
		return nil, fmt.Errorf("workers had %d faults, such as: %s", len(a.Faults), a.Faults[0])
	}
	if want := warm + jobs; a.Given != want || a.Distinct != want || a.Acked != want {
		return nil, fmt.Errorf("%d jobs were submitted; workers were given %d, of these %d different; %d were acknowledged as done", want, a.Given, a.Distinct, a.Acked)
	}
	if jobs == 0 || took <= 0 {
		return nil, errors.New("nothing was measured")
	}
	r := &result{
		System: c.system.Name(), Scenario: c.scenario.Name, Jobs: jobs, Rate: float64(jobs) / took.Seconds(),
		P50: a.P50, P99: a.P99, CPU: map[string]float64{}, Memory: map[string]int64{},
	}
	for name, cpu := range c.usage() {
		r.CPU[name] = float64((cpu - before[name]).Microseconds()) / float64(jobs)
	}
	for name, pid := range c.pids() {
		r.Memory[name] = proc.Memory(pid)
	}
	return r, nil
}

// profile has the server's CPU profile written, for as long as jobs are submitted;
// the function that it returns waits for it.
func (c *cell) profile(ctx context.Context) (wait func()) {
	seconds := int(c.scenario.Load.For / time.Second)
	if c.profiles == "" || c.server.Profiles == "" || seconds < 2 {
		return func() {}
	}
	path := filepath.Join(c.profiles, c.system.Name()+"."+c.scenario.Name+".pprof")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.server.SaveProfile(ctx, fmt.Sprintf("profile?seconds=%d", seconds), path); err != nil {
			fmt.Fprintln(os.Stderr, "no profile:", err)
		}
	}()
	return func() { <-done }
}

func (c *cell) pids() map[string]int {
	m := map[string]int{"producer": c.producer.pid(), "worker": c.worker.pid()}
	for _, p := range c.server.Processes {
		m[p.Name] = p.PID()
	}
	return m
}

func (c *cell) usage() map[string]time.Duration {
	m := map[string]time.Duration{}
	for name, pid := range c.pids() {
		m[name] = proc.CPU(pid)
	}
	return m
}

// role is a process of a producer or worker, seen from outside.
type role struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
}

func (c *cell) startRole(ctx context.Context, name string) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tuning, err := json.Marshal(c.scenario.Tuning)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r := &role{name: name, cmd: exec.CommandContext(ctx, self, "role", name, c.system.Name(), c.server.Address, string(tuning))}
	r.cmd.Stderr = log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.answers = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := r.answer(); err != nil {
		r.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return r, nil
}

func (r *role) pid() int { return r.cmd.Process.Pid }

// ask gives an order and waits for its outcome.
func (r *role) ask(o order) (*outcome, error) {
	o.Wait = patience
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if _, err := r.in.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	a, err := r.answer()
	if err != nil {
		return a, fmt.Errorf("%s, %s: %w", r.name, o.Do, err)
	}
	return a, nil
}

func (r *role) answer() (*outcome, error) {
	line, err := r.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the process has ended: %w", err)
	}
	var a outcome
	if err := json.Unmarshal(line, &a); err != nil {
		return nil, err
	}
	if a.Err != "" {
		return &a, errors.New(a.Err)
	}
	return &a, nil
}

// stop kills the process: its servers are thrown away as well.
func (r *role) stop() {
	_ = r.cmd.Process.Kill() // it may have ended
	_ = r.cmd.Wait()
}
