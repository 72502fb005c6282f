package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// sliceWorld is a world with room for many tasks, and one worker with one slot.
func sliceWorld(t *testing.T) *world {
	t.Helper()
	cfg := testConfig()
	cfg.MaxPending = 1_000_000
	w := newWorld(t, cfg)
	w.turn(w.event([]string{"heartbeat", "w1", "slots=1"}))
	return w
}

// importMany imports pending tasks as the next of an import, and returns their ids.
func (w *world) importMany(name string, n int, priority model.Priority) map[string]struct{} {
	w.t.Helper()
	ids, rows := make(map[string]struct{}, n), make([]*model.Task, n)
	for i := range rows {
		rows[i] = moved(fmt.Sprint(name, i), 1, model.StatusPending)
		rows[i].Priority = priority
		ids[rows[i].ID] = struct{}{}
	}
	w.importRows(nil, rows...)
	return ids
}

// heldCount is how many tasks are held back.
func (w *world) heldCount() (n int) {
	for _, t := range w.engine.tasks {
		n += countIf(t.onHold)
	}
	return n
}

// The end of a large import is many turns. Each releases a bounded number of tasks, answers what
// is asked meanwhile, and asks for the next turn; nothing is placed before the last one, so that
// the task of the highest priority goes first although it was imported last.
func TestImport_ReleaseIsBoundedPerTurn(t *testing.T) {
	w := sliceWorld(t)
	w.turn(BeginImport{})
	w.importMany("low", 2*maxReleases, model.PriorityLow)
	w.importMany("urgent", 1, model.PriorityUrgent)
	held := w.heldCount()
	_, plan := w.turn(FinishImport{})
	for turn := 0; ; turn++ {
		now := w.heldCount()
		if held-now > maxReleases {
			t.Fatalf("the turn %d releases %d tasks", turn, held-now)
		}
		held = now
		if !plan.More {
			break
		}
		if held == 0 || len(plan.Assign) > 0 {
			t.Fatalf("the turn %d places %v while %d tasks are held back", turn, plan.Assign, held)
		}
		_, plan = w.turn(w.event(strings.Fields(fmt.Sprintf("cancel shop low%d", 2*maxReleases-1-turn))))
	}
	if held > 0 || len(plan.Assign) != 1 || plan.Assign[0].Task != "urgent0" {
		t.Errorf("at the end %d tasks are held back, and %v are placed; want urgent0", held, plan.Assign)
	}
}

// Each import releases what it has verified, also if it ends while an earlier one is released, and
// nothing else: what an abandoned import has left stays held back.
func TestImport_ReleasesOverlap(t *testing.T) {
	w := sliceWorld(t)
	w.turn(BeginImport{})
	w.importMany("left", maxReleases, model.PriorityNormal)
	w.turn(AbortImport{})
	w.turn(BeginImport{})
	first := w.importMany("first", maxReleases, model.PriorityNormal)
	_, plan := w.turn(FinishImport{Tasks: first})
	if !plan.More {
		t.Fatal("the first import is released in one turn")
	}
	w.turn(BeginImport{})
	second := w.importMany("second", 10, model.PriorityNormal)
	second["left3"] = struct{}{}
	w.turn(FinishImport{Tasks: second})
	for more := true; more; {
		_, plan := w.turn()
		more = plan.More
	}
	for id, want := range map[string]bool{"left2": true, "left3": false, "first0": false, fmt.Sprint("first", maxReleases-1): false, "second0": false, "second9": false} {
		if w.engine.IsHeld(id) != want {
			t.Errorf("%s is held back: %v", id, !want)
		}
	}
	if n := w.heldCount(); n != maxReleases-1 {
		t.Errorf("%d tasks are held back, want all but one of the abandoned import", n)
	}
}

// What an [ImportHold] knows after the first turn of a release is enough for a reload: it holds
// nothing back that is verified.
func TestImport_ReloadEndsTheRelease(t *testing.T) {
	hold := ImportHold{Tasks: make(map[string]struct{})}
	w := sliceWorld(t)
	w.engine.Step(BeginImport{})
	hold.Active = true
	w.imports = true
	var batch model.Batch
	verified := make(map[string]struct{})
	for i := range 2 * maxReleases {
		row := moved(fmt.Sprint("m", i), 1, model.StatusPending)
		batch.Tasks = append(batch.Tasks, model.TaskChange{ID: row.ID, Put: row})
		if i > 0 {
			verified[row.ID] = struct{}{}
		}
	}
	for _, ev := range []Event{Import{&batch}, FinishImport{Tasks: verified}} {
		_, plan := w.turn(ev)
		hold.Apply(&plan.Hold)
	}
	if _, left := hold.Tasks["m0"]; hold.Active || len(hold.Tasks) != 1 || !left {
		t.Errorf("the hold is active: %v, with %d tasks, want m0 alone", hold.Active, len(hold.Tasks))
	}
}

// After the wall clock was set back no backoff takes longer than the longest, however many tasks
// wait: each turn shortens a bounded number of them, and asks for the next turn.
func TestClock_BackoffsAreShortenedInSlices(t *testing.T) {
	w := sliceWorld(t)
	const n, hour = 2 * maxReschedules, model.Time(3_600_000)
	w.imports, w.ahead = true, hour
	w.turn()
	var batch model.Batch
	for i := range n {
		row := moved(fmt.Sprint("m", i), 1, model.StatusPending)
		row.Attempt, row.LastWorkerID, row.Failures = 1, "w9", 1
		row.RetryAt = w.clock().Wall + model.Time(i)%200_000 + 1000
		row.Error = &model.TaskError{Code: 1, Class: model.ClassRetryable}
		if i%2 == 0 {
			row.NotBefore = w.clock().Wall + 100*hour
		}
		batch.Tasks = append(batch.Tasks, model.TaskChange{ID: row.ID, Put: row})
	}
	w.turn(BeginImport{}, Import{&batch})
	for more := true; more; {
		_, plan := w.turn(FinishImport{})
		more = plan.More
	}
	late := func() (n int) {
		for _, t := range w.engine.tasks {
			if due, ok := t.Due(); ok && t.extraOrZero().notBefore == 0 && due > w.clock().Wall.Add(w.cfg.RetryDelay) {
				n++
			}
		}
		return n
	}
	w.ahead = 0
	turns, before := 0, n/2
	for more := true; more; turns++ {
		_, plan := w.turn()
		more = plan.More
		if now := late(); before-now > maxReschedules {
			t.Fatalf("one turn shortens %d backoffs", before-now)
		} else if before = now; more && turns == 1 {
			w.turn(Tick{}, w.event(strings.Fields("cancel shop m1")), w.event(strings.Fields("cancel shop m3")))
		}
	}
	if before > 0 || turns < n/maxReschedules-1 {
		t.Errorf("after %d turns %d backoffs are too long", turns, before)
	}
	w.now = w.now.Add(w.cfg.RetryDelay)
	w.turn(Tick{})
	for id, task := range w.engine.tasks {
		if _, waits := task.Due(); waits != (task.extraOrZero().notBefore > 0) {
			t.Fatalf("%s still waits: %v", id, waits)
		}
	}
}
