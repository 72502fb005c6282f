package aria2

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// A job of one file does not wait for the next Poll to make its next step: the end of a probe
// and a notification of aria2c wake the engine at once. Events that come during a step share
// the next one, with one call to aria2c. Poll makes the same steps, so a lost event costs
// time only.

// lookInterval is for how long Poll does not ask aria2c for all its downloads again, while
// each job of one file has its events.
const lookInterval = 100 * time.Millisecond

// lookShare is for how many times its duration such a question is not repeated.
const lookShare = 5

// events are the jobs that can make a step, by gid.
type events struct {
	mu     sync.Mutex
	probed map[string]bool // a probe has ended
	ended  map[string]bool // aria2c has ended the download
	wake   download.Hints
}

func newEvents() *events {
	return &events{probed: map[string]bool{}, ended: map[string]bool{}, wake: download.NewHints()}
}

func (v *events) add(to *map[string]bool, gid string) {
	v.mu.Lock()
	(*to)[gid] = true
	v.mu.Unlock()
	v.wake.Send()
}

// take returns the events since the last call.
func (v *events) take() (probed, ended map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	probed, ended = v.probed, v.ended
	v.probed, v.ended = map[string]bool{}, map[string]bool{}
	return probed, ended
}

// onNotification is called for each notification of an aria2c.
func (e *Engine) onNotification(method, gid string) {
	switch method {
	case "aria2.onDownloadStart": // the next Poll sees how far it is
	case "aria2.onDownloadComplete", "aria2.onDownloadError":
		e.events.add(&e.events.ended, gid)
	default:
		e.requestLook()
	}
}

// requestLook makes the next Poll ask for all downloads.
func (e *Engine) requestLook() {
	e.lookDue.Store(true)
	e.changed.Send()
}

// react makes the steps of all events until the engine is closed.
func (e *Engine) react() {
	for {
		select {
		case <-e.life.Done():
			return
		case <-e.events.wake:
			e.step(e.life)
		}
	}
}

// steps are the jobs of one aria2c that make a step.
type steps struct {
	offers []*job // their probe before the submit has ended
	looks  []*job // aria2c is asked about them
}

// step makes the steps of the events so far. Those of a job that is not one file, or that is
// being stopped, are left to Poll.
func (e *Engine) step(ctx context.Context) {
	probed, ended := e.events.take()
	if e.acquireTurn(ctx) != nil {
		return // the engine is closed
	}
	defer e.releaseTurn()
	known := 0
	due := map[*supervisor]*steps{}
	for _, j := range e.jobs {
		if !probed[j.gid] && !ended[j.gid] {
			continue
		}
		if ended[j.gid] {
			known++
		}
		of := due[j.supervisor]
		if of == nil {
			of = &steps{}
			due[j.supervisor] = of
		}
		switch {
		case j.supervisor == nil || kindOf(&j.Task.TaskSpec) != kindPlain:
			e.requestLook()
		case j.stage == stageWaiting:
			of.offers = append(of.offers, j)
		case j.stage == stageRunning && (ended[j.gid] || j.probing != nil):
			of.looks = append(of.looks, j)
		case j.stage != stageRunning && j.stage != stageEnded:
			e.requestLook()
		}
	}
	if known < len(ended) {
		e.requestLook() // of a download that another one led to, or of no job
	}
	for v, of := range due {
		if v != nil && len(of.offers)+len(of.looks) > 0 {
			e.stepAll(ctx, v, of)
		}
	}
}

// stepAll makes the steps of the jobs of one aria2c.
func (e *Engine) stepAll(ctx context.Context, v *supervisor, of *steps) {
	s, ok := v.usable()
	if !ok {
		e.requestLook()
		return
	}
	var offered bool
	var offering sync.WaitGroup
	offering.Go(func() { offered = e.offerThese(ctx, s, of.offers) })
	looked := e.lookAt(ctx, v, s, of.looks)
	offering.Wait()
	if !offered || !looked {
		e.requestLook()
		return
	}
	for _, j := range append(of.offers, of.looks...) {
		switch {
		case j.stage == stageStopping, j.stage == stageWaiting && j.probing == nil:
			e.requestLook() // no event is due
		case j.state.Phase != download.Active || j.state.Transferred:
			e.changed.Send()
		}
	}
}

// lookAt asks aria2c about some jobs and updates them. It returns false if it does not
// answer, or does not have one of them.
func (e *Engine) lookAt(ctx context.Context, v *supervisor, s session, jobs []*job) bool {
	if len(jobs) == 0 {
		return true
	}
	all, ok := e.askAbout(ctx, v, s, jobs)
	if !ok {
		return false
	}
	var there []*job
	for _, j := range jobs {
		if r := all[j.gid]; r != nil && len(r.FollowedBy) == 0 && j.process == s.process && !e.isForeign(r) {
			there = append(there, j)
		}
	}
	return e.advanceThese(ctx, rowsAnswer{session: s, all: all}, there) && len(there) == len(jobs)
}

// askAbout returns what aria2c has of some jobs, by gid. A file that is complete stays as it is,
// so aria2c is not asked again after its verification.
func (e *Engine) askAbout(ctx context.Context, v *supervisor, s session, jobs []*job) (all map[string]*row, ok bool) {
	all = map[string]*row{}
	var ask []*job
	for _, j := range jobs {
		if j.ended != nil && j.process == s.process {
			all[j.gid] = j.ended
		} else {
			ask = append(ask, j)
		}
	}
	if len(ask) == 0 {
		return all, true
	}
	bounded, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	rows, err := s.client.rowsOf(bounded, ask)
	if err != nil {
		if isNoAnswer(err) && ctx.Err() == nil {
			v.noteSilence()
		}
		return nil, false
	}
	maps.Copy(all, rows)
	return all, true
}

// isQuiet reports whether the events of all jobs of an aria2c suffice for now, so that Poll
// need not ask for its downloads. Those of torrents and metalinks do not, but to ask for all
// downloads may take its one thread a while.
func (e *Engine) isQuiet(v *supervisor) bool {
	since, torrents := time.Since(v.lookedAt), false
	if since >= lookInterval {
		return false
	}
	for _, j := range e.jobs {
		if j.supervisor != v || j.stage == stageEnded || j.stage == stageWaiting {
			continue
		}
		if j.stage != stageRunning || j.process != v.current().process {
			return false
		}
		torrents = torrents || kindOf(&j.Task.TaskSpec) != kindPlain
	}
	return !torrents || since < lookShare*v.lookTook
}
