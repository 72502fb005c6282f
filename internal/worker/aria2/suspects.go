package aria2

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// When an aria2c crashes, or answers no more, any of its downloads may be the cause.
// They are suspects: each part of them gets an aria2c of its own, at once, so that
// nobody waits, and the part that crashes again is divided further. Only a crash of
// a process that never had any other download counts against a task. New jobs go to
// that of their client and are not in danger.

const (
	maxCrashes  = 2                // of an aria2c that had one job only, before that job fails
	maxKills    = 4                // from outside, after which the jobs are separated all the same
	killWindow  = time.Minute      // what an aria2c must live for a kill to be the first again
	maxParts    = 4                // into which suspects are divided
	maxIsolated = 8                // isolated processes at once: 5 MB of memory each
	clearAfter  = 30 * time.Second // after which suspects may return, if others need their place
	maxWait     = 10 * time.Second // before suspects are given to aria2c again
)

// group is suspects that wait for an aria2c of their own.
type group struct {
	jobs      []*job
	notBefore time.Time
}

// judgeEnded takes back the jobs of processes that have ended.
func (e *Engine) judgeEnded() {
	ended := map[*process][]*job{}
	for _, j := range e.jobs {
		if (j.stage == stageRunning || j.stage == stageStopping) && !j.process.alive() {
			ended[j.process] = append(ended[j.process], j)
		}
	}
	for p, jobs := range ended {
		slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(a.Task.ID, b.Task.ID) })
		e.reassign(p, jobs)
	}
	e.isolated = slices.DeleteFunc(e.isolated, func(v *supervisor) bool {
		select {
		case <-v.ended:
		default:
			return false
		}
		// These it never had: it could not be started, or ended before.
		rest := slices.DeleteFunc(e.jobsOf(v), func(j *job) bool {
			if !v.retired {
				j.processEnds++
				j.noteDown()
			}
			return j.stage == stageEnded
		})
		if len(rest) > 0 {
			e.returnTo(v, rest)
		}
		return true
	})
}

// reassign decides where the jobs of a process that has ended belong next.
func (e *Engine) reassign(p *process, jobs []*job) {
	v := jobs[0].supervisor
	alone := len(jobs) == 1 && !p.shared
	failed, outside := p.failed(), p.fault.Load() == faultNone || p.fault.Load() == faultStopped
	soon := time.Since(v.began) < killWindow
	separate := failed
	for _, j := range jobs {
		j.move(onLose)
		j.process, j.gids, j.stopping = nil, nil, nil
		j.mustRecover, j.state.Speed = true, 0
		j.startedOver = false // a server without ranges makes it start over, which is not its failure
		j.processEnds++
		switch {
		case failed:
			j.suspicions++
		case outside && soon:
			j.kills++
		case outside:
			j.kills = 1
		}
		separate = separate || j.kills >= maxKills
	}
	if !v.isolated {
		v.began = time.Now() // of its next process
	}
	if failed && alone {
		jobs[0].crashes++
		if e.failGuilty(jobs[0], p) {
			return
		}
	}
	switch {
	case !separate || e.cfg.Attach != nil:
		e.returnTo(v, jobs)
		return
	case len(jobs) > 1:
		e.cfg.Logger.Warn("aria2c ended and any of its tasks may be the cause; they continue in separate processes",
			"tasks", len(jobs), "error", p.endReason())
	}
	for _, j := range jobs {
		j.kills = 0
	}
	parts := min(len(jobs), maxParts)
	for i := range parts {
		e.suspect(jobs[i*len(jobs)/parts : (i+1)*len(jobs)/parts])
	}
}

// failGuilty fails a job that has ended too many processes in which it was alone.
func (e *Engine) failGuilty(j *job, p *process) bool {
	if j.crashes < maxCrashes {
		return false
	}
	what := "crashed"
	if p.fault.Load() == faultHang {
		what = "stopped answering"
	}
	j.failWith(&model.TaskError{Code: download.CodeUnknown, Class: model.ClassPermanent, Message: fmt.Sprintf(
		"aria2c %s, for the %d. time while it fetched this and nothing else", what, j.crashes)})
	e.changed.Send()
	return true
}

// returnTo has jobs given to aria2c again without a new suspicion.
func (e *Engine) returnTo(v *supervisor, jobs []*job) {
	if !v.isolated || v.retired {
		for _, j := range jobs {
			j.supervisor = e.supervisorFor(j)
		}
		return
	}
	e.suspect(jobs)
}

