package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// why tells what is shown of live tasks.
func (w *world) why(ids []string) []string {
	live := w.engine.Step(QueryTasks{IDs: ids}).Live
	var lines []string
	for _, id := range ids {
		state := live[id]
		line := fmt.Sprintf("%s %s", id, state.Status)
		if state.Reason != "" {
			line += ": " + state.Reason
		}
		lines = append(lines, line)
	}
	return lines
}

func (w *world) status() []string {
	s := w.engine.Step(QueryStatus{}).Status
	lines := []string{fmt.Sprintf("%d of %d workers active, %d of %d slots used, %d tasks",
		s.ActiveWorkers, s.TotalWorkers, s.UsedSlots, s.TotalSlots, s.TotalTasks)}
	for _, reason := range slices.Sorted(maps.Keys(s.Waiting)) {
		lines = append(lines, fmt.Sprintf("%d: %s", s.Waiting[reason], reason))
	}
	return lines
}

// tell puts a turn into words.
func (w *world) tell(answers []Answer, p Plan) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, a := range answers {
		w.tellAnswer(&a, say)
	}
	for _, a := range p.Assign {
		left := ""
		if a.TimeoutLeft > 0 {
			left = fmt.Sprintf(", %v left", a.TimeoutLeft)
		}
		say("assign %s#%d to %s%s", a.Task, a.Attempt, a.Worker, left)
	}
	for _, d := range p.Drop {
		say("drop %s#%d from %s: %s", d.ID, d.Attempt, d.Worker, d.Reason)
	}
	for _, ev := range p.Tasks {
		row := w.tasks[ev.ID]
		line := fmt.Sprintf("%s is %s", ev.ID, ev.Status)
		if ev.WorkerID != "" {
			line += fmt.Sprintf(" (%s, attempt %d)", ev.WorkerID, ev.Attempt)
		}
		if ev.Error != nil {
			line += fmt.Sprintf(": %s %q", ev.Error.Class, ev.Error.Message)
		}
		if ev.Status == model.StatusPending && row.RetryAt > w.clock().Wall {
			line += fmt.Sprintf(", again in %v", row.RetryAt.Sub(w.clock().Wall))
		}
		if row.Failures+row.Losses > 0 {
			line += fmt.Sprintf(" [failures %d, losses %d]", row.Failures, row.Losses)
		}
		say("%s", line)
	}
	for _, ev := range p.Workers {
		say("worker %s is %s", ev.ID, ev.Status)
	}
	for _, c := range p.Batch.Tasks {
		if c.Delete {
			say("%s is deleted", c.ID)
		}
	}
	for _, ev := range p.Progress {
		say("progress of %s: %v%%", ev.ID, ev.Progress)
	}
	for _, n := range p.Notes {
		say("note: %s (task %s, worker %s)", n.Text, n.Task, n.Worker)
	}
	return lines
}

func (w *world) tellAnswer(a *Answer, say func(string, ...any)) {
	if a.Err != nil {
		say("= %d %s", a.Err.Code, a.Err.Message)
	}
	if a.Drop != nil {
		say("= drop %s#%d: %s", a.Drop.ID, a.Drop.Attempt, a.Drop.Reason)
	}
	if shown := a.Worker; shown != nil {
		say("= worker %s: %s%s", shown.ID, shown.Status, inBrackets(shown.StatusReason))
	}
	if a.Heartbeat != nil {
		for _, g := range a.Assign {
			say("= assign %s#%d", g.Task, g.Attempt)
		}
		for _, d := range a.Heartbeat.Drop {
			say("= drop %s#%d: %s", d.ID, d.Attempt, d.Reason)
		}
		for _, f := range a.Heartbeat.Forget {
			say("= forget %s#%d", f.ID, f.Attempt)
		}
	}
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
