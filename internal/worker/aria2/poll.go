package aria2

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Poll implements [download.Engine]. It also submits the jobs that aria2c lacks and
// retries failed jobs within an attempt. Each job is handled alone; a job whose aria2c
// does not answer now keeps its last state.
func (e *Engine) Poll(ctx context.Context) (map[string]download.State, error) {
	if err := e.acquireTurn(ctx); err != nil {
		return nil, err
	}
	defer e.releaseTurn()
	e.judgeEnded()
	e.isolate()
	e.endIdle()
	all := e.supervisors()
	for _, v := range all {
		e.offerAll(ctx, v)
	}
	answers := e.rowsOf(ctx, all, e.lookDue.Swap(false))
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("aria2: %w", err)
	}
	err := errDown
	for i, v := range all {
		a := answers[i]
		switch {
		case a.err == nil && a.all == nil: // quiet
			err = nil
		case a.err == nil:
			err = nil
			e.advanceAll(ctx, v, a)
		case err != nil:
			err = a.err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("aria2: %w", err)
	}
	for i, v := range all {
		e.noteDown(v, answers[i].err)
	}
	e.shareBandwidth(ctx, all)
	states := make(map[string]download.State, len(e.jobs))
	for id, j := range e.jobs {
		state := j.state
		state.Followed = j.Base != ""
		states[id] = state
	}
	return states, nil
}

// noteDown fails the jobs that have waited too long for an aria2c which cannot be started, while
// another one runs: the worker does not say that it takes no work, so nothing else ends them.
// [Engine.judgeEnded] does so for isolated ones.
func (e *Engine) noteDown(v *supervisor, err error) {
	for _, j := range e.jobsOf(v) {
		switch {
		case err == nil:
			j.downSince = time.Time{}
		case errors.Is(err, errDown) && !v.isolated && j.stage == stageWaiting:
			j.noteDown()
		}
	}
}

// rowsAnswer is what one aria2c has, or why that is not known. Neither says that it was not
// asked.
type rowsAnswer struct {
	session session
	all     map[string]*row
	err     error
	took    time.Duration
}

// rowsOf asks each aria2c that can be asked, all at once; one that is quiet only if look says
// so.
func (e *Engine) rowsOf(ctx context.Context, all []*supervisor, look bool) []rowsAnswer {
	bounded, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	answers := make([]rowsAnswer, len(all))
	began := time.Now()
	var wg sync.WaitGroup
	for i, v := range all {
		a := &answers[i]
		s, ok := v.usable()
		if a.session = s; !ok {
			a.err = errDown
			continue
		}
		if !look && e.isQuiet(v) {
			continue
		}
		wg.Go(func() {
			if a.all, a.err = s.client.rows(bounded); isNoAnswer(a.err) && ctx.Err() == nil {
				v.noteSilence()
			}
			a.took = time.Since(began)
		})
	}
	wg.Wait()
	for i, v := range all {
		switch a := &answers[i]; {
		case a.err != nil:
			e.lookDue.Store(true)
		case a.all != nil:
			v.lookedAt, v.lookTook = time.Now(), a.took
		}
	}
	return answers
}

// judgeCall handles an error of a call about a job: either aria2c does not answer, or the
// error is about the job. It returns true if aria2c still answers.
func (e *Engine) judgeCall(ctx context.Context, j *job, err error) (answers bool) {
	e.cfg.Logger.Debug("a call to aria2c failed", "task", j.Task.ID, "error", err)
	switch {
	case ctx.Err() != nil:
		return false
	case !isNoAnswer(err):
		j.noteUnusable(err)
		return true
	}
	if j.supervisor != nil {
		j.supervisor.noteSilence()
	}
	return false
}

// isNoAnswer reports whether a call got no answer, in contrast to a bad one.
func isNoAnswer(err error) bool {
	return err != nil && !errors.As(err, new(*rpcError)) && !errors.Is(err, errUnreadable)
}

// offerAll submits to an aria2c the jobs that it lacks.
func (e *Engine) offerAll(ctx context.Context, v *supervisor) {
	s, ok := v.usable()
	if !ok {
		return
	}
	var waiting []*job
	for _, j := range e.jobs {
		if j.supervisor == v && j.stage == stageWaiting {
			waiting = append(waiting, j)
		}
	}
	e.offerThese(ctx, s, waiting)
}

