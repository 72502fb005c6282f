package engine

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// moved is a row of another store.
func moved(id string, seq int64, status model.Status) *model.Task {
	t := &model.Task{
		TaskSpec: *spec(id), Client: "shop", Seq: seq, CreatedAt: 1,
		TaskState: model.TaskState{Status: status, UpdatedAt: 1},
	}
	t.Normalize(4)
	if status.Active() {
		t.Attempt, t.WorkerID, t.AssignedAt = 3, "old", 1
	}
	return t
}

func (w *world) importRows(workers []*model.Worker, tasks ...*model.Task) Plan {
	w.t.Helper()
	b := &model.Batch{}
	for _, row := range workers {
		b.Workers = append(b.Workers, model.WorkerChange{ID: row.ID, Put: row})
	}
	for _, row := range tasks {
		c := model.TaskChange{ID: row.ID, Put: row}
		if there := w.tasks[row.ID]; there != nil {
			c.From = there.Status
		}
		b.Tasks = append(b.Tasks, c)
	}
	w.imports = true
	_, plan := w.turn(Import{b})
	w.imports = false
	return plan
}

// An import is held back keeps its order and runs after its release.
func TestImport_RunsInOrderAfterFinish(t *testing.T) {
	w := newWorld(t, testConfig())
	old := &model.Worker{ID: "old", Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: 5}
	w.turn(w.event([]string{"heartbeat", "new", "slots=2"}), w.event([]string{"submit", "shop", "own"}))
	w.turn(BeginImport{})
	plan := w.importRows([]*model.Worker{old},
		moved("m1", 1, model.StatusPending), moved("m2", 2, model.StatusDownloading),
		moved("m3", 3, model.StatusCompleted), moved("m4", 4, model.StatusPaused), moved("m5", 5, model.StatusPending))
	if len(plan.Assign) > 0 || len(plan.Tasks) > 0 {
		t.Fatalf("the import led to %+v", plan)
	}
	for i, id := range []string{"own", "m1", "m2", "m3", "m4", "m5"} {
		if seq := w.tasks[id].Seq; seq != int64(i+1) && id != "own" {
			t.Errorf("%s has seq %d", id, seq)
		}
	}
	// Time passes: the worker that nobody has heard here keeps its task, for the
	// import is not at its end; and no report is answered with unknown.
	w.pass(model.Seconds(100))
	if row := w.tasks["m2"]; row.Status != model.StatusDownloading || row.Attempt != 3 || row.WorkerID != "old" {
		t.Errorf("m2 is %+v", row.TaskState)
	}
	answers, _ := w.turn(w.event([]string{"heartbeat", "other", "slots=0", "holds=ghost#1:downloading:1"}))
	if len(answers[0].Heartbeat.Drop) > 0 {
		t.Errorf("during the import the worker is told to drop %v", answers[0].Heartbeat.Drop)
	}
	w.turn(w.event([]string{"heartbeat", "new", "slots=2", "holds=own#1:downloading:1"}))
	_, plan = w.turn(FinishImport{})
	if len(plan.Assign) != 1 || plan.Assign[0].Task != "m1" {
		t.Errorf("after the release %+v, want m1", plan.Assign)
	}
	// The old worker is heard: it continues with what it had.
	answers, _ = w.turn(w.event([]string{"heartbeat", "old", "instance=i", "epoch=1", "slots=5", "holds=m2#3:completed"}))
	if f := answers[0].Heartbeat.Forget; len(f) != 1 || w.tasks["m2"].Status != model.StatusCompleted {
		t.Errorf("forget %v, m2 is %s", f, w.tasks["m2"].Status)
	}
}

// What is paused and resumed during an import is held back as well.
func TestImport_PausedAndResumedStaysOnHold(t *testing.T) {
	w := newWorld(t, testConfig())
	w.turn(w.event([]string{"heartbeat", "new", "slots=5"}))
	w.turn(BeginImport{})
	old := &model.Worker{ID: "old", Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: 5}
	w.importRows([]*model.Worker{old},
		moved("m1", 1, model.StatusPending), moved("m2", 2, model.StatusDownloading), moved("m3", 3, model.StatusPaused),
		moved("m4", 4, model.StatusPending))
	reasons := func(want map[string]int) {
		t.Helper()
		if got := w.engine.Step(QueryStatus{}).Status.Waiting; !maps.Equal(got, want) {
			t.Errorf("what waits is %v, want %v", got, want)
		}
	}
	const held = "is held back until its import is verified"
	reasons(map[string]int{held: 2})
	for _, words := range []string{"pause shop m1", "resume shop m1", "resume shop m3", "pause shop m4", "heartbeat new slots=5"} {
		if _, plan := w.turn(w.event(strings.Fields(words))); len(plan.Assign) > 0 {
			t.Fatalf("after %q: %+v", words, plan.Assign)
		}
	}
	reasons(map[string]int{held: 2})
	w.turn(w.event([]string{"pause", "shop", "m2"}))
	reasons(map[string]int{held: 2})
	if lines := w.why([]string{"m1", "m3", "m4"}); !slices.Equal(lines, []string{"m1 pending: " + held, "m3 pending: " + held, "m4 paused"}) {
		t.Errorf("why: %q", lines)
	}
	_, plan := w.turn(FinishImport{})
	placed := make([]string, 0, len(plan.Assign))
	for _, a := range plan.Assign {
		placed = append(placed, a.Task)
	}
	if !slices.Equal(placed, []string{"m1", "m3"}) {
		t.Errorf("after the release %v are placed", placed)
	}
	reasons(map[string]int{})
}

