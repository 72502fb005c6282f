package ariacli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// waitForever is the value of --wait without a duration.
const waitForever = "forever"

// errWaitOver is the cause of a context that --wait has ended.
var errWaitOver = errors.New("the time of --wait is over")

// parseWait reads the flag --wait; 0 is no limit.
func parseWait(text string) (time.Duration, error) {
	if text == "" || text == waitForever {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usagef("--wait: %q is not a time to wait, such as 10m", text)
	}
	return d, nil
}

// incomplete is the error of a command that waited for tasks, if bad of them did not complete.
func incomplete(failed []*model.Error, bad, ended int) error {
	return ofTasks(failed, int64(ended), &failure{exit: exitNotDone, said: *model.Errorf(model.CodeConflict, "%d of %d tasks did not complete", bad, ended)})
}

// await waits until the tasks have ended. It is an error if one did not complete, or the
// time is over.
func (a *addRun) await(ctx context.Context, ids []string) error {
	limit, err := parseWait(a.wait)
	if err != nil || len(ids) == 0 {
		return err
	}
	tasks, err := a.tasks(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if limit > 0 {
		defer time.AfterFunc(limit, func() { cancel(errWaitOver) }).Stop()
	}
	ended := 0
	var bad []*model.Error
	err = a.show(ctx, &tasks.Tasks, ids, a.input.progress, func(t *model.Task) {
		ended++
		if t.Status == model.StatusCompleted {
			return
		}
		text := string(t.Status)
		if t.Error != nil {
			text += ": " + t.Error.Message
		}
		bad = append(bad, model.Errorf(model.CodeConflict, "%s", text).For(t.ID))
	})
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errWaitOver):
		return &failure{exit: exitWaitOver, cause: err, said: *model.Errorf(model.CodeUnavailable,
			"%d of %d tasks have not ended after %v; aria watch follows them", len(ids)-ended, len(ids), limit)}
	case err != nil:
		if ctx.Err() != nil && ended < len(ids) {
			a.hintf("the downloads continue; aria watch follows them")
		}
		if len(bad) > 0 {
			return a.partly(err, fmt.Sprintf("%d of %d tasks did not complete", len(bad), ended), bad[:min(len(bad), maxListed)], int64(len(bad)))
		}
		return err
	case len(bad) > 0:
		return incomplete(bad[:min(len(bad), maxListed)], len(bad), ended)
	}
	return nil
}