// suspect has jobs wait for an aria2c of their own: not at all at first, then longer
// each time.
func (e *Engine) suspect(jobs []*job) {
	g := &group{jobs: jobs}
	deaths := 0
	for _, j := range jobs {
		j.move(onSuspect)
		j.supervisor = nil
		deaths = max(deaths, j.processEnds)
	}
	if deaths > 1 {
		g.notBefore = time.Now().Add(download.RetryWait(100*time.Millisecond, maxWait, deaths))
	}
	e.suspects = append(e.suspects, g)
}

// isolate starts an aria2c for each group whose time has come, as many as there may
// be, and ends those that are no longer needed.
func (e *Engine) isolate() {
	for _, v := range e.isolated {
		if len(e.jobsOf(v)) == 0 {
			v.stop()
		}
	}
	now := time.Now()
	waiting := e.suspects[:0]
	crowded := false
	for _, g := range e.suspects {
		g.jobs = slices.DeleteFunc(g.jobs, func(j *job) bool {
			return e.jobs[j.Task.ID] != j || j.stage != stageSuspected
		})
		switch {
		case len(g.jobs) == 0:
		case now.Before(g.notBefore):
			waiting = append(waiting, g)
		case len(e.isolated) >= maxIsolated:
			waiting, crowded = append(waiting, g), true
		default:
			e.startIsolated(g)
		}
	}
	clear(e.suspects[len(waiting):])
	e.suspects = waiting
	if crowded {
		e.retireOne()
	}
}

// startIsolated gives a group an aria2c of its own.
func (e *Engine) startIsolated(g *group) {
	v, ok := e.startFurther(func(ctx context.Context, v *supervisor) { v.runOnce(ctx) })
	if !ok {
		return
	}
	v.isolated = true
	for _, j := range g.jobs {
		j.move(onIsolate)
		j.supervisor = v
	}
	e.isolated = append(e.isolated, v)
}

// retireOne makes room for suspects that wait: of the isolated processes that have
// lived for a while, that of the least suspicious jobs ends in order, and its jobs
// return to where they were. So the wait has a bound.
func (e *Engine) retireOne() {
	var least *supervisor
	best := 0
	for _, v := range e.isolated {
		if v.retired {
			return // one at a time
		}
		if time.Since(v.began) < clearAfter {
			continue
		}
		most := 0
		for _, j := range e.jobsOf(v) {
			most = max(most, j.suspicions)
		}
		if least == nil || most < best {
			least, best = v, most
		}
	}
	if least != nil {
		least.retired = true
		least.stop()
	}
}

// jobsOf returns the jobs of a supervisor that have not ended.
func (e *Engine) jobsOf(v *supervisor) []*job {
	var jobs []*job
	for _, j := range e.jobs {
		if j.supervisor == v && j.isActive() {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// SetBandwidth changes what all downloads together may use, in bytes/s, from the next
// Poll on. An engine without a limit stays without one.
func (e *Engine) SetBandwidth(bandwidth int64) {
	if e.bandwidth.Swap(bandwidth) != bandwidth {
		e.jobShare.Store(bandwidth) // until the next poll
	}
}

// shareBandwidth divides the limit between the processes by their jobs.
func (e *Engine) shareBandwidth(ctx context.Context, all []*supervisor) {
	bandwidth := e.bandwidth.Load()
	if bandwidth == 0 {
		return
	}
	counts, total := make([]int64, len(all)), int64(0)
	for i, v := range all {
		for _, j := range e.jobsOf(v) {
			total++
			if j.probing == nil || j.purpose != toConfirm { // it may be read a second time, without aria2c
				counts[i]++
			}
		}
	}
	e.jobShare.Store(max(1, bandwidth/max(1, total)))
	if e.cfg.Attach != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	for i, v := range all {
		if counts[i] == 0 {
			continue
		}
		limit := max(1, bandwidth*counts[i]/total)
		s, ok := v.usable()
		if !ok || v.limited == s.process && v.limit == limit {
			continue
		}
		option := map[string]string{"max-overall-download-limit": strconv.FormatInt(limit, 10)}
		if err := s.client.call(ctx, nil, "aria2.changeGlobalOption", option); err != nil {
			e.cfg.Logger.Debug("the bandwidth could not be set", "error", err)
			continue
		}
		v.limit, v.limited = limit, s.process
	}
}
