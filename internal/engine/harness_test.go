package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// world is an engine with the store that its caller has to keep: rows are changed
// by its batches alone, so that a restart shows what a real one would.
type world struct {
	t          *testing.T
	engine     *Engine
	cfg        Config
	now        model.Time // the steady clock
	ahead      model.Time // of it is the wall clock
	offline    bool       // the dispatcher is not connected
	beats      int        // heartbeats so far
	facts      []Fact     // of all turns
	imports    bool       // the turn replaces rows, in whatever state they are
	tasks      map[string]*model.Task
	workers    map[string]*model.Worker
	tombstones map[string]model.Tombstone
}

func testConfig() Config {
	return Config{
		MaxAttempts: 4, MaxLosses: 3,
		RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
		RetryAfterMax: model.Seconds(3600), RetryAfterFree: 2,
		HeartbeatInterval: model.Seconds(10), HeartbeatTimeout: model.Seconds(30),
		OfflineThreshold: model.Seconds(120),
		MaxPending:       1000, RequirementSets: 10,
	}
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{
		t: t, cfg: cfg, now: 1_000_000,
		tasks: make(map[string]*model.Task), workers: make(map[string]*model.Worker),
		tombstones: make(map[string]model.Tombstone),
	}
	w.restart()
	return w
}

// restart builds the engine again from what was committed.
func (w *world) restart() {
	counts := make(model.Counts)
	rows := slices.SortedFunc(maps.Values(w.tasks), func(a, b *model.Task) int { return int(a.Seq - b.Seq) })
	var last int64
	for _, row := range rows {
		counts[row.Status]++
		last = max(last, row.Seq)
	}
	w.engine = New(w.cfg, w.clock(), Totals{Counts: counts, LastSeq: last})
	for _, id := range slices.Sorted(maps.Keys(w.workers)) {
		w.engine.LoadWorker(w.workers[id])
	}
	for _, row := range rows {
		if !row.Status.Terminal() {
			w.engine.LoadTask(row)
		}
	}
}

func (w *world) clock() Clock { return Clock{Wall: w.now + w.ahead, Steady: w.now} }

// turn gives the engine one batch, as internal/dispatch does, and commits it.
func (w *world) turn(events ...Event) ([]Answer, Plan) {
	w.t.Helper()
	var ids []string
	for _, ev := range events {
		ids = w.engine.Needs(ev, ids)
	}
	known := make(map[string]*model.Task)
	for _, id := range ids {
		if row := w.tasks[id]; row != nil {
			known[id] = row
		}
	}
	w.engine.Begin(w.clock(), !w.offline, Lookup{Tasks: known, Tombstones: w.tombstones})
	answers := make([]Answer, len(events))
	for i, ev := range events {
		answers[i] = w.engine.Step(ev)
	}
	rest := make(map[string]*model.Task)
	for _, id := range w.engine.Unread() {
		rest[id] = w.tasks[id]
	}
	w.engine.AddRows(rest)
	plan := w.engine.Plan()
	w.facts = append(w.facts, plan.Facts...)
	w.commit(&plan.Batch)
	w.check()
	return answers, plan
}

// commit applies a batch and refuses what a store would refuse.
func (w *world) commit(b *model.Batch) {
	w.t.Helper()
	seen := make(map[string]bool)
	for i := range b.Tasks {
		c := &b.Tasks[i]
		before := w.tasks[c.ID]
		from := model.Status("")
		if before != nil {
			from = before.Status
		}
		if seen[c.ID] {
			w.t.Fatalf("task %s is written twice in one batch", c.ID)
		}
		if from != c.From {
			w.t.Fatalf("task %s: the engine believes it to be %q, the store holds %q", c.ID, c.From, from)
		}
		if c.Put != nil && before != nil && c.Put.Seq != before.Seq {
			w.t.Fatalf("task %s: its seq was %d and becomes %d", c.ID, before.Seq, c.Put.Seq)
		}
		// What may happen to a pending task may happen in the turn in which it becomes one.
		if to := c.To(); !w.imports && from != "" && to != "" && from != to && !from.CanBecome(to) && !from.CanBecome(model.StatusPending) {
			w.t.Fatalf("task %s: illegal transition %s to %s", c.ID, from, to)
		}
		seen[c.ID] = true
		if c.Delete {
			delete(w.tasks, c.ID)
			w.tombstones[c.ID] = model.Tombstone{Until: c.Keep}
			continue
		}
		w.tasks[c.ID] = c.Apply(before)
	}
	for _, c := range b.Workers {
		if c.Put == nil {
			delete(w.workers, c.ID)
			continue
		}
		w.workers[c.ID] = c.Put
	}
}

