package worker

import (
	"path/filepath"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// logEnd logs the end of an attempt: the path of the file, or the error and how the
// dispatcher handles it.
func (w *Worker) logEnd(h *heldTask, last *model.Report) {
	args := []any{"task", h.id(), "attempt", h.Attempt, "url", model.RedactURL(h.Task.URL)}
	message := "download completed"
	if last.Result != nil && len(last.Result.Files) > 0 {
		args = append(args, "path", filepath.Join(h.dir.path, filepath.FromSlash(last.Result.Files[0].Path)),
			"files", len(last.Result.Files), "bytes", last.Result.TotalLength)
	}
	switch {
	case last.Error == nil:
	case last.Status == model.ReportCompleted:
		args = append(args, "before", last.Error.Message) // the error of the other engine
	default:
		message = endMessages[last.Error.Class]
		args = append(args, "code", last.Error.Code, "class", last.Error.Class, "error", last.Error.Message)
	}
	w.log.Info(message, args...)
}

// endMessages say what the dispatcher does with a failed attempt.
var endMessages = map[model.Class]string{
	model.ClassRetryable: "attempt failed; it may be retried",
	model.ClassWorker:    "attempt failed; another worker may try",
	model.ClassPermanent: "attempt failed; it will not be retried",
}
