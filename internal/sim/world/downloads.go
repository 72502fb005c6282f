package world

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// applyAssignments takes assignments on. Each may be new, known, late, or replace an earlier
// attempt.
func (k *worker) applyAssignments(list []model.Assignment) {
	for i := range list {
		if !k.ignoresAssignments {
			k.decideAssignment(&list[i])
		}
	}
}

func (k *worker) decideAssignment(a *model.Assignment) {
	id := a.Task.ID
	cur := k.find(id)
	switch {
	case !k.admitted, k.isFinished(id, a.Attempt):
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
		k.planReports()
		return
	case !cur.finished:
		cur.attempt, cur.report.Attempt, cur.task, cur.announced = a.Attempt, a.Attempt, a.Task, false
		k.planReports()
		return
	}
	if k.refusesAll || k.busy() >= k.slots+k.prefetch {
		k.refuse(a, cur)
		return
	}
	k.tasks = slices.DeleteFunc(k.tasks, func(h *heldTask) bool { return h == cur })
	h := &heldTask{task: a.Task, attempt: a.Attempt}
	k.tasks = append(k.tasks, h)
	k.w.trace("%s: takes %s#%d", k.name, id, a.Attempt)
	if k.running() > k.slots { // with this one
		h.queued = true
		h.report = model.Report{ID: id, Attempt: h.attempt, Status: model.ReportQueued}
	} else {
		k.begin(h)
	}
	k.planReports()
}

// refuse answers an assignment with a report that stands in no journal.
func (k *worker) refuse(a *model.Assignment, cur *heldTask) {
	if k.refusesAll {
		k.w.countFault(WorkerFull)
	}
	k.tasks = slices.DeleteFunc(k.tasks, func(h *heldTask) bool { return h == cur })
	h := &heldTask{task: a.Task, attempt: a.Attempt, refused: true}
	h.end(model.ReportRejected, &model.TaskError{Code: 9, Message: "there is no room", Class: model.ClassWorker})
	k.tasks = append(k.tasks, h)
	k.planReports()
}

func (h *heldTask) end(status model.ReportStatus, why *model.TaskError) {
	h.finished = true
	h.report = model.Report{
		ID: h.task.ID, Attempt: h.attempt, Status: status, Error: why,
		CompletedLength: h.report.CompletedLength, TotalLength: h.report.TotalLength,
	}
}

// begin downloads from where the bytes on the disk end.
func (k *worker) begin(h *heldTask) {
	n := outcomeOf(k.w.options.Seed, h.task)
	h.version++
	h.started, h.startedWith, h.speed = k.w.now, min(k.bytes[h.task.ID], n.length), n.speed
	h.report = model.Report{ID: h.task.ID, Attempt: h.attempt, Status: model.ReportDownloading, TotalLength: n.length}
	if k.isBroken {
		h.speed = 0
		k.planInDownload(h, 100, func() { k.fail(h) })
		return
	}
	if wait := k.w.askedWait(h.task); wait > 0 {
		h.speed = 0
		k.planInDownload(h, between(k.w.serverRand, 100, 1500), func() { k.beRefused(h, wait) })
		return
	}
	k.planInDownload(h, model.Time(max((n.length-h.startedWith)*1000/n.speed, 100)), func() { k.finish(h, n) })
}

// planInDownload has something done later, if the download still runs then.
func (k *worker) planInDownload(h *heldTask, after model.Time, do func()) {
	version := h.version
	k.planInLife(after, func() {
		if h.version == version && !h.finished && h.drop == nil && k.find(h.task.ID) == h {
			do()
		}
	})
}

// updateProgress brings the report of a download up to now.
func (k *worker) updateProgress(h *heldTask) {
	if h.finished || h.drop != nil || h.queued {
		return
	}
	done := min(h.startedWith+int64(k.w.now-h.started)*h.speed/1000, h.report.TotalLength)
	h.report.CompletedLength, h.report.DownloadSpeed = done, h.speed
	h.report.Progress = 100 * float64(done) / float64(h.report.TotalLength)
}

func (k *worker) savePartialFile(h *heldTask) {
	if !h.finished && !h.queued {
		k.updateProgress(h)
		k.bytes[h.task.ID] = h.report.CompletedLength
	}
}

// fail ends a download of a broken worker.
func (k *worker) fail(h *heldTask) {
	k.w.countFault(WorkerBroken)
	why := &model.TaskError{Code: 6, Message: "no route to the host", Class: model.ClassRetryable}
	if hashOf(k.name, h.task.ID)%2 == 0 {
		why = &model.TaskError{Code: 16, Message: "the folder cannot be written", Class: model.ClassWorker}
	}
	h.end(model.ReportFailed, why)
	k.announceEnd(h)
}

// finish ends a download with its outcome.
func (k *worker) finish(h *heldTask, n outcome) {
	k.savePartialFile(h)
	switch {
	case n.gone:
		h.end(model.ReportFailed, &model.TaskError{Code: 3, Message: "404", Class: model.ClassPermanent})
	case n.flaky && chance(k.w.workerRand, 2):
		h.end(model.ReportFailed, &model.TaskError{Code: 6, Message: "the connection broke", Class: model.ClassRetryable})
	case n.picky && hashOf(k.name, h.task.ID)%2 == 0:
		h.end(model.ReportFailed, &model.TaskError{Code: 16, Message: "no such folder here", Class: model.ClassWorker})
	default:
		h.end(model.ReportCompleted, nil)
		h.report.Progress, h.report.CompletedLength, h.report.TotalLength = 100, n.length, n.length
		h.report.Result = &model.Result{
			Files: []model.File{{Path: h.task.ID + ".bin", Length: n.length}}, TotalLength: n.length, WorkerID: k.name,
		}
	}
	k.announceEnd(h)
}

