package world

import (
	"fmt"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// worker is a model of internal/worker: a journal that survives a crash, bytes on a
// disk, reports that are repeated until they are answered, and finished attempts.
type worker struct {
	w        *world
	name     string
	instance string
	epoch    int64
	seq      int64
	slots    int
	prefetch int // tasks that it holds beyond its slots
	caps     model.Capabilities
	health   model.HealthMetrics

	isUp       bool
	generation int // raised by each start and stop, so that what was planned before is void
	frozen     model.Time
	waiting    []func() // came while it was frozen
	admitted   bool
	interval   model.Time
	cutOff     cutOff

	tasks            []*heldTask // the journal: the tasks that it holds
	finishedAttempts []finishedAttempt
	bytes            map[string]int64 // of each task on the disk

	heartbeatOpen, reportOpen bool
	nextReport                model.Time
	reportPlanned             bool

	// Set by faults.
	ignoresAssignments bool // neither accepts nor lists
	listsOthers        bool // lists and reports tasks of others
	refusesAll         bool // rejects each assignment
	isBroken           bool // each download fails at once
	isExhausted        bool // its health is at the worst
	state              model.WorkerState
	hasUnreadable      bool // sometimes one entry that it lists or reports cannot be read
	listedAtOnce       int  // lists only so many at a time; 0 = all
	cursor             string
	isTwin             bool // will not come back
}

// heldTask is one task of a worker.
type heldTask struct {
	task        *model.Task
	attempt     int64
	report      model.Report
	finished    bool
	queued      bool // it has not begun it: its slots are in use
	refused     bool // never taken: in no journal
	drop        *model.Drop
	next        *model.Assignment // waits for the drop
	started     model.Time
	startedWith int64 // bytes when it started
	speed       int64 // bytes/s
	version     int
	announced   bool
}

// finishedAttempt is an attempt that has finished; the worker ignores commands about it.
type finishedAttempt struct {
	id      string
	attempt int64
	until   model.Time
}

const rememberFinishedFor = model.Time(10 * 60 * 1000)

func (w *world) addWorker(name string) *worker {
	r := w.workerRand
	k := &worker{
		w: w, name: name, slots: pick(r, 1, 1, 2, 3, 4), bytes: make(map[string]int64), state: model.StateReady,
		caps: model.Capabilities{Protocols: []string{"http", "https", "ftp"}, SupportsBT: chance(r, 2), DiskSpace: 1 << 30},
	}
	k.health = model.HealthMetrics{CPUUsage: float64(r.IntN(100)), MemoryUsage: float64(r.IntN(90)), DiskFree: int64(pick(r, 0, 20<<20, 1<<30, 1<<30))}
	if chance(r, 2) {
		k.caps.Tags = map[string]string{"location": []string{"eu", "us"}[r.IntN(2)]}
	}
	if chance(r, 3) {
		k.caps.Folders = []string{"films"}
	}
	if chance(r, 2) {
		k.prefetch = 1 + r.IntN(3)
	}
	k.eraseDisk()
	w.workers = append(w.workers, k)
	w.planIn(between(r, 0, 3000), k.start)
	return k
}

// eraseDisk gives the worker an empty disk, and so a new instance.
func (k *worker) eraseDisk() {
	k.instance = fmt.Sprintf("i%08x", k.w.workerRand.Uint32())
	k.epoch, k.tasks, k.finishedAttempts = 0, nil, nil
	clear(k.bytes)
}

func (k *worker) start() {
	if k.isUp {
		return
	}
	k.isUp, k.admitted, k.heartbeatOpen, k.reportOpen, k.reportPlanned = true, false, false, false, false
	k.frozen, k.waiting = 0, nil
	k.generation++
	k.epoch++
	k.seq = 0
	k.interval = 5000
	k.w.trace("%s: starts, instance %s, epoch %d, holds %d", k.name, k.instance, k.epoch, len(k.tasks))
	for _, h := range k.tasks {
		h.announced = false
		if !h.finished && h.drop == nil && !h.queued {
			k.begin(h)
		}
	}
	k.beginNext()
	k.planHeartbeat(k.generation, 0)
}

// crash ends the process; the journal and the bytes stay.
func (k *worker) crash() {
	if !k.isUp {
		return
	}
	k.isUp = false
	k.generation++
	k.finishedAttempts = nil
	for _, h := range k.tasks {
		k.savePartialFile(h)
		h.next = nil
		h.drop = nil // the dispatcher repeats it
	}
	k.tasks = slices.DeleteFunc(k.tasks, func(h *heldTask) bool { return h.refused })
}

// receive executes a command, now or when the worker wakes.
func (k *worker) receive(obey func()) {
	if k.w.now < k.frozen {
		k.waiting = append(k.waiting, obey)
		return
	}
	obey()
}

// planInLife has something done later in this life, and not while it is frozen.
func (k *worker) planInLife(after model.Time, do func()) {
	life := k.generation
	k.w.planIn(after, func() {
		if k.isUp && k.generation == life {
			k.receive(do)
		}
	})
}

// freeze stops the process for a time (SIGSTOP); then it continues.
func (k *worker) freeze(d model.Time) {
	k.frozen = k.w.now + d
	life := k.generation
	k.w.planIn(d, func() {
		if !k.isUp || k.generation != life {
			return
		}
		k.w.trace("%s: wakes", k.name)
		waiting := k.waiting
		k.waiting = nil
		for _, do := range waiting {
			do()
		}
	})
}

func (k *worker) find(id string) *heldTask {
	for _, h := range k.tasks {
		if h.task.ID == id {
			return h
		}
	}
	return nil
}

func (k *worker) busy() int {
	n := 0
	for _, h := range k.tasks {
		if !h.finished && h.drop == nil {
			n++
		}
	}
	return n
}

// running is the number of slots in use.
func (k *worker) running() int {
	n := 0
	for _, h := range k.tasks {
		if !h.finished && !h.queued && h.drop == nil {
			n++
		}
	}
	return n
}

// beginNext begins what the free slots allow: the highest priority first, then by id.
func (k *worker) beginNext() {
	for k.running() < k.slots {
		var next *heldTask
		for _, h := range k.tasks {
			if h.queued && !h.finished && h.drop == nil && (next == nil || h.task.Priority > next.task.Priority ||
				h.task.Priority == next.task.Priority && h.task.ID < next.task.ID) {
				next = h
			}
		}
		if next == nil {
			return
		}
		next.queued, next.announced = false, false
		k.w.trace("%s: begins %s#%d", k.name, next.task.ID, next.attempt)
		k.begin(next)
		k.planReports()
	}
}

// planHeartbeat sends the next heartbeat of this life after a while.
func (k *worker) planHeartbeat(life int, after model.Time) {
	k.w.planIn(after, func() {
		if k.isUp && k.generation == life {
			k.receive(func() { k.sendHeartbeat(life, false) })
		}
	})
}

func (k *worker) planHeartbeatSoon() {
	k.planInLife(200, func() { k.sendHeartbeat(k.generation, true) })
}

// sendHeartbeat sends a heartbeat; once means one between two regular ones.
func (k *worker) sendHeartbeat(life int, once bool) {
	if !once {
		k.planHeartbeat(life, k.interval)
	}
	if k.heartbeatOpen {
		return
	}
	k.heartbeatOpen = true
	h := k.heartbeat(k.state)
	over := false
	end := func() bool { // the first of answer and timeout
		was := over || !k.isUp || k.generation != life
		over = true
		if !was {
			k.heartbeatOpen = false
		}
		return !was
	}
	k.w.planIn(requestTimeout, func() { end() })
	k.requestHeartbeat(h, func(a engine.Answer) {
		if end() {
			k.receive(func() { k.applyAnswer(a) })
		}
	})
}

// sendLateHeartbeat sends a heartbeat that arrives much later, when the worker has another
// epoch or instance.
func (k *worker) sendLateHeartbeat(after model.Time) {
	h := k.heartbeat(k.state)
	k.w.planIn(after, func() {
		if d := k.w.primary; d.stepper != nil && k.w.reaches(k, true) {
			k.w.countFault(MessageLate)
			d.receive(true, []engine.Event{engine.Heartbeat{Heartbeat: h}}, func([]engine.Answer) {})
		}
	})
}

func (k *worker) requestHeartbeat(h *model.Heartbeat, answered func(engine.Answer)) {
	k.w.request(k, func(d *dispatcher, answer func(func())) {
		d.receive(true, []engine.Event{engine.Heartbeat{Heartbeat: h}}, func(got []engine.Answer) {
			answer(func() { answered(got[0]) })
		})
	})
}

func (k *worker) heartbeat(state model.WorkerState) *model.Heartbeat {
	k.seq++
	h := &model.Heartbeat{
		WorkerID: k.name, Instance: k.instance, Epoch: k.epoch, Seq: k.seq, State: state,
		Hostname: k.name + ".example", TotalSlots: k.slots, Prefetch: k.prefetch, Capabilities: k.caps, HealthMetrics: k.health,
		Tasks: []model.Report{},
	}
	if k.isExhausted {
		h.HealthMetrics = model.HealthMetrics{CPUUsage: 100, MemoryUsage: 100, DiskUsage: 100, DiskFree: k.health.DiskFree, ErrorCount: 100}
	}
	slices.SortFunc(k.tasks, func(a, b *heldTask) int {
		if a.task.ID < b.task.ID {
			return -1
		}
		return 1
	})
	cursor := k.cursor
	k.cursor = ""
	for _, t := range k.tasks {
		if state == model.StateLeaving && !t.finished || k.ignoresAssignments || t.task.ID <= cursor {
			continue
		}
		if k.listedAtOnce > 0 && len(h.Tasks) == k.listedAtOnce {
			k.cursor = h.Tasks[k.listedAtOnce-1].ID
			break
		}
		k.updateProgress(t)
		h.Tasks = append(h.Tasks, t.report)
	}
	h.Partial = k.cursor != "" || cursor != ""
	k.makeUnreadable(h)
	if k.listsOthers && k.w.hasFaults() {
		h.Tasks = append(h.Tasks, k.falseReports()...)
	}
	return h
}

// applyAnswer applies the answer to a heartbeat.
func (k *worker) applyAnswer(a engine.Answer) {
	if a.Err != nil {
		if a.Err.Code == model.CodeConflict {
			k.admitted = false
		}
		return
	}
	k.admitted = true
	if d := a.Heartbeat.HeartbeatInterval; d > 0 {
		k.interval = model.Time(d.Std().Milliseconds())
	}
	if k.cursor != "" {
		k.planInLife(10, func() { k.sendHeartbeat(k.generation, true) })
	}
	for _, ref := range a.Heartbeat.Forget {
		k.forget(ref)
	}
	k.dropAll(a.Heartbeat.Drop)
	k.applyAssignments(a.Heartbeat.Assign)
	k.planReports()
}

// leave deregisters the worker and stops it.
func (k *worker) leave() {
	life := k.generation
	h := k.heartbeat(model.StateLeaving)
	h.Partial = false
	k.requestHeartbeat(h, func(a engine.Answer) {
		if !k.isUp || k.generation != life || a.Err != nil {
			return
		}
		for _, ref := range a.Heartbeat.Forget {
			k.forget(ref)
		}
		k.tasks = slices.DeleteFunc(k.tasks, func(h *heldTask) bool { k.savePartialFile(h); return !h.finished })
		k.crash()
		k.w.countFault(WorkerLeaves)
	})
	k.planInLife(requestTimeout, k.crash)
}
