package ariacli

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
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

// notCompleted says how many tasks of those that have ended did not complete.
func notCompleted(bad, ended int) string {
	return display.Portion(int64(bad), int64(ended), "task") + " did not complete"
}

// incomplete is the error of a command that waited for tasks, if bad of them did not complete.
func incomplete(failed []*model.Error, bad, ended int) error {
	return ofTasks(failed, int64(ended), &failure{exit: exitNotDone, said: *model.Errorf(model.CodeConflict, "%s", notCompleted(bad, ended))})
}

// failureOf is the error of a task that has ended and is not completed.
func failureOf(t *model.Task) *model.Error {
	text := string(t.Status)
	if t.Error != nil {
		text += ": " + t.Error.Message
	}
	return model.Errorf(model.CodeConflict, "%s", text).For(t.ID)
}

// waitList has the tasks of --wait. Ids are printed as the tasks are stored; records wait for
// the end and have the last states of the tasks. A nil one waits for nothing.
type waitList struct {
	ids     []string // in the order of their submission
	last    map[string]*model.Task
	records *printer[submitted] // nil if ids are printed
}

// hold makes the records of a printer wait.
func (w *waitList) hold(p *printer[submitted]) {
	if w != nil && p.form.kind != formID {
		p.hold, w.records = true, p
	}
}

// add adds a task that was stored.
func (w *waitList) add(id string, status model.Status) {
	if w == nil || w.last[id] != nil {
		return
	}
	w.ids = append(w.ids, id)
	w.keep(&model.Task{TaskSpec: model.TaskSpec{ID: id}, TaskState: model.TaskState{Status: status}})
}

// keep keeps what is printed of the state of a task; there may be many tasks.
func (w *waitList) keep(t *model.Task) {
	w.last[t.ID] = &model.Task{
		TaskSpec:  model.TaskSpec{ID: t.ID},
		TaskState: model.TaskState{Status: t.Status, Reason: t.Reason, Error: t.Error},
	}
}

// end prints the records, and returns err or the error of the output.
func (w *waitList) end(err error) error {
	if w == nil || w.records == nil {
		return err
	}
	return w.records.release(err, func(t submitted) submitted {
		if last := w.last[t.ID]; last != nil && t.Error == nil {
			if t.Status = last.Status; hasEnded(t.Status) && t.Status != model.StatusCompleted {
				t.Error = failureOf(last)
			}
		}
		return t
	})
}

// hasEnded reports whether a task has ended, or another user has deleted it.
func hasEnded(s model.Status) bool { return s.Terminal() || s == statusUnknown }

// unfinished lists at most n tasks that have not ended, with their states and why they wait.
func (w *waitList) unfinished(n int) (list []*model.Error) {
	for _, id := range w.ids {
		t := w.last[id]
		if hasEnded(t.Status) || len(list) == n {
			continue
		}
		text := string(t.Status)
		if t.Reason != "" {
			text += ": " + withLocalTimes(t.Reason)
		}
		list = append(list, model.Errorf(codeTimeout, "%s", text).For(id))
	}
	return list
}

// await waits until the tasks have ended. It is an error if one did not complete, or the
// time is over.
func (a *addRun) await(ctx context.Context) error {
	w := a.input.wait
	limit, err := parseWait(a.wait)
	if err != nil || w == nil || len(w.ids) == 0 {
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
	ended, bad := 0, 0
	var listed []*model.Error
	err = a.show(ctx, &tasks.Tasks, w.ids, a.input.progress, func(t *model.Task, end bool) {
		w.keep(t)
		if !end {
			return
		}
		if ended++; t.Status == model.StatusCompleted {
			return
		}
		if bad++; bad <= maxListed {
			listed = append(listed, failureOf(t))
		}
	})
	left := len(w.ids) - ended
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errWaitOver):
		listed = append(listed, w.unfinished(maxListed-len(listed))...)
		return &failure{
			exit: exitWaitOver, cause: err, all: listed, more: bad + left - len(listed),
			said: *model.Errorf(codeTimeout, "%s did not end within %v; aria watch follows them", display.Portion(int64(left), int64(len(w.ids)), "task"), limit),
		}
	case err != nil:
		if ctx.Err() != nil && left > 0 {
			a.hintf("the downloads continue; aria watch follows them")
		}
		if bad > 0 {
			return a.partly(err, notCompleted(bad, ended), listed, int64(bad))
		}
		return err
	case bad > 0:
		return incomplete(listed, bad, ended)
	}
	return nil
}