// announceEnd reports a download that has ended, and begins the next one.
func (k *worker) announceEnd(h *heldTask) {
	k.w.trace("%s: %s#%d is %s", k.name, h.task.ID, h.attempt, h.report.Status)
	k.beginNext()
	k.planReports()
}

// dropAll has attempts stopped; that takes a moment.
func (k *worker) dropAll(drops []model.Drop) {
	for _, d := range drops {
		h := k.find(d.ID)
		switch {
		case h == nil:
			k.rememberFinished(d.ID, d.Attempt)
			k.wipe(d)
		case h.attempt < d.Attempt:
			k.rememberFinished(d.ID, d.Attempt)
		case h.attempt == d.Attempt && h.drop == nil:
			k.savePartialFile(h)
			h.drop = &d
			k.planInLife(between(k.w.workerRand, 20, 1500), func() { k.finishDrop(h) })
		case h.attempt == d.Attempt && d.Reason.RemovesBytes():
			h.drop = &d
		}
	}
}

// finishDrop ends a dropped task.
func (k *worker) finishDrop(h *heldTask) {
	if k.find(h.task.ID) != h {
		return
	}
	k.w.trace("%s: stopped %s#%d, %s", k.name, h.task.ID, h.attempt, h.drop.Reason)
	k.wipe(*h.drop)
	k.release(h)
	k.planHeartbeatSoon()
	if h.next != nil {
		k.applyAssignments([]model.Assignment{*h.next})
	}
}

// wipe removes bytes, if the reason of the drop demands it.
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

func (k *worker) release(h *heldTask) {
	k.rememberFinished(h.task.ID, h.attempt)
	k.tasks = slices.DeleteFunc(k.tasks, func(o *heldTask) bool { return o == h })
	k.beginNext()
}

// rememberFinished records that an attempt has ended.
func (k *worker) rememberFinished(id string, attempt int64) {
	k.finishedAttempts = slices.DeleteFunc(k.finishedAttempts, func(e finishedAttempt) bool { return e.until < k.w.now })
	k.finishedAttempts = append(k.finishedAttempts, finishedAttempt{id, attempt, k.w.now + rememberFinishedFor})
}

func (k *worker) isFinished(id string, attempt int64) bool {
	return slices.ContainsFunc(k.finishedAttempts, func(e finishedAttempt) bool {
		return e.id == id && attempt <= e.attempt && e.until >= k.w.now
	})
}

// planReports says what is due: how attempts ended, until that is answered, and
// that they began.
func (k *worker) planReports() {
	if k.reportPlanned || k.reportOpen {
		return
	}
	k.reportPlanned = true
	k.planInLife(max(k.nextReport-k.w.now, 5), func() {
		k.reportPlanned = false
		k.sendReports()
	})
}

func (k *worker) sendReports() {
	if !k.admitted || k.reportOpen {
		return
	}
	var batch []model.Report
	for _, h := range k.tasks {
		if h.drop == nil && !k.ignoresAssignments && (h.finished || !h.announced || chance(k.w.workerRand, 4)) {
			k.updateProgress(h)
			h.announced = true
			batch = append(batch, h.report)
		}
	}
	if k.listsOthers && k.w.hasFaults() {
		batch = append(batch, k.falseReports()...)
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
		k.nextReport = k.w.now + between(k.w.workerRand, 500, 5000)
		k.planReports()
		return
	}
	k.reportOpen = true
	life, over := k.generation, false
	end := func(ok bool) bool {
		if over || !k.isUp || k.generation != life {
			return false
		}
		over, k.reportOpen, k.nextReport = true, false, 0
		if !ok {
			k.nextReport = k.w.now + between(k.w.workerRand, 500, 5000)
		}
		return true
	}
	k.w.planIn(requestTimeout, func() {
		if end(false) {
			k.receive(k.planReports)
		}
	})
	k.w.request(k, func(d *dispatcher, answer func(func())) {
		d.receive(true, ops, func(got []engine.Answer) {
			answer(func() {
				if end(true) {
					k.receive(func() { k.applyVerdicts(batch, withRefusal(got, unread)) })
				}
			})
		})
	})
}

// applyVerdicts applies the answers to reports.
func (k *worker) applyVerdicts(batch []model.Report, verdicts []engine.Answer) {
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
		k.nextReport = k.w.now + between(k.w.workerRand, 500, 5000)
	}
	if slices.ContainsFunc(k.tasks, func(h *heldTask) bool { return h.drop == nil && (h.finished || !h.announced) }) {
		k.planReports()
	}
}

// falseReports returns reports of tasks and attempts that the worker does not hold. It
// lists no task twice.
func (k *worker) falseReports() []model.Report {
	var lies []model.Report
	r := k.w.workerRand
	for range r.IntN(3) {
		id := fmt.Sprintf("ghost-%d", r.IntN(5))
		if check := k.w.primary.oracle; check.Tasks() > 0 && !chance(r, 4) {
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
			lie.Error = &model.TaskError{Code: 1, Message: "a false report", Class: model.ClassPermanent}
		}
		k.w.countFault(WorkerGreedy)
		lies = append(lies, lie)
	}
	return lies
}

// outcome is the result of a download, on each worker.
type outcome struct {
	length, speed      int64
	gone, flaky, picky bool
}

func outcomeOf(seed uint64, t *model.Task) outcome {
	h := hashOf(fmt.Sprint(seed), t.ID)
	n := outcome{length: (int64(h>>8%100)*1000 + 500) << 10, speed: (int64(h>>16%8)*700 + 300) << 10}
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

func hashOf(a, b string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a + "/" + b)) // a hash never fails
	return h.Sum32()
}
