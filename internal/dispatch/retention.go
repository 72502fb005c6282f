package dispatch

import (
	"context"
	"math"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Retention says how long tasks that have ended are kept; 0 = without limit.
type Retention struct {
	Completed model.Duration
	Failed    model.Duration
	Canceled  model.Duration
}

const (
	sweepLimit = 1000                // rows that one turn deletes
	sweepFull  = model.Time(50)      // ms to the next step while there are as many
	sweepStep  = model.Time(1000)    // while there are rows to look at
	sweepRest  = model.Time(60_000)  // at most, when all were looked at
	forgetRest = model.Time(600_000) // between two times that tombstones are forgotten, if nothing is deleted
)

// sweep is how far the deletion of old rows has come.
type sweep struct {
	after    int64      // Seq that was looked at last
	nextAt   model.Time // of the next step, on the steady clock
	forgetAt model.Time
}

// cutoffs returns, by status, the time before which a task must have ended to be deleted.
func (r Retention) cutoffs(now model.Time) map[model.Status]model.Time {
	before := make(map[model.Status]model.Time)
	for status, keep := range map[model.Status]model.Duration{
		model.StatusCompleted: r.Completed, model.StatusFailed: r.Failed, model.StatusCanceled: r.Canceled,
	} {
		if keep > 0 {
			before[status] = now.Add(-keep)
		}
	}
	return before
}

// pause is the pause between two walks over all rows: short where rows are to be
// kept a short time only.
func (r Retention) pause() model.Time {
	rest := sweepRest
	for _, keep := range []model.Duration{r.Completed, r.Failed, r.Canceled} {
		if keep > 0 {
			rest = min(rest, max(model.Time(0).Add(keep)/2, sweepStep))
		}
	}
	return rest
}

// addExpired puts what retention has found into the batch, before what is asked for: a
// row is unchanged when the engine comes to it.
func (l *loop) addExpired(ctx context.Context, now engine.Clock) {
	s := &l.sweep
	x := engine.Expire{Forget: now.Steady >= s.forgetAt}
	if now.Steady >= s.nextAt {
		bug := guard(func() { x.Rows = l.sweepNext(ctx, now) })
		if bug != nil {
			s.nextAt = now.Steady + sweepRest
			l.logPanic("expired tasks cannot be looked up", bug)
		}
	}
	if len(x.Rows) == 0 && !x.Forget {
		return
	}
	x.Forget = true // as many as are made, so that they do not grow
	s.forgetAt = now.Steady + forgetRest
	l.batch.events = slices.Insert(l.batch.events, 0, engine.Event(x))
	if len(x.Rows) > 0 {
		l.cfg.Logger.Debug("expired tasks are deleted", "tasks", len(x.Rows))
	}
}

// sweepNext looks at the next rows, and plans the step after it. Rows that cannot be
// read are looked at again.
func (l *loop) sweepNext(ctx context.Context, now engine.Clock) []model.TaskChange {
	s := &l.sweep
	before := l.cfg.Retention.cutoffs(now.Wall)
	if len(before) == 0 {
		s.nextAt = math.MaxInt64
		return nil
	}
	rows, next, err := l.cfg.Store.Expired(ctx, before, s.after, sweepLimit)
	if err != nil {
		l.cfg.Logger.Warn("expired tasks cannot be looked up", "error", err)
		s.nextAt = now.Steady + sweepStep
		return nil
	}
	s.after = next
	switch {
	case len(rows) == sweepLimit:
		s.nextAt = now.Steady + sweepFull
	case next > 0:
		s.nextAt = now.Steady + sweepStep
	default:
		s.nextAt = now.Steady + l.cfg.Retention.pause()
	}
	return rows
}