// An import replaces what is there in whatever state it is. Another task of its client
// stays, so that what is counted for the client stays too.
func TestImport_ReplacesTaskInAnyState(t *testing.T) {
	for _, from := range model.Statuses {
		for _, to := range model.Statuses {
			t.Run(fmt.Sprintf("%s by %s", from, to), func(t *testing.T) {
				w := newWorld(t, testConfig())
				w.turn(w.event([]string{"submit", "shop", "other"}), BeginImport{})
				old := &model.Worker{ID: "old", Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: 5}
				w.importRows([]*model.Worker{old}, moved("m", 7, from))
				w.importRows(nil, moved("m", 7, to))
				w.turn(FinishImport{})
				if row := w.tasks["m"]; row.Status != to || row.Seq != 7 {
					t.Errorf("it is %s with seq %d", row.Status, row.Seq)
				}
			})
		}
	}
}

// Workers may come before their tasks or after them.
func TestImport_WorkersBeforeOrAfterTasks(t *testing.T) {
	old := &model.Worker{ID: "old", Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: 5}
	task := moved("m", 1, model.StatusDownloading)
	task.Timeout = model.Seconds(1)
	for name, steps := range map[string][]func(*world){
		"before": {func(w *world) { w.importRows([]*model.Worker{old}) }, func(w *world) { w.importRows(nil, task) }},
		"after":  {func(w *world) { w.importRows(nil, task) }, func(w *world) { w.importRows([]*model.Worker{old}) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.turn(BeginImport{})
			for _, step := range steps {
				step(w)
			}
			w.pass(model.Seconds(100)) // also longer than the attempt's timeout
			if row := w.tasks["m"]; !reflect.DeepEqual(row.TaskState, task.TaskState) {
				t.Errorf("it is %+v", row.TaskState)
			}
			if row := w.workers["old"]; row.Instance != "i" || row.TotalSlots != 5 {
				t.Errorf("the worker is %+v", row)
			}
		})
	}
}

// A living worker keeps its own row.
func TestImport_LiveWorkerKeepsItsRow(t *testing.T) {
	w := newWorld(t, testConfig())
	w.turn(w.event([]string{"heartbeat", "w1", "slots=2"}))
	plan := w.importRows([]*model.Worker{{ID: "w1", Instance: "another", Status: model.WorkerOnline}})
	if len(plan.Batch.Workers) > 0 || w.workers["w1"].Instance != "w1-i" {
		t.Errorf("its row is %+v", w.workers["w1"])
	}
}

// An abandoned import holds its tasks back and nothing else.
func TestImport_AbortKeepsOnlyItsTasksOnHold(t *testing.T) {
	w := newWorld(t, testConfig())
	w.turn(w.event([]string{"heartbeat", "new", "slots=2"}))
	w.turn(BeginImport{})
	old := &model.Worker{ID: "old", Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: 5}
	w.importRows([]*model.Worker{old}, moved("m1", 1, model.StatusPending), moved("m2", 2, model.StatusDownloading))
	w.turn(AbortImport{})
	w.pass(model.Seconds(60))
	// The worker without a heartbeat is lost; its tasks wait with the rest.
	if row := w.tasks["m2"]; row.Status != model.StatusPending || w.engine.tasks["m1"].run != nil {
		t.Errorf("m2 is %+v", row.TaskState)
	}
	if a, _ := w.turn(w.event([]string{"report", "new", "x#1:downloading:1"})); a[0].Drop == nil || a[0].Drop.Reason != model.DropUnknown {
		t.Errorf("an unknown task is answered %+v", a[0])
	}
	w.turn(BeginImport{})
	_, plan := w.turn(FinishImport{}, w.event([]string{"heartbeat", "new", "slots=2"}))
	if len(plan.Assign) != 2 {
		t.Errorf("after another import %d tasks are placed", len(plan.Assign))
	}
}

// A row that was written by hand is taken as it is.
func TestLoad_InvalidRowIsTaken(t *testing.T) {
	w := newWorld(t, testConfig())
	row := moved("m1", 1, model.StatusPending)
	row.Priority = 77
	w.tasks["m1"] = row
	w.restart()
	if _, plan := w.turn(w.event([]string{"heartbeat", "new"})); len(plan.Assign) != 1 {
		t.Errorf("%d tasks are placed", len(plan.Assign))
	}
}
