package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// acceptRetryAfter returns the wait that a failure asks for within the bounds, 0 if it
// asks for none.
func (e *Engine) acceptRetryAfter(why *model.TaskError, after model.Duration) model.Duration {
	if after <= 0 || why.Class != model.ClassRetryable {
		return 0
	}
	const second = model.Duration(1_000_000_000)
	return min((after+second-1)/second*second, e.cfg.RetryAfterMax)
}

// loadRetryAfter takes over from a row the wait that its last failure asked for. A wait
// that has not ended is a cool-down again.
func (e *Engine) loadRetryAfter(t *task, row *model.Task) {
	if row.Error.Waits > 0 {
		t.ensureExtra().waits = clampCount(row.Error.Waits)
	}
	if row.Error.RetryAfter <= 0 || row.Status != model.StatusPending || row.RetryAt <= e.now {
		return
	}
	t.ensureExtra().asked = true
	e.index.CoolDown(&t.Task, row.Host(), e.steady.Add(min(row.RetryAt.Sub(e.now), e.cfg.RetryAfterMax)))
}

// knownBytes returns the bytes of an assigned task that its worker has reported or had
// kept before.
func (t *task) knownBytes() int64 {
	n := t.run.progress.completed
	if x := t.extraOrZero(); x.lastWorker == t.run.worker.ID {
		n = max(n, x.bytes)
	}
	return n
}
