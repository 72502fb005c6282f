package dispatch

import (
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// oplogBurst is how many lines of one kind the log gets in a quiet time: a whole
// cluster that starts is shown, a list of bad URLs does not fill the disk.
const oplogBurst = 100

// oplog logs changes of workers and failures of tasks for operators, after the commit.
type oplog struct {
	logger                                *slog.Logger
	joined, back, left, removed, off, bad logthrottle.Throttle
}

func newOplog(logger *slog.Logger) *oplog {
	o := &oplog{logger: logger}
	for _, t := range []*logthrottle.Throttle{&o.joined, &o.back, &o.left, &o.removed, &o.off, &o.bad} {
		t.Burst = oplogBurst
	}
	return o
}

// worker logs that a worker came, went or was forgotten.
func (o *oplog) worker(ev *model.WorkerEvent) {
	switch {
	case ev.Status == model.WorkerRemoved:
		o.removed.Log(o.logger, slog.LevelInfo, "worker removed", "worker", ev.ID)
	case ev.Status == model.WorkerOffline && ev.Left:
		o.left.Log(o.logger, slog.LevelInfo, "worker left", "worker", ev.ID, "tasks", ev.Tasks)
	case ev.Status == model.WorkerOffline:
		o.off.Log(o.logger, slog.LevelWarn, "worker offline", "worker", ev.ID, "tasks", ev.Tasks)
	case ev.Before == "":
		o.joined.Log(o.logger, slog.LevelInfo, "worker joined", "worker", ev.ID, "status", ev.Status)
	case ev.Before == model.WorkerOffline:
		o.back.Log(o.logger, slog.LevelInfo, "worker back", "worker", ev.ID, "status", ev.Status)
	}
}

// task logs that a task failed for good.
func (o *oplog) task(ev *model.TaskEvent) {
	if ev.Status != model.StatusFailed {
		return
	}
	reason := ""
	if ev.Error != nil {
		reason = ev.Error.Message
	}
	args := []any{"task", ev.ID, "attempt", ev.Attempt, "worker", ev.WorkerID, "client", ev.Client, "error", reason}
	if ev.Traceparent != "" {
		args = append(args, "traceparent", ev.Traceparent)
	}
	o.bad.Log(o.logger, slog.LevelWarn, "task failed for good", args...)
}
