package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/aria"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

// programs are the paths of what was built, and how they are watched.
type programs struct {
	dispatcher, worker string
	calls              bool   // count the worker's system calls
	profiles           string // folder; "" without
}

// cluster is a dispatcher with SQLite and one worker; it implements [system].
type cluster struct {
	*programs
	name, title, engine string
	// mirrors gives each task a mirror over FTP, which nothing asks: a worker with both engines
	// gives such a task to aria2c.
	mirrors bool
}

// Name implements [system].
func (c *cluster) Name() string { return c.name }

// Title implements [system].
func (c *cluster) Title() string { return c.title }

// Ours implements [system].
func (c *cluster) Ours() bool { return true }

// Missing implements [system].
func (c *cluster) Missing() string {
	if _, err := exec.LookPath("aria2c"); err != nil && c.engine != "direct" {
		return "apt-get install aria2"
	}
	return ""
}

// Fetch implements [system]. The time is that from the first submit to the last event of
// a completion; both programs run before.
func (c *cluster) Fetch(ctx context.Context, j *job) (*outcome, error) {
	dispatcher, address, err := c.startDispatcher(ctx, j.home)
	if err != nil {
		return nil, err
	}
	defer dispatcher.Stop(syscall.SIGTERM)
	worker, err := proc.Start(ctx, proc.Spec{Name: "worker", Path: c.worker, Dir: j.home, Args: []string{
		"-name", "w", "-nats", address, "-dir", j.dir, "-slots", strconv.Itoa(j.slots), "-engine", c.engine,
		"-allow-networks", "loopback", "-log-level", "warn",
	}})
	if err != nil {
		return nil, err
	}
	defer worker.Stop(syscall.SIGTERM)
	nc, err := aria.Connect(address)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, dispatcher.Log())
	}
	defer nc.Close()
	if err := worker.Await(ctx, hasWorker(nc)); err != nil {
		return nil, err
	}
	watched, err := c.watch(ctx, worker.PID(), j)
	if err != nil {
		return nil, err
	}
	before := used(dispatcher, worker)
	begin := time.Now()
	if err := c.submitAll(ctx, nc, j); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, worker.Log())
	}
	out := &outcome{wall: time.Since(begin), cpu: used(dispatcher, worker)}
	for name := range out.cpu {
		out.cpu[name] -= before[name]
	}
	out.calls, err = watched()
	return out, err
}

// used returns the processor time of each process so far.
func used(dispatcher, worker *proc.Process) map[string]time.Duration {
	own := proc.Own(worker.PID())
	return map[string]time.Duration{"dispatcher": dispatcher.CPU(), "worker": own, "its aria2c": worker.CPU() - own}
}

func (c *cluster) startDispatcher(ctx context.Context, home string) (*proc.Process, string, error) {
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, "", err
	}
	p, err := proc.Start(ctx, proc.Spec{Name: "dispatcher", Path: c.dispatcher, Dir: home, Args: []string{
		"-db-type", "sqlite", "-db-path", filepath.Join(home, "dispatcher.db"), "-http-listen=",
		"-nats-listen", address, "-nats-store-dir", filepath.Join(home, "streams"), "-log-level", "warn",
	}})
	if err != nil {
		return nil, "", err
	}
	if err := p.Await(ctx, proc.Listening(address)); err != nil {
		p.Stop(syscall.SIGKILL)
		return nil, "", err
	}
	return p, "nats://" + address, nil
}

// hasWorker returns a function for Await: the dispatcher has a worker.
func hasWorker(nc *nats.Conn) func(context.Context) error {
	return func(ctx context.Context) error {
		m, err := aria.Request(ctx, nc, "aria.v1.req.query.status", []byte("{}"))
		if err != nil {
			return err
		}
		var status struct {
			Workers int `json:"active_workers"`
		}
		if err := json.Unmarshal(m.Data, &status); err != nil {
			return err
		}
		if status.Workers == 0 {
			return fmt.Errorf("the dispatcher has no worker")
		}
		return nil
	}
}

// submitAll submits every file and waits until all are completed.
func (c *cluster) submitAll(ctx context.Context, nc *nats.Conn, j *job) error {
	var completed atomic.Int64
	over := make(chan error, 1)
	end := func(err error) {
		select {
		case over <- err:
		default:
		}
	}
	_, err := nc.Subscribe("aria.v1.evt.task.bench.*.*", func(m *nats.Msg) {
		switch status := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]; status {
		case "completed":
			if completed.Add(1) == int64(j.list.count) {
				end(nil)
			}
		case "failed", "canceled":
			end(fmt.Errorf("a task is %s: %s", status, m.Data))
		}
	})
	if err != nil {
		return err
	}
	const batch = 500
	for from := 0; from < j.list.count; from += batch {
		body, err := json.Marshal(map[string]any{"tasks": c.specs(j, from, min(from+batch, j.list.count))})
		if err != nil {
			return err
		}
		m, err := aria.Request(ctx, nc, "aria.v1.req.task.bench.submit", body)
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
		if bytes.Contains(m.Data, []byte(`{"error":{`)) {
			return fmt.Errorf("submit: %.300s", m.Data)
		}
	}
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Minute):
		return fmt.Errorf("only %d of %d tasks are completed", completed.Load(), j.list.count)
	}
}

func (c *cluster) specs(j *job, from, to int) []map[string]any {
	var specs []map[string]any
	for i := from; i < to; i++ {
		file := j.list.file(i)
		spec := map[string]any{"id": file, "url": j.server.url(file)}
		if c.mirrors {
			spec["mirrors"] = []string{"ftp://" + j.server.address + "/" + file}
		}
		specs = append(specs, spec)
	}
	return specs
}
