package world

import (
	"fmt"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// worker is a node as internal/worker is one: a journal that survives a crash, bytes on
// a disk, reports that are repeated until they are answered, and a memory of what
// is over.
type worker struct {
	w        *world
	name     string
	instance string
	epoch    int64
	seq      int64
	slots    int
	caps     model.Capabilities
	health   model.HealthMetrics

	up       bool
	life     int // raised by each start and stop, so that what was planned before is void
	frozen   model.Time
	waiting  []func() // came while it was frozen
	admitted bool
	interval model.Time
	cut      cut

	held  []*held // the journal: what it answers for
	ended []ended
	bytes map[string]int64 // of each task on the disk

	beating, reporting bool
	nextReport         model.Time
	reportPlanned      bool

	// What a fault makes of it.
	ignores   bool // never takes on, never lists
	greedy    bool // lists and reports what it should not
	full      bool // refuses everything
	exhausted bool // its machine is at its end
	state     model.WorkerState
	garbled   bool // now and then one entry that it lists or reports cannot be read
	part      int  // lists only so many at a time; 0 = all
	cursor    string
	twin      bool // will not come back
}

// held is one task that a worker answers for.
type held struct {
	task      *model.Task
	attempt   int64
	report    model.Report
	finished  bool
	refused   bool // never taken: in no journal
	drop      *model.Drop
	next      *model.Assignment // waits for the drop
	started   model.Time
	had       int64 // bytes when it started
	speed     int64 // bytes/s
	version   int
	announced bool
}

// ended is an attempt that is over; the worker ignores commands about it.
type ended struct {
	id      string
	attempt int64
	until   model.Time
}

const remembers = model.Time(10 * 60 * 1000)

func (w *world) addWorker(name string) *worker {
	r := w.node
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
	k.format()
	w.workers = append(w.workers, k)
	w.in(between(r, 0, 3000), k.start)
	return k
}

// format gives the worker an empty disk, and so a new instance.
func (k *worker) format() {
	k.instance = fmt.Sprintf("i%08x", k.w.node.Uint32())
	k.epoch, k.held, k.ended = 0, nil, nil
	clear(k.bytes)
}

func (k *worker) start() {
	if k.up {
		return
	}
	k.up, k.admitted, k.beating, k.reporting, k.reportPlanned = true, false, false, false, false
	k.frozen, k.waiting = 0, nil
	k.life++
	k.epoch++
	k.seq = 0
	k.interval = 5000
	k.w.say("%s: starts, instance %s, epoch %d, holds %d", k.name, k.instance, k.epoch, len(k.held))
	for _, h := range k.held {
		h.announced = false
		if !h.finished && h.drop == nil {
			k.begin(h)
		}
	}
	k.beatIn(k.life, 0)
}

// crash ends the process; the journal and the bytes stay.
func (k *worker) crash() {
	if !k.up {
		return
	}
	k.up = false
	k.life++
	k.ended = nil
	for _, h := range k.held {
		k.keepBytes(h)
		h.next = nil
		h.drop = nil // the dispatcher says it again
	}
	k.held = slices.DeleteFunc(k.held, func(h *held) bool { return h.refused })
}

// hear has a command obeyed, now or when the worker wakes.
func (k *worker) hear(obey func()) {
	if k.w.now < k.frozen {
		k.waiting = append(k.waiting, obey)
		return
	}
	obey()
}

// plan has something done later in this life, and not while it is frozen.
func (k *worker) plan(after model.Time, do func()) {
	life := k.life
	k.w.in(after, func() {
		if k.up && k.life == life {
			k.hear(do)
		}
	})
}

// freeze stops the process for a time (SIGSTOP): it says nothing, does nothing,
// and then wakes and goes on as if nothing had been.
func (k *worker) freeze(d model.Time) {
	k.frozen = k.w.now + d
	life := k.life
	k.w.in(d, func() {
		if !k.up || k.life != life {
			return
		}
		k.w.say("%s: wakes", k.name)
		waiting := k.waiting
		k.waiting = nil
		for _, do := range waiting {
			do()
		}
	})
}

func (k *worker) find(id string) *held {
	for _, h := range k.held {
		if h.task.ID == id {
			return h
		}
	}
	return nil
}

func (k *worker) busy() int {
	n := 0
	for _, h := range k.held {
		if !h.finished && h.drop == nil {
			n++
		}
	}
	return n
}

// beatIn sends the next heartbeat of this life after a while.
func (k *worker) beatIn(life int, after model.Time) {
	k.w.in(after, func() {
		if k.up && k.life == life {
			k.hear(func() { k.beat(life, false) })
		}
	})
}

func (k *worker) beatSoon() { k.plan(200, func() { k.beat(k.life, true) }) }

// beat says everything; once more is one between two regular ones.
func (k *worker) beat(life int, once bool) {
	if !once {
		k.beatIn(life, k.interval)
	}
	if k.beating {
		return
	}
	k.beating = true
	h := k.heartbeat(k.state)
	over := false
	end := func() bool { // the first of answer and timeout
		was := over || !k.up || k.life != life
		over = true
		if !was {
			k.beating = false
		}
		return !was
	}
	k.w.in(timeout, func() { end() })
	k.sendBeat(h, func(a dispatch.Answer) {
		if end() {
			k.hear(func() { k.answered(a) })
		}
	})
}

// strayBeat sends a heartbeat that arrives much later, when the worker has another
// epoch or instance.
func (k *worker) strayBeat(after model.Time) {
	h := k.heartbeat(k.state)
	k.w.in(after, func() {
		if d := k.w.main; d.manual != nil && k.w.reaches(k, true) {
			k.w.struck(MessageLate)
			d.take(true, []engine.Event{engine.Heartbeat{Heartbeat: h}}, func([]dispatch.Answer) {})
		}
	})
}

func (k *worker) sendBeat(h *model.Heartbeat, answered func(dispatch.Answer)) {
	k.w.request(k, func(d *dispatcher, answer func(func())) {
		d.take(true, []engine.Event{engine.Heartbeat{Heartbeat: h}}, func(got []dispatch.Answer) {
			answer(func() { answered(got[0]) })
		})
	})
}

func (k *worker) heartbeat(state model.WorkerState) *model.Heartbeat {
	k.seq++
	h := &model.Heartbeat{
		WorkerID: k.name, Instance: k.instance, Epoch: k.epoch, Seq: k.seq, State: state,
		Hostname: k.name + ".example", TotalSlots: k.slots, Capabilities: k.caps, HealthMetrics: k.health,
		Tasks: []model.Report{},
	}
	if k.exhausted {
		h.HealthMetrics = model.HealthMetrics{CPUUsage: 100, MemoryUsage: 100, DiskUsage: 100, DiskFree: k.health.DiskFree, ErrorCount: 100}
	}
	slices.SortFunc(k.held, func(a, b *held) int {
		if a.task.ID < b.task.ID {
			return -1
		}
		return 1
	})
	cursor := k.cursor
	k.cursor = ""
	for _, t := range k.held {
		if state == model.StateLeaving && !t.finished || k.ignores || t.task.ID <= cursor {
			continue
		}
		if k.part > 0 && len(h.Tasks) == k.part {
			k.cursor = h.Tasks[k.part-1].ID
			break
		}
		k.look(t)
		h.Tasks = append(h.Tasks, t.report)
	}
	h.Partial = k.cursor != "" || cursor != ""
	k.garble(h)
	if k.greedy && k.w.troubled() {
		h.Tasks = append(h.Tasks, k.lies()...)
	}
	return h
}

// answered does what the dispatcher says.
func (k *worker) answered(a dispatch.Answer) {
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
		k.plan(10, func() { k.beat(k.life, true) })
	}
	for _, ref := range a.Heartbeat.Forget {
		k.forget(ref)
	}
	k.dropAll(a.Heartbeat.Drop)
	k.take(a.Heartbeat.Assign)
	k.reportSoon()
}

// leave gives name and tasks back, and stops.
func (k *worker) leave() {
	life := k.life
	h := k.heartbeat(model.StateLeaving)
	h.Partial = false
	k.sendBeat(h, func(a dispatch.Answer) {
		if !k.up || k.life != life || a.Err != nil {
			return
		}
		for _, ref := range a.Heartbeat.Forget {
			k.forget(ref)
		}
		k.held = slices.DeleteFunc(k.held, func(h *held) bool { k.keepBytes(h); return !h.finished })
		k.crash()
		k.w.struck(WorkerLeaves)
	})
	k.plan(timeout, k.crash)
}