// check compares what the engine believes with what the store holds, and each of
// its parts with the others.
func (w *world) check() {
	w.t.Helper()
	e := w.engine
	counts := make(model.Counts)
	live := 0
	for id, row := range w.tasks {
		counts[row.Status]++
		t := e.tasks[id]
		if row.Status.Terminal() {
			if row.WorkerID != "" {
				w.t.Fatalf("task %s is %s and held by %s", id, row.Status, row.WorkerID)
			}
			if t != nil {
				w.t.Fatalf("task %s is %s in the store and live in the engine", id, row.Status)
			}
			continue
		}
		live++
		w.checkTask(t, row)
	}
	speed := int64(0)
	for _, t := range e.tasks {
		if t.run != nil {
			speed += min(t.run.progress.speed, maxSpeed)
		}
	}
	if speed != e.speed {
		w.t.Fatalf("the speed of all downloads is %d, counted %d", speed, e.speed)
	}
	w.checkFigures()
	if live != len(e.tasks) {
		w.t.Fatalf("the engine holds %d live tasks, the store %d", len(e.tasks), live)
	}
	for _, s := range model.Statuses {
		if counts[s] != e.counts[s] {
			w.t.Fatalf("counts[%s]: engine %d, store %d", s, e.counts[s], counts[s])
		}
	}
	for id, k := range e.workers {
		w.checkWorker(id, k)
	}
	w.checkIndex()
	w.checkPlaced()
}

// checkFigures compares what the engine counts with its tasks.
func (w *world) checkFigures() {
	w.t.Helper()
	e := w.engine
	f, sum := e.Figures(), 0
	for reason, n := range f.Waiting {
		if n < 0 {
			w.t.Fatalf("%d tasks wait for %s", n, reason)
		}
		sum += n
	}
	if pending := int(e.counts[model.StatusPending]); sum != pending {
		w.t.Fatalf("%d tasks wait by their reasons, %d are pending: %v", sum, pending, f.Waiting)
	}
}

// checkPlaced places each task once more, which must change nothing.
func (w *world) checkPlaced() {
	w.t.Helper()
	type place struct {
		placement.Position
		isWatched bool
		checkAt   model.Time
	}
	of := func(t *task) place {
		p := place{Position: t.Position(), isWatched: t.inWatch > 0}
		if p.isWatched {
			p.checkAt = t.checkAt
		}
		return p
	}
	for id, t := range w.engine.tasks { // in any order: each is looked at alone
		if due, ok := t.Due(); ok && due <= w.engine.now {
			continue // the next tick places it
		}
		before := of(t)
		if w.engine.place(t); of(t) != before {
			w.t.Fatalf("task %s was at %+v; placed again it is at %+v", id, before, of(t))
		}
	}
}

func (w *world) checkTask(t *task, row *model.Task) {
	w.t.Helper()
	if t == nil {
		w.t.Fatalf("task %s is %s in the store and unknown to the engine", row.ID, row.Status)
	}
	if t.status() != row.Status || t.attempt != row.Attempt || t.workerID() != row.WorkerID || t.extraOrZero().lastWorker != row.LastWorkerID && t.run == nil ||
		int(t.failures) != row.Failures || int(t.losses) != row.Losses || t.extraOrZero().retryAt != row.RetryAt {
		w.t.Fatalf("task %s: engine %+v, store %+v", row.ID, *t, row.TaskState)
	}
	_, deferred := t.Due()
	waiting := t.IsQueued() || deferred || t.onHold && t.status() == model.StatusPending
	if waiting != (t.status() == model.StatusPending) {
		w.t.Fatalf("task %s is %s: queued %v, deferred %v", t.ID, t.status(), t.IsQueued(), deferred)
	}
	if (t.run != nil) != t.status().Active() {
		w.t.Fatalf("task %s is %s, run %v", t.ID, t.status(), t.run)
	}
}

