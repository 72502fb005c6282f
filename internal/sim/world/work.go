package world

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// take takes assignments on. Each may be new, known, late, or replace an earlier
// attempt.
func (k *worker) take(list []model.Assignment) {
	for i := range list {
		if !k.ignores {
			k.admit(&list[i])
		}
	}
}

func (k *worker) admit(a *model.Assignment) {
	id := a.Task.ID
	cur := k.find(id)
	switch {
	case !k.admitted, k.isOver(id, a.Attempt):
		return
	case cur == nil:
	case a.Attempt <= cur.attempt:
		return
	case cur.drop != nil:
		if cur.next == nil || cur.next.Attempt < a.Attempt {
			cur.next = a
		}
		return
	case cur.report.Status == model.ReportCompleted: // every byte is here
		cur.attempt, cur.report.Attempt = a.Attempt, a.Attempt
		k.reportSoon()
		return
	case !cur.finished:
		cur.attempt, cur.report.Attempt, cur.task, cur.announced = a.Attempt, a.Attempt, a.Task, false
		k.reportSoon()
		return
	}
	if k.full || k.busy() >= k.slots {
		k.refuse(a, cur)
		return
	}
	k.held = slices.DeleteFunc(k.held, func(h *held) bool { return h == cur })
	h := &held{task: a.Task, attempt: a.Attempt}
	k.held = append(k.held, h)
	k.w.say("%s: takes %s#%d", k.name, id, a.Attempt)
	k.begin(h)
	k.reportSoon()
}

// refuse answers an assignment with a report that stands in no journal.
func (k *worker) refuse(a *model.Assignment, cur *held) {
	if k.full {
		k.w.struck(WorkerFull)
	}
	k.held = slices.DeleteFunc(k.held, func(h *held) bool { return h == cur })
	h := &held{task: a.Task, attempt: a.Attempt, refused: true}
	h.end(model.ReportRejected, &model.TaskError{Code: 9, Message: "there is no room", Class: model.ClassWorker})
	k.held = append(k.held, h)
	k.reportSoon()
}

func (h *held) end(status model.ReportStatus, why *model.TaskError) {
	h.finished = true
	h.report = model.Report{
		ID: h.task.ID, Attempt: h.attempt, Status: status, Error: why,
		CompletedLength: h.report.CompletedLength, TotalLength: h.report.TotalLength,
	}
}

// begin downloads from where the bytes on the disk end.
func (k *worker) begin(h *held) {
	n := natureOf(k.w.opts.Seed, h.task)
	h.version++
	h.started, h.had, h.speed = k.w.now, min(k.bytes[h.task.ID], n.length), n.speed
	h.report = model.Report{ID: h.task.ID, Attempt: h.attempt, Status: model.ReportDownloading, TotalLength: n.length}
	version := h.version
	k.plan(model.Time(max((n.length-h.had)*1000/n.speed, 100)), func() {
		if h.version == version && !h.finished && h.drop == nil && k.find(h.task.ID) == h {
			k.finish(h, n)
		}
	})
}

// look brings the report of a download up to now.
func (k *worker) look(h *held) {
	if h.finished || h.drop != nil {
		return
	}
	done := min(h.had+int64(k.w.now-h.started)*h.speed/1000, h.report.TotalLength)
	h.report.CompletedLength, h.report.DownloadSpeed = done, h.speed
	h.report.Progress = 100 * float64(done) / float64(h.report.TotalLength)
}

func (k *worker) keepBytes(h *held) {
	if !h.finished {
		k.look(h)
		k.bytes[h.task.ID] = h.report.CompletedLength
	}
}