// offerThese submits some jobs. It returns false if aria2c does not answer.
func (e *Engine) offerThese(ctx context.Context, s session, jobs []*job) bool {
	return forEach(jobs, func(j *job) bool {
		err := e.offer(ctx, s, j)
		return err == nil || e.judgeCall(ctx, j, err)
	})
}

// maxCalls is how many calls about different jobs wait for aria2c at once.
const maxCalls = 16

// forEach calls do for each job, for some at once, until one call returns false. Each
// changes its own job only. It reports whether all returned true.
func forEach(jobs []*job, do func(*job) bool) bool {
	var next atomic.Int64
	var failed atomic.Bool
	var running sync.WaitGroup
	for range min(len(jobs), maxCalls) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(jobs)) && !failed.Load(); i = next.Add(1) - 1 {
				if !do(jobs[i]) {
					failed.Store(true)
				}
			}
		})
	}
	running.Wait()
	return !failed.Load()
}

// advanceAll updates the jobs of one aria2c, and removes from it the downloads that
// belong to no job.
func (e *Engine) advanceAll(ctx context.Context, v *supervisor, a rowsAnswer) {
	claimed := map[string]bool{}
	for _, j := range e.jobs {
		if j.process != a.session.process || j.process == nil || j.stage == stageEnded {
			continue
		}
		for _, r := range family(j.ownGIDs(a.all), a.all) {
			claimed[r.GID] = true
		}
	}
	var own []*job
	for _, j := range e.jobs {
		if j.process == a.session.process && j.process != nil {
			own = append(own, j)
		}
	}
	if !e.advanceThese(ctx, a, own) {
		return
	}
	if err := e.sweep(ctx, a.session.client, a.all, claimed); err != nil && ctx.Err() == nil {
		e.cfg.Logger.Debug("aria2c keeps what belongs to no task", "error", err)
		if isNoAnswer(err) {
			v.noteSilence()
		}
	}
}

// advanceThese makes the next step of some jobs. It returns false if aria2c does not answer.
func (e *Engine) advanceThese(ctx context.Context, a rowsAnswer, jobs []*job) bool {
	answers := forEach(jobs, func(j *job) bool { return e.advanceOne(ctx, a, j) })
	err := e.concludeAll(ctx, a.session.client)
	if isNoAnswer(err) && ctx.Err() == nil && len(jobs) > 0 {
		jobs[0].supervisor.noteSilence()
	}
	return answers && err == nil
}

// advanceOne makes the next step of a job. It returns false if aria2c does not answer.
func (e *Engine) advanceOne(ctx context.Context, a rowsAnswer, j *job) bool {
	var err error
	switch j.stage {
	case stageStopping, stageAbandoned, stageLeaving:
		if j.stopping != nil {
			err = e.stepStop(ctx, a.session, j, a.all)
		}
	case stageRunning:
		err = e.advance(ctx, a.session, j, a.all)
	}
	if err == nil {
		j.unusableSince = time.Time{}
		return true
	}
	return e.judgeCall(ctx, j, err)
}

// advance updates one job from the downloads of its aria2c.
func (e *Engine) advance(ctx context.Context, s session, j *job, all map[string]*row) error {
	v := familyStateOf(j.ownGIDs(all), all)
	if !v.lost {
		j.missedPolls = 0
		if len(j.gids) == 0 {
			j.gids = j.ownGIDs(all) // the answer to adding it was lost, but it is there
		}
	}
	j.state = download.State{GID: j.gid, Completed: v.completed, Total: v.total, Speed: v.speed}
	e.keepOther(j)
	if j.maxBytes = max(j.maxBytes, v.completed); v.total > 0 {
		j.total = v.total
	}
	if v.failed == nil && !v.lost && !v.done {
		v.failed = e.stuck(j, &v)
	}
	switch {
	case v.failed != nil:
		if err := e.dropOther(ctx, s, j, v.leaves); err != nil {
			return err
		}
		return e.remedy(ctx, s, j, v, all)
	case v.lost:
		if j.missedPolls++; j.missedPolls < maxMissedPolls && len(v.leaves) > 0 {
			return nil
		}
		return e.stopThen(ctx, s, j, all, nil)
	case v.done:
		j.state.Transferred = true
		if len(v.leaves) == 1 && v.leaves[0].GID == j.gid {
			if v.leaves[0].Files != nil {
				j.ended = v.leaves[0]
			}
			fault, known := e.faultOf(j, v.total)
			switch {
			case !known:
				j.state.Completed = max(v.total-1, 0) // it is not complete before the answer
				return nil
			case fault != "":
				j.state.Transferred = false
				v.failed = &row{ErrorCode: download.CodeNoResume, ErrorMessage: fault}
				return e.remedy(ctx, s, j, v, all)
			}
		}
		err := e.finish(ctx, s, j, v, all)
		if errors.As(err, new(*rpcError)) {
			return e.stopThen(ctx, s, j, all, nil) // its result went meanwhile
		}
		return err
	}
	return e.offerPads(ctx, s.client, j)
}

