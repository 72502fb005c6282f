package world

import (
	"context"
	"log/slog"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// sendPoison sends the dispatcher a message with two events on which the engine panics,
// between others that it can decide. The engine has no hook for it: the first is an
// import that lacks a task, and panics when the engine has taken over the task before
// it; the second is a page of no workers. The bus lets neither pass.
func (w *world) sendPoison() {
	d := w.primary
	if d.stepper == nil {
		return
	}
	phantom := &model.Task{
		TaskSpec: model.TaskSpec{ID: "phantom", URL: "https://h0.example/phantom.bin", Priority: model.PriorityUrgent, MaxAttempts: 1},
		Client:   "phantom", TaskState: model.TaskState{Status: model.StatusPaused},
	}
	half := &model.Batch{Tasks: []model.TaskChange{{ID: phantom.ID, Put: phantom}, {ID: "hollow"}}}
	ops := []engine.Event{engine.QueryStatus{}, engine.Import{Batch: half}, engine.QueryWorkers{}, engine.QueryStatus{}}
	c := w.clients[w.faultRand.IntN(len(w.clients))]
	if n := slices.IndexFunc(c.tasks, func(t *taskWish) bool { return t.own }); n >= 0 { // what it has asked for already
		t := c.tasks[n]
		ops = append(ops, engine.Submit{Client: c.name, Spec: t.spec, Hash: t.hash, Chosen: true})
	}
	w.trace("%s: a poison message", d.name)
	w.countFault(PoisonEvent)
	d.receive(false, ops, func([]engine.Answer) {})
}

// checkPanic requires that no other event panics: a recovered panic is still a bug.
func (l *logger) checkPanic(r *slog.Record) {
	panicked, event, why := false, "", ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "stack":
			panicked = true
			why += "\n" + a.Value.String()
		case "event":
			event = a.Value.String()
		case "error":
			why = a.Value.String() + why
		}
		return true
	})
	if panicked && event != "engine.Import" && event != "engine.QueryWorkers" {
		l.d.world.violate("no-panic", "%s %s: %s", r.Message, event, why)
	}
}

// Enabled implements [slog.Handler].
func (l *logger) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// unreadable draws which of n entries the receiver cannot read, -1 = each is readable.
func (k *worker) unreadable(n int) int {
	if !k.hasUnreadable || n == 0 || !chance(k.w.workerRand, 2) {
		return -1
	}
	k.w.countFault(Unreadable)
	return k.w.workerRand.IntN(n)
}

// withRefusal puts the bus's own refusal between the answers of the others.
func withRefusal(answers []engine.Answer, at int) []engine.Answer {
	if at < 0 {
		return answers
	}
	refusal := engine.Answer{Err: model.Errorf(model.CodeInvalid, "it cannot be read")}
	return slices.Insert(slices.Clone(answers), at, refusal)
}

// makeUnreadable makes one entry of a heartbeat unreadable except its attempt: it
// is received as the bus repairs it, as a report that changes no status.
func (k *worker) makeUnreadable(h *model.Heartbeat) {
	if at := k.unreadable(len(h.Tasks)); at >= 0 {
		r := &h.Tasks[at]
		*r = model.Report{ID: r.ID, Attempt: r.Attempt, Status: model.ReportPaused}
	}
}