// finish ends a download as its nature is.
func (k *worker) finish(h *held, n nature) {
	k.keepBytes(h)
	switch {
	case n.gone:
		h.end(model.ReportFailed, &model.TaskError{Code: 3, Message: "404", Class: model.ClassPermanent})
	case n.flaky && chance(k.w.node, 2):
		h.end(model.ReportFailed, &model.TaskError{Code: 6, Message: "the connection broke", Class: model.ClassRetryable})
	case n.picky && hashed(k.name, h.task.ID)%2 == 0:
		h.end(model.ReportFailed, &model.TaskError{Code: 16, Message: "no such folder here", Class: model.ClassWorker})
	default:
		h.end(model.ReportCompleted, nil)
		h.report.Progress, h.report.CompletedLength, h.report.TotalLength = 100, n.length, n.length
		h.report.Result = &model.Result{
			Files: []model.File{{Path: h.task.ID + ".bin", Length: n.length}}, TotalLength: n.length, WorkerID: k.name,
		}
	}
	k.w.say("%s: %s#%d is %s", k.name, h.task.ID, h.attempt, h.report.Status)
	k.reportSoon()
}

// dropAll has attempts stopped; that takes a moment.
func (k *worker) dropAll(drops []model.Drop) {
	for _, d := range drops {
		h := k.find(d.ID)
		switch {
		case h == nil:
			k.over(d.ID, d.Attempt)
			k.wipe(d)
		case h.attempt < d.Attempt:
			k.over(d.ID, d.Attempt)
		case h.attempt == d.Attempt && h.drop == nil:
			k.keepBytes(h)
			h.drop = &d
			k.plan(between(k.w.node, 20, 1500), func() { k.stopped(h) })
		case h.attempt == d.Attempt && d.Reason.RemovesBytes():
			h.drop = &d
		}
	}
}

// stopped ends a dropped task.
func (k *worker) stopped(h *held) {
	if k.find(h.task.ID) != h {
		return
	}
	k.w.say("%s: stopped %s#%d, %s", k.name, h.task.ID, h.attempt, h.drop.Reason)
	k.wipe(*h.drop)
	k.release(h)
	k.beatSoon()
	if h.next != nil {
		k.take([]model.Assignment{*h.next})
	}
}

// wipe removes bytes, where the reason of the drop says so.
func (k *worker) wipe(d model.Drop) {
	if d.Reason.RemovesBytes() {
		delete(k.bytes, d.ID)
	}
}

func (k *worker) forget(ref model.TaskRef) {
	h := k.find(ref.ID)
	switch {
	case h == nil || h.attempt != ref.Attempt:
	case h.finished && h.drop == nil:
		k.release(h)
	case !h.finished:
		k.dropAll([]model.Drop{{ID: ref.ID, Attempt: ref.Attempt, Reason: model.DropSuperseded}})
	}
}

func (k *worker) release(h *held) {
	k.over(h.task.ID, h.attempt)
	k.held = slices.DeleteFunc(k.held, func(o *held) bool { return o == h })
}

// over remembers that an attempt is over.
func (k *worker) over(id string, attempt int64) {
	k.ended = slices.DeleteFunc(k.ended, func(e ended) bool { return e.until < k.w.now })
	k.ended = append(k.ended, ended{id, attempt, k.w.now + remembers})
}

func (k *worker) isOver(id string, attempt int64) bool {
	return slices.ContainsFunc(k.ended, func(e ended) bool {
		return e.id == id && attempt <= e.attempt && e.until >= k.w.now
	})
}

// reportSoon says what is due: how attempts ended, until that is answered, and
// that they began.
func (k *worker) reportSoon() {
	if k.reportPlanned || k.reporting {
		return
	}
	k.reportPlanned = true
	k.plan(max(k.nextReport-k.w.now, 5), func() {
		k.reportPlanned = false
		k.sendReports()
	})
}

