package aria2

import (
	"context"
	"slices"
	"time"
)

// aria2c sends a cookie that a server has set for one download with all its later downloads
// from that host, trackers and web seeds included, until it ends: what the server shows to one
// client of ours it would show to another one (findings/aria2-cookies-outlive-downloads.sh). So
// tasks of different clients never share an aria2c. The shared one is that of the first client; each
// further client has one while it has tasks. An aria2c that the worker attaches to has those of all.

const (
	keepIdle = 30 * time.Second // an aria2c of a client without tasks
	maxIdle  = 4                // of these at once
)

// supervisorFor returns the supervisor of the aria2c that fetches a job, unless the job is a suspect.
func (e *Engine) supervisorFor(j *job) *supervisor {
	client := j.Task.Client
	if !e.isOwned {
		e.isOwned, e.owner = true, client
	}
	if e.cfg.Attach != nil || client == e.owner {
		return e.shared
	}
	v := e.ofClients[client]
	if v == nil {
		v = e.startForClient()
		e.ofClients[client] = v
	}
	v.usedAt = time.Now()
	return v
}

// startForClient starts an aria2c for one more client.
func (e *Engine) startForClient() *supervisor {
	v, _ := e.startFurther(func(ctx context.Context, v *supervisor) {
		p, err := e.startProcess(ctx, v.conf)
		if err != nil && ctx.Err() == nil {
			e.cfg.Logger.Error("aria2c cannot be started", "error", err)
		}
		v.run(ctx, p, nil)
	})
	return v
}

// endIdle ends the aria2c of each client that has had no tasks for a while.
func (e *Engine) endIdle() {
	var idle []string
	for client, v := range e.ofClients {
		if len(e.jobsOf(v)) > 0 {
			v.usedAt = time.Now()
		} else {
			idle = append(idle, client)
		}
	}
	slices.SortFunc(idle, func(a, b string) int { return e.ofClients[b].usedAt.Compare(e.ofClients[a].usedAt) })
	for i, client := range idle {
		if v := e.ofClients[client]; i >= maxIdle || time.Since(v.usedAt) > keepIdle {
			v.stop()
			delete(e.ofClients, client)
		}
	}
}

// supervisors returns those of all processes.
func (e *Engine) supervisors() []*supervisor {
	all := []*supervisor{e.shared}
	for _, v := range e.ofClients { // in any order: each is polled alone
		all = append(all, v)
	}
	return append(all, e.isolated...)
}
