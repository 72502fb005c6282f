package aria2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A download takes a while to stop. The engine's turn is free meanwhile: each step calls
// aria2c once, and the next Poll or Remove makes the next step.

const (
	stopTimeout  = 10 * time.Second // how long a download may take to stop
	minStopSteps = 10               // how many steps it has at least
)

// stopping is the progress of stopping a job.
type stopping struct {
	since time.Time
	steps int
	asked map[string]bool // the gids that aria2c was told to remove
	then  func() error    // called at the end; nil: the job is submitted again
}

// errStopping says that a download has not stopped yet.
var errStopping = errors.New("aria2c has not stopped it yet")

// stopThen stops all downloads of a job in aria2c, frees its gids, and then calls then,
// perhaps within a later Poll. aria2c writes no byte of the job after that.
func (e *Engine) stopThen(ctx context.Context, s session, j *job, all map[string]*row, then func() error) error {
	j.move(onStop)
	j.stopping = &stopping{since: time.Now(), asked: map[string]bool{}, then: then}
	return e.stepStop(ctx, s, j, all)
}

// stepStop makes one step to stop a job.
func (e *Engine) stepStop(ctx context.Context, s session, j *job, all map[string]*row) error {
	h := j.stopping
	members := family(j.ownGIDs(all), all)
	running := false
	var stops []call
	for _, r := range members {
		if r.stopped() {
			continue
		}
		running = true
		if !h.asked[r.GID] {
			stops = append(stops, call{"aria2.forceRemove", []any{r.GID}})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if running {
		if h.steps++; h.steps > minStopSteps && time.Since(h.since) > stopTimeout {
			e.abandon(s, j)
			return nil
		}
		if len(stops) == 0 {
			return nil
		}
		_, _, err := s.client.multicall(ctx, stops)
		for _, stop := range stops {
			h.asked[stop.params[0].(string)] = err == nil
		}
		return err
	}
	if err := s.client.forgetResults(ctx, members); err != nil {
		return err
	}
	j.move(onStopped)
	j.stopping, j.process, j.gids = nil, nil, nil
	if h.then != nil {
		return h.then()
	}
	return nil
}

// abandon gives up a download that does not stop: its aria2c is killed, the others
// that were in it continue from their bytes in the next one, and this one fails. An
// attached aria2c is not ours to kill.
func (e *Engine) abandon(s session, j *job) {
	e.cfg.Logger.Error("aria2c does not stop a download; the download is abandoned", "task", j.Task.ID)
	message := fmt.Sprintf("aria2c did not stop this within %v", stopTimeout)
	if s.process.attach != nil {
		j.stopping = &stopping{since: time.Now(), asked: map[string]bool{}} // ask again
		if j.stage == stageStopping {
			j.move(onAbandon)
		}
		j.failWith(&model.TaskError{Code: download.CodeUnknown, Class: model.ClassWorker, Message: message})
		return
	}
	j.stopping = nil
	s.process.abandon()
	class := model.ClassRetryable
	if before := j.Task.Error; before != nil && before.Message == message {
		class = model.ClassPermanent
	}
	j.failWith(&model.TaskError{Code: download.CodeUnknown, Class: class, Message: message})
}

// Remove implements [download.Engine]. It waits for the download to stop, but holds
// nobody else meanwhile. After an error the job is still there: call it again.
func (e *Engine) Remove(ctx context.Context, id string) error {
	for step := 0; ; step++ {
		done, err := e.removeStep(ctx, id)
		if done {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, errClosed) || !download.Pause(ctx, download.RetryWait(5*time.Millisecond, 100*time.Millisecond, step)) {
			if err == nil {
				err = errStopping
			}
			return fmt.Errorf("aria2: remove task %s: %w", id, err)
		}
	}
}

// removeStep removes a job if it has stopped, and has it stopped if not.
func (e *Engine) removeStep(ctx context.Context, id string) (done bool, err error) {
	if err := e.acquireTurn(ctx); err != nil {
		return false, err
	}
	defer e.releaseTurn()
	j := e.jobs[id]
	if j == nil {
		return true, nil
	}
	j.stopProbe()
	if j.probing != nil {
		if _, _ = j.takeProbe(j.purpose); j.probing != nil {
			return false, nil
		}
	}
	// A process that has ended writes nothing, and its successor knows of no job
	// but those that Poll gives it.
	if j.process != nil && j.process.alive() {
		if err := e.stopRemoved(ctx, j); err != nil {
			return false, err
		}
		if j.process != nil && j.process.alive() {
			return false, nil
		}
	}
	e.keepOther(j)
	e.proxy.Revoke(j.gid)
	delete(e.jobs, id)
	return true, nil
}

// stopRemoved makes a step to stop a job that is removed.
func (e *Engine) stopRemoved(ctx context.Context, j *job) error {
	if j.process.fault.Load() == faultAbandoned {
		return nil // the process is being killed
	}
	s, ok := j.supervisor.usable()
	if !ok || s.process != j.process {
		return errDown
	}
	bounded, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	all, err := s.client.rows(bounded)
	if err == nil {
		if j.stopping == nil {
			j.stopping = &stopping{since: time.Now(), asked: map[string]bool{}}
		}
		j.stopping.then = nil
		if j.stage != stageLeaving {
			j.move(onRemove)
		}
		err = e.stepStop(ctx, s, j, all)
	}
	if err != nil {
		e.judgeCall(ctx, j, err)
	}
	return err
}

// stopOwnDownloads stops our downloads in an aria2c that continues without us.
func (e *Engine) stopOwnDownloads(s session) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	select {
	case e.turn <- struct{}{}:
		defer e.releaseTurn()
	case <-ctx.Done():
		return
	}
	for _, j := range e.jobs {
		if j.stopping == nil {
			j.stopping = &stopping{since: time.Now(), asked: map[string]bool{}}
		}
		j.stopping.then = nil
		j.move(onRemove)
	}
	for left := len(e.jobs); left > 0; {
		all, err := s.client.rows(ctx)
		if err != nil {
			break
		}
		left = 0
		for _, j := range e.jobs {
			if j.stopping == nil {
				continue
			}
			if err := e.stepStop(ctx, s, j, all); err != nil || j.stopping != nil {
				left++
			}
		}
		if left > 0 && !download.Pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	for id, j := range e.jobs {
		if j.stopping != nil {
			e.cfg.Logger.Warn("a download stays in the attached aria2c", "task", id)
		}
	}
}
