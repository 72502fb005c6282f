package aria2

import (
	"context"
	"time"
)

func (e *Engine) current() session { return e.shared.current() }

// PID returns the process id of the running shared aria2c, 0 without one.
func (e *Engine) PID() int {
	s := e.current()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// processOf returns which aria2c has a task, 0 if none has it now, and whether that is
// an isolated one.
func (e *Engine) processOf(ctx context.Context, id string) (pid int, isolated bool) {
	if err := e.acquireTurn(ctx); err != nil {
		return 0, false
	}
	defer e.releaseTurn()
	j := e.jobs[id]
	if j == nil || j.process == nil || !j.process.alive() || j.supervisor == nil {
		return 0, false
	}
	return j.process.cmd.Process.Pid, j.supervisor.isolated
}

// clientProcesses returns how many aria2c further clients have, as if some time had passed.
func (e *Engine) clientProcesses(ctx context.Context, passed time.Duration) int {
	if err := e.acquireTurn(ctx); err != nil {
		return -1
	}
	defer e.releaseTurn()
	for _, v := range e.ofClients {
		v.usedAt = v.usedAt.Add(-passed)
	}
	e.endIdle()
	return len(e.ofClients)
}

// passDown lets time pass for a job that waits for an aria2c.
func (e *Engine) passDown(ctx context.Context, id string, passed time.Duration) {
	if err := e.acquireTurn(ctx); err != nil {
		return
	}
	defer e.releaseTurn()
	if j := e.jobs[id]; !j.downSince.IsZero() {
		j.downSince = j.downSince.Add(-passed)
	}
}
