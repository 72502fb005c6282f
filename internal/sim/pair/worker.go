package pair

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	slots          = 3
	requestTimeout = model.Time(10_000)
)

// worker is a model of internal/worker that never fails.
type worker struct {
	world *world
	name  string
	seq   int64
	tasks []*download
	ended map[model.TaskRef]bool // attempts that are over here
	begun map[string]int64       // the attempt with which each task began here

	term   model.HighestTerm
	origin int64 // the highest term of a message that it has obeyed, whatever that said
}

// download is one attempt.
type download struct {
	model.TaskRef
	finished bool
}

// ref returns what the report of a download says.
func (d *download) report() model.Report {
	r := model.Report{ID: d.ID, Attempt: d.Attempt, Status: model.ReportDownloading, TotalLength: 1000}
	if d.finished {
		r.Status, r.CompletedLength, r.Progress = model.ReportCompleted, 1000, 100
		r.Result = &model.Result{TotalLength: 1000}
	}
	return r
}

// obeys reports whether the worker obeys a message that was sent in the term origin and
// says that its term is that one.
func (k *worker) obeys(origin, term int64) bool {
	if !k.term.Obeys(term) {
		k.world.counts.Ignored++
		return false
	}
	if origin < k.origin {
		k.world.violate("deposed-leader-not-obeyed", "%s obeys a message of term %d after one of term %d", k.name, origin, k.origin)
	}
	k.origin = max(k.origin, origin)
	return true
}

// command obeys a command.
func (k *worker) command(origin int64, c *model.Command) {
	if !k.obeys(origin, c.Term) {
		return
	}
	if len(c.Assign)+len(c.Drop) == 0 {
		k.world.planIn(100, k.sendHeartbeat)
	}
	k.assign(c.Assign)
	k.dropAll(c.Drop)
}

// beat sends a heartbeat at each interval.
func (k *worker) beat() {
	k.world.planIn(interval, k.beat)
	k.sendHeartbeat()
}

func (k *worker) sendHeartbeat() {
	k.seq++
	h := &model.Heartbeat{
		WorkerID: k.name, Instance: "i", Epoch: 1, Seq: k.seq, State: model.StateReady, TotalSlots: slots,
		Capabilities: model.Capabilities{Protocols: []string{"https"}}, Tasks: []model.Report{},
	}
	for _, d := range k.tasks {
		h.Tasks = append(h.Tasks, d.report())
	}
	k.world.request([]engine.Event{engine.Heartbeat{Heartbeat: h}}, func(origin int64, answers []engine.Answer) {
		a := answers[0].Heartbeat
		if answers[0].Err != nil || !k.obeys(origin, a.Term) {
			return
		}
		for _, ref := range a.Forget {
			k.remove(ref)
		}
		k.dropAll(a.Drop)
		k.assign(a.Assign)
	}, func() {})
}

// assign begins what is new.
func (k *worker) assign(list []model.Assignment) {
	for _, a := range list {
		ref := model.TaskRef{ID: a.Task.ID, Attempt: a.Attempt}
		at := slices.IndexFunc(k.tasks, func(d *download) bool { return d.ID == ref.ID })
		switch {
		case k.ended[ref], at < 0 && len(k.tasks) >= slots, at >= 0 && k.tasks[at].Attempt >= ref.Attempt:
			continue
		case at >= 0:
			k.tasks[at].Attempt = ref.Attempt
			continue
		}
		k.world.checkBegin(k, ref)
		d := &download{TaskRef: ref}
		k.tasks = append(k.tasks, d)
		k.world.planIn(between(k.world.workerRand, 500, 40_000), func() {
			if slices.Contains(k.tasks, d) {
				d.finished = true
				k.sendReport(d)
			}
		})
	}
}

// sendReport repeats the end of a download until it is answered.
func (k *worker) sendReport(d *download) {
	if !slices.Contains(k.tasks, d) {
		return
	}
	ref := d.TaskRef
	k.world.request([]engine.Event{engine.Report{Worker: k.name, Report: d.report()}}, func(origin int64, answers []engine.Answer) {
		a := answers[0]
		if !k.obeys(origin, origin) { // internal/api writes it
			k.world.planIn(1000, func() { k.sendReport(d) })
			return
		}
		if a.Drop != nil {
			k.dropAll([]model.Drop{*a.Drop})
		}
		if a.Err == nil {
			k.remove(ref)
			return
		}
		k.world.planIn(1000, func() { k.sendReport(d) })
	}, func() { k.world.planIn(1000, func() { k.sendReport(d) }) })
}

func (k *worker) dropAll(list []model.Drop) {
	for i := range list {
		k.remove(model.TaskRef{ID: list[i].ID, Attempt: list[i].Attempt})
	}
}

// remove ends an attempt.
func (k *worker) remove(ref model.TaskRef) {
	k.ended[ref] = true
	k.tasks = slices.DeleteFunc(k.tasks, func(d *download) bool { return d.TaskRef == ref })
}