func (w *world) checkWorker(id string, k *worker) {
	w.t.Helper()
	for tid, t := range k.tasks {
		if t.run == nil || t.run.worker != k || w.engine.tasks[tid] != t {
			w.t.Fatalf("worker %s holds %s, which does not know of it", id, tid)
		}
	}
	slots, ahead := k.TotalSlots, k.Prefetch
	if k.isOnTrial() {
		slots, ahead = min(slots, k.held()+1), 0
		if k.faults.tried {
			slots = min(slots, k.held())
		}
	}
	if k.place.HasOffer() && (k.place.HasSlot() != (k.accepts() && k.held() < slots) || k.place.TakesTasks() != (k.accepts() && k.held() < slots+ahead)) {
		w.t.Fatalf("worker %s: holds %d with %d slots and %d ahead, accepts %v, has a slot in the index: %v, takes tasks: %v",
			id, k.held(), k.TotalSlots, k.Prefetch, k.accepts(), k.place.HasSlot(), k.place.TakesTasks())
	}
	w.checkCounts(id, k)
	if k.lost && len(k.tasks) > 0 {
		w.t.Fatalf("worker %s is lost and holds %d tasks", id, len(k.tasks))
	}
	if k.inSilent == 0 && w.cfg.OfflineThreshold > 0 {
		w.t.Fatalf("worker %s is not watched", id)
	}
}

// checkCounts compares what a worker counts of its tasks with these.
func (w *world) checkCounts(id string, k *worker) {
	w.t.Helper()
	takingBack, claimed := 0, 0
	var queued [model.PriorityUrgent]int
	for _, t := range k.tasks {
		takingBack += countIf(t.run.takenBack)
		claimed += countIf(t.run.claimed)
		if t.run.listedAs != 0 {
			queued[t.Priority()-1]++
		}
	}
	if takingBack != k.takingBack || claimed != k.claimed || queued != k.queued {
		w.t.Fatalf("worker %s counts %d taken back, %d claimed, %v queued tasks; there are %d, %d, %v",
			id, k.takingBack, k.claimed, k.queued, takingBack, claimed, queued)
	}
}

func countIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

// checkIndex compares what the index counts and sorts with what is there.
func (w *world) checkIndex() {
	w.t.Helper()
	e := w.engine
	var tasks []*placement.Task
	running, pending := map[*placement.Host]int{}, map[*placement.Client]int64{}
	for _, t := range e.tasks {
		tasks = append(tasks, &t.Task)
		if t.run != nil {
			running[t.Host()]++
		}
		if s := t.status(); s == model.StatusPending || s == model.StatusPaused {
			pending[t.Client]++
		}
		if c, ok := t.Cooldown(); ok && c.Trial != "" && (e.tasks[c.Trial] == nil || e.tasks[c.Trial].run == nil) {
			w.t.Fatalf("the task %s tries the host %s and has no worker", c.Trial, c.Host)
		}
	}
	for _, k := range e.workers {
		for _, d := range k.dropping {
			running[d.host]++
		}
	}
	for _, t := range e.tasks {
		if t.Client.Pending != pending[t.Client] {
			w.t.Fatalf("client %s counts %d waiting tasks, there are %d", t.Client.Name, t.Client.Pending, pending[t.Client])
		}
	}
	if err := e.index.Verify(tasks, running, !w.offline); err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time go by, a tick a second.
func (w *world) pass(d model.Duration) (plans []Plan) {
	for end := w.now.Add(d); w.now < end; {
		w.now += 1000
		_, p := w.turn(Tick{})
		plans = append(plans, p)
	}
	return plans
}

func spec(id string) *model.TaskSpec {
	return &model.TaskSpec{ID: id, URL: fmt.Sprintf("https://files.example/%s.bin", id)}
}