func (k *worker) sendReports() {
	if !k.admitted || k.reporting {
		return
	}
	var batch []model.Report
	for _, h := range k.held {
		if h.drop == nil && !k.ignores && (h.finished || !h.announced || chance(k.w.node, 4)) {
			k.look(h)
			h.announced = true
			batch = append(batch, h.report)
		}
	}
	if k.greedy && k.w.troubled() {
		batch = append(batch, k.lies()...)
	}
	if len(batch) == 0 {
		return
	}
	unread := k.unreadable(len(batch))
	var ops []engine.Event
	for i := range batch {
		if i != unread {
			ops = append(ops, engine.Report{Worker: k.name, Report: batch[i]})
		}
	}
	if len(ops) == 0 { // the bus answers alone
		k.nextReport = k.w.now + between(k.w.node, 500, 5000)
		k.reportSoon()
		return
	}
	k.reporting = true
	life, over := k.life, false
	end := func(ok bool) bool {
		if over || !k.up || k.life != life {
			return false
		}
		over, k.reporting, k.nextReport = true, false, 0
		if !ok {
			k.nextReport = k.w.now + between(k.w.node, 500, 5000)
		}
		return true
	}
	k.w.in(timeout, func() {
		if end(false) {
			k.hear(k.reportSoon)
		}
	})
	k.w.request(k, func(d *dispatcher, answer func(func())) {
		d.take(true, ops, func(got []dispatch.Answer) {
			answer(func() {
				if end(true) {
					k.hear(func() { k.reported(batch, withRefusal(got, unread)) })
				}
			})
		})
	})
}

// reported hears the verdicts.
func (k *worker) reported(batch []model.Report, verdicts []dispatch.Answer) {
	for i := range batch {
		v, r := &verdicts[i], &batch[i]
		if v.Drop != nil {
			k.dropAll([]model.Drop{*v.Drop})
		}
		h := k.find(r.ID)
		if h == nil || h.attempt != r.Attempt || h.drop != nil || !r.Status.Finished() {
			continue
		}
		if v.Err == nil {
			k.release(h)
			continue
		}
		k.nextReport = k.w.now + between(k.w.node, 500, 5000)
	}
	if slices.ContainsFunc(k.held, func(h *held) bool { return h.drop == nil && (h.finished || !h.announced) }) {
		k.reportSoon()
	}
}

// lies are words about tasks and attempts that the worker does not have. It lists
// no task twice: that the bus would let pass, but means nothing.
func (k *worker) lies() []model.Report {
	var lies []model.Report
	r := k.w.node
	for range r.IntN(3) {
		id := fmt.Sprintf("ghost-%d", r.IntN(5))
		if check := k.w.main.check; check.Tasks() > 0 && !chance(r, 4) {
			id = check.TaskID(r.IntN(check.Tasks()))
		}
		if k.find(id) != nil || slices.ContainsFunc(lies, func(l model.Report) bool { return l.ID == id }) {
			continue
		}
		lie := model.Report{ID: id, Attempt: 1 + int64(r.IntN(6)), Status: model.ReportDownloading, TotalLength: 1000}
		switch r.IntN(5) {
		case 0:
			lie.Status = model.ReportCompleted
			lie.Result = &model.Result{Files: []model.File{}, TotalLength: 1000, WorkerID: k.name}
		case 1:
			lie.Status = model.ReportFailed
			lie.Error = &model.TaskError{Code: 1, Message: "a lie", Class: model.ClassPermanent}
		}
		k.w.struck(WorkerGreedy)
		lies = append(lies, lie)
	}
	return lies
}

// nature is how a download will go, wherever it is tried.
type nature struct {
	length, speed      int64
	gone, flaky, picky bool
}

func natureOf(seed uint64, t *model.Task) nature {
	h := hashed(fmt.Sprint(seed), t.ID)
	n := nature{length: (int64(h>>8%100)*1000 + 500) << 10, speed: (int64(h>>16%8)*700 + 300) << 10}
	switch c := h % 20; {
	case c == 0:
		n.gone = true
	case c <= 5:
		n.flaky = true
	case c <= 7:
		n.picky = true
	}
	return n
}

func hashed(a, b string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a + "/" + b)) // a hash never fails
	return h.Sum32()
}
