// Package combined downloads with two engines: HTTP with the direct engine, which needs
// one request and sees each response, everything else with aria2. A download that one engine
// cannot fetch moves to the other within the attempt, if the other may succeed.
//
// aria2 also gets HTTP tasks whose folder has bytes of aria2, and those with a source of
// another protocol.
package combined

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limited is an engine whose bandwidth can be changed.
type Limited interface {
	download.Engine
	// SetBandwidth changes what all its downloads together may use, in bytes/s.
	SetBandwidth(bandwidth int64)
}

// Engine implements [download.Engine] with two other engines, which it owns. Create it
// with [New].
type Engine struct {
	direct, aria2 Limited
	log           *slog.Logger
	bandwidth     int64
	changed       download.Hints
	closed        chan struct{}
	forwarding    sync.WaitGroup
	closing       sync.Once

	polling sync.Mutex // held by Poll
	mu      sync.Mutex
	jobs    map[string]*job // by task id
	polls   int             // calls of Poll so far
	shared  bool            // the bandwidth is halved between the engines
}

var _ download.Engine = (*Engine)(nil)

// job is one download, in one of the engines.
type job struct {
	download.Job
	at     Limited
	added  int              // number of the poll that may not have seen it
	before *model.TaskError // why the other engine failed; nil: it never had the job
	last   download.State
}

// New combines two engines. Each has the whole bandwidth, in bytes/s, as long as the
// other one has no job.
func New(direct, aria2 Limited, bandwidth int64, log *slog.Logger) *Engine {
	e := &Engine{
		direct: direct, aria2: aria2, log: log, bandwidth: bandwidth,
		changed: download.NewHints(), closed: make(chan struct{}), jobs: map[string]*job{},
	}
	for _, one := range []Limited{direct, aria2} {
		e.forwarding.Go(func() { e.forward(one.Changed()) })
	}
	return e
}

func (e *Engine) forward(from <-chan struct{}) {
	for {
		select {
		case <-from:
			e.changed.Send()
		case <-e.closed:
			return
		}
	}
}

// Capabilities implements [download.Engine].
func (e *Engine) Capabilities() model.Capabilities {
	caps := e.aria2.Capabilities()
	for _, protocol := range e.direct.Capabilities().Protocols {
		if !slices.Contains(caps.Protocols, protocol) {
			caps.Protocols = append(caps.Protocols, protocol)
		}
	}
	caps.Bandwidth = e.bandwidth
	return caps
}

// Changed implements [download.Engine].
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Add implements [download.Engine].
func (e *Engine) Add(ctx context.Context, dj download.Job) error {
	if e.job(dj.Task.ID) != nil {
		return nil
	}
	caps := e.aria2.Capabilities()
	dj.Follow = caps.SupportsBT || caps.SupportsMetalink
	j := &job{Job: dj, at: e.aria2}
	if prefersDirect(&dj) {
		j.at = e.direct
	}
	if err := j.at.Add(ctx, dj); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs[dj.Task.ID] == nil {
		j.added = e.polls
		e.jobs[dj.Task.ID] = j
	}
	return nil
}

func (e *Engine) job(id string) *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs[id]
}

// Remove implements [download.Engine].
func (e *Engine) Remove(ctx context.Context, id string) error {
	j := e.job(id)
	if j == nil {
		return nil
	}
	// Poll may move the job meanwhile, so it is removed from both.
	if err := errors.Join(e.direct.Remove(ctx, id), e.aria2.Remove(ctx, id)); err != nil {
		return err
	}
	download.DeleteJob(&e.mu, e.jobs, id, j)
	return nil
}

// Poll implements [download.Engine]. While aria2c is restarted, its jobs keep their last
// state and the jobs of the direct engine continue. Calls wait for each other: what one
// has read of an engine is stale once another has moved the job.
func (e *Engine) Poll(ctx context.Context) (map[string]download.State, error) {
	e.polling.Lock()
	defer e.polling.Unlock()
	e.mu.Lock()
	e.polls++
	poll := e.polls
	e.mu.Unlock()
	own, err := e.direct.Poll(ctx)
	if err != nil {
		return nil, err
	}
	others, down := e.aria2.Poll(ctx)
	if down != nil && (len(own) == 0 || ctx.Err() != nil) {
		return nil, down
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	states := make(map[string]download.State, len(e.jobs))
	inDirect := 0
	for id, j := range e.jobs {
		from := own
		if j.at == e.aria2 {
			if from = others; down != nil {
				states[id] = j.last
				continue
			}
		}
		state, there := from[id]
		switch {
		case there:
			j.last = e.judge(ctx, j, state)
		case j.added < poll:
			delete(e.jobs, id) // it is lost, and added again
			continue
		}
		states[id] = j.last
		if j.at == e.direct {
			inDirect++
		}
	}
	e.share(inDirect > 0, len(e.jobs) > inDirect)
	return states, nil
}

// judge returns a job's state. It moves a failed job to the other engine if that may
// succeed.
func (e *Engine) judge(ctx context.Context, j *job, state download.State) download.State {
	next, to := e.next(j, &state)
	if to == nil {
		state.Before = j.before
		if state.Phase == download.Failed && j.before != nil {
			failure := *state.Err
			if failure.Message == j.before.Message {
				failure.Message += " (with both engines)"
			} else {
				failure.Message = fmt.Sprintf("%s (before, with the other engine: %s)", failure.Message, j.before.Message)
			}
			state.Err = &failure
		}
		return state
	}
	next.Fresh = false
	moved := state
	moved.Phase, moved.Err, moved.Files, moved.Speed = download.Active, nil, nil, 0
	moved.GID, moved.Before, moved.Transferred = "", state.Err, false
	if err := j.at.Remove(ctx, j.Task.ID); err != nil {
		return moved // the next poll tries again
	}
	if err := to.Add(ctx, next); err != nil {
		e.log.Warn("a download could not be moved to the other engine", "task", j.Task.ID, "error", err)
		delete(e.jobs, j.Task.ID) // it is added again
		return moved
	}
	if state.Err != nil {
		e.log.Info("the download continues with the other engine", "task", j.Task.ID, "code", state.Err.Code, "reason", state.Err.Message)
		j.before = state.Err
	}
	j.at, j.added = to, e.polls
	return moved
}

// share divides the bandwidth between the engines that have jobs.
func (e *Engine) share(direct, aria2 bool) {
	shared := direct && aria2
	if e.bandwidth == 0 || shared == e.shared {
		return
	}
	each := e.bandwidth
	if shared {
		each = max(each/2, 1)
	}
	e.direct.SetBandwidth(each)
	e.aria2.SetBandwidth(each)
	e.shared = shared
}

// Close implements [download.Engine].
func (e *Engine) Close() error {
	e.closing.Do(func() { close(e.closed) })
	var errs [2]error
	var both sync.WaitGroup
	for i, one := range []Limited{e.direct, e.aria2} {
		both.Go(func() { errs[i] = one.Close() })
	}
	both.Wait()
	e.forwarding.Wait()
	return errors.Join(errs[:]...)
}