// remedy handles a failed job: it is continued, started over, or ended.
func (e *Engine) remedy(ctx context.Context, s session, j *job, v familyState, all map[string]*row) error {
	code, message := int(v.failed.ErrorCode), v.failed.ErrorMessage
	if message == "" {
		message = fmt.Sprintf("aria2c ends with code %d %s", code, noReason)
	}
	if code == download.CodeNoResume && j.links != nil && !j.hasNextLink() {
		switch wrong, known := e.wrongSize(ctx, s, j, v.failed); {
		case !known:
			return nil
		case wrong != nil:
			return e.stopThen(ctx, s, j, all, func() error {
				j.failWith(wrong)
				return nil
			})
		}
	}
	failure := e.failure(j, code, message)
	code = failure.Code
	j.nameLink(ctx, s, v.failed, failure)
	return e.stopThen(ctx, s, j, all, func() error {
		progress := v.completed > j.bytesAtFailure
		what := remedyOf(code, message, progress)
		if what == startOver && (j.startedOver || code == download.CodeChecksum && j.hasPieces()) {
			what = giveUp
		}
		log := e.cfg.Logger.With("task", j.Task.ID, "code", code, "reason", failure.Message)
		switch {
		case j.mayHaveFreshLink(failure.HTTPStatus, progress):
			log.Debug("a source refuses the rest of its file; it is asked for a fresh link")
			j.bytesAtFailure = max(j.bytesAtFailure, v.completed)
		case what != resume && j.useNextLink(code):
			log.Debug("a source of a metalink failed; the next one is tried")
		case j.leavesSize(message):
			log.Debug("an FTP server states an unreadable length; the file is requested without it")
		case what == giveUp && failure.Class == model.ClassRetryable && j.triesAgain(code):
			log.Debug("a try failed; it is repeated")
		case what == giveUp && j.switchSource(code):
			log.Debug("a source failed; the next one is tried")
		case code == download.CodeNoResume && !v.done && j.leaveOutIfRange():
			log.Debug("a server sends the whole file for If-Range; the rest is requested without it")
			j.bytesAtFailure = max(j.bytesAtFailure, v.completed)
		case what == resume:
			log.Debug("a download broke off after progress; it is continued")
			j.bytesAtFailure, j.emptyTries = v.completed, 0
			if j.oneResponse { // aria2c itself waits between the others
				j.notBefore = time.Now().Add(download.ProgressWait)
			}
		case what == startOver:
			log.Info("a download is started over")
			j.startedOver, j.mustWipe, j.bytesAtFailure, j.emptyTries = true, true, 0, 0
			j.exactProbe = code == download.CodeNoResume // what HEAD says may not be what GET says
			j.singleConnection = j.singleConnection || j.exactProbe
			j.readsToEnd = j.readsToEnd || code == download.CodeChecksum && j.ftpSource() != nil
		default:
			j.failWith(failure)
			return nil
		}
		return e.offer(ctx, s, j)
	})
}

// sweep removes downloads and results from aria2c that belong to no job, such as those of
// calls without an answer.
func (e *Engine) sweep(ctx context.Context, c *client, all map[string]*row, claimed map[string]bool) error {
	var stops []call
	var stopped []*row
	for gid, r := range all {
		switch {
		case claimed[gid] || claimed[r.Following] || e.isForeign(r):
		case r.stopped():
			stopped = append(stopped, r)
		default:
			stops = append(stops, call{"aria2.forceRemove", []any{gid}})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if len(stops) > 0 {
		if _, _, err := c.multicall(ctx, stops); err != nil {
			return err
		}
	}
	return c.forgetResults(ctx, stopped)
}
