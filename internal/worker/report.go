package worker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxBody limits the reports of one message, in bytes of JSON by estimatedSize: NATS
// accepts 1 MB by default.
const maxBody = 512 << 10

// maxPaths bounds the paths of one result, in bytes.
const maxPaths = 64 << 10

// The bounds of the wait before a refused report is repeated.
const (
	firstReportRetry = 500 * time.Millisecond
	lastReportRetry  = 30 * time.Second
)

// estimatedSize estimates the size of a report in bytes of JSON.
func estimatedSize(r *model.Report) int {
	n := 300
	if r.Error != nil {
		n += 2 * len(r.Error.Message)
	}
	if r.Result != nil {
		for _, f := range r.Result.Files {
			n += 40 + 2*len(f.Path)
		}
	}
	return n
}

// boundFiles cuts a list of files to the size of one message. The total of the result
// still counts all files.
func boundFiles(files []model.File) []model.File {
	bytes := 0
	for i, f := range files {
		bytes += len(f.Path)
		if i >= model.MaxResultFiles || i > 0 && bytes > maxPaths {
			return files[:i]
		}
	}
	return files
}

// taskError returns an error for a report: with a bounded message and a legal class.
func taskError(code int, class model.Class, message string) *model.TaskError {
	if !class.Valid() {
		class = model.ClassRetryable
	}
	if len(message) > model.MaxMessage {
		message = message[:model.MaxMessage]
	}
	return &model.TaskError{Code: code, Message: strings.ToValidUTF8(message, ""), Class: class}
}

// startReport sends the reports that are due: ends of attempts, at once and until they
// are acknowledged; starts; and progress once a second.
func (w *Worker) startReport(now time.Time) {
	due := w.dueReports(now)
	var batch []model.Report
	bytes := 0
	for _, h := range due {
		bytes += estimatedSize(&h.report)
		if len(batch) == model.MaxBatch || len(batch) > 0 && bytes > maxBody {
			break
		}
		batch = append(batch, h.report)
		if h.Phase != phaseFinished {
			h.announced, h.lastReported, h.lastProgressAt = true, h.report, now
		}
	}
	if len(batch) == 0 {
		return
	}
	w.reporting = true
	w.startCall(callTimeout, &w.cancelReport, func(ctx context.Context) func() {
		answer, err := w.cfg.Link.Report(ctx, batch)
		if err == nil && len(answer.Verdicts) != len(batch) {
			err = errors.New("the answer has another number of verdicts")
		}
		return func() { w.applyReportAnswer(batch, answer, err) }
	})
}

// earlier returns the earlier time; a zero time does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// dueReports lists the tasks with a due report, the most important first.
func (w *Worker) dueReports(now time.Time) []*heldTask {
	var due []*heldTask
	progress := !now.Before(w.nextProgress)
	w.nextRetry, w.nextStart = time.Time{}, time.Time{}
	for _, h := range w.tasks {
		switch {
		case h.drop != nil:
		case now.Before(h.retryAt):
			w.nextRetry = earlier(w.nextRetry, h.retryAt)
		case h.Phase == phaseFinished:
			due = append(due, h)
		case h.givenVersion == 0 && !h.paused, h.Phase == phaseMoving:
		case !h.announced && h.report.Status == model.ReportDownloading && now.Before(h.startedAt.Add(announceAfter)):
			w.nextStart = earlier(w.nextStart, h.startedAt.Add(announceAfter))
		case !h.announced, h.report.Status != h.lastReported.Status:
			due = append(due, h)
		case progress && h.report.CompletedLength != h.lastReported.CompletedLength,
			progress && h.report.TotalLength != h.lastReported.TotalLength,
			progress && h.report.DownloadSpeed != h.lastReported.DownloadSpeed:
			due = append(due, h)
		}
	}
	if progress && len(due) > 0 {
		w.nextProgress = now.Add(progressInterval)
	}
	rank := func(h *heldTask) int {
		switch {
		case h.Phase == phaseFinished:
			return 0
		case !h.announced:
			return 1
		}
		return 2
	}
	slices.SortFunc(due, func(a, b *heldTask) int {
		return cmp.Or(rank(a)-rank(b), a.lastProgressAt.Compare(b.lastProgressAt), cmp.Compare(a.id(), b.id()))
	})
	return due
}

// applyReportAnswer applies each verdict to its report. A report that was refused without
// a drop is repeated later, or the next heartbeat resolves it. It does not delay other
// reports.
func (w *Worker) applyReportAnswer(batch []model.Report, answer *model.ReportAnswer, err error) {
	now := time.Now()
	w.reporting = false
	if err == nil {
		err = w.checkTerm(answer.Term)
	}
	if err != nil {
		for i := range batch {
			if h := w.reportedTask(&batch[i]); h != nil {
				h.announced = false // the dispatcher may not have received it
			}
		}
		w.nextReport = now.Add(w.reportBackoff.NextBackOff())
		w.warnThrottled(&w.linkLog, "reports are not answered; they are repeated", "error", err)
		return
	}
	for i := range answer.Drop {
		w.applyDrop(answer.Drop[i])
	}
	w.reportBackoff.Reset()
	w.nextReport = now
	for i := range batch {
		h := w.reportedTask(&batch[i])
		switch no := answer.Verdicts[i]; {
		case h == nil:
		case no != nil:
			w.scheduleRetry(h, no, now)
		case h.Phase == phaseFinished:
			w.removeTask(h)
		default:
			h.refusals = 0
		}
	}
}

// reportedTask returns the task that a report is about, nil if the report is out of date:
// the task has ended, is being dropped or has another attempt.
func (w *Worker) reportedTask(r *model.Report) *heldTask {
	h := w.tasks[r.ID]
	if h == nil || h.Attempt != r.Attempt || h.drop != nil || (h.Phase == phaseFinished) != r.Status.Finished() {
		return nil
	}
	return h
}

// scheduleRetry schedules a refused report again, after a wait that doubles.
func (w *Worker) scheduleRetry(h *heldTask, no *model.Error, now time.Time) {
	h.announced = false
	h.retryAt = now.Add(download.RetryWait(firstReportRetry, lastReportRetry, h.refusals))
	h.refusals++
	if no.Code == model.CodeConflict {
		w.scheduleHeartbeat() // the dispatcher does not know this worker, or that it has the task
	}
	w.warnThrottled(&w.linkLog, "a report was refused; it is repeated",
		"task", h.id(), "attempt", h.Attempt, "error", no)
}
