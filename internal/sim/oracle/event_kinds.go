package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// EventKinds lists the kinds of events that the oracle counts when the engine answers
// them as intended.
var EventKinds = []string{
	"submit", "submit, id again", "submit, refused as another's or with another spec", "submit, over a limit",
	"cancel", "pause", "resume", "retry", "update", "delete", "delete with files", "expire", "a verb, refused",
	"drain worker", "resume worker", "remove worker", "remove worker, refused",
	"heartbeat, registers", "heartbeat, with tasks", "heartbeat, partial", "heartbeat, leaving", "heartbeat, name is taken",
	"report downloading", "report completed", "report failed", "report rejected", "report, refused with a drop",
	"query",
	"import begins", "import puts", "import is finished", "import is aborted", "import is given up",
	"event that panics, refused alone", "query that panics, refused alone",
}

// eventKind names an event by its outcome, "" if it is not one of the above.
func eventKind(op engine.Event, a *engine.Answer) string {
	switch op := op.(type) {
	case engine.Submit:
		switch {
		case a.Err == nil && op.Chosen && a.Task != nil && a.Task.UpdatedAt != a.Task.CreatedAt:
			return "submit, id again"
		case a.Err == nil:
			return "submit"
		case a.Err.Code == model.CodeTooMany:
			return "submit, over a limit"
		}
		return "submit, refused as another's or with another spec"
	case engine.Cancel, engine.Pause, engine.Resume, engine.Retry, engine.Update, engine.Delete:
		return verbKind(op, a)
	case engine.DrainWorker, engine.ResumeWorker, engine.RemoveWorker:
		return adminKind(op, a)
	case engine.Heartbeat:
		return heartbeatKind(op.Heartbeat, a)
	case engine.Report:
		switch {
		case a.Drop != nil:
			return "report, refused with a drop"
		case a.Err != nil:
			return ""
		case op.Status == model.ReportPaused:
			return "report downloading"
		}
		return "report " + string(op.Status)
	case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
		if a.Err != nil && a.Err.Code == model.CodeInternal {
			return "query that panics, refused alone"
		}
		return "query"
	case engine.Import:
		if a.Err != nil && a.Err.Code == model.CodeInternal {
			return "event that panics, refused alone"
		}
	}
	return ""
}

func heartbeatKind(h *model.Heartbeat, a *engine.Answer) string {
	switch {
	case a.Err != nil && a.Err.Code == model.CodeConflict:
		return "heartbeat, name is taken"
	case a.Err != nil:
		return ""
	case h.State == model.StateLeaving:
		return "heartbeat, leaving"
	case h.Partial:
		return "heartbeat, partial"
	case len(h.Tasks) > 0:
		return "heartbeat, with tasks"
	}
	return "heartbeat, registers"
}

func verbKind(op engine.Event, a *engine.Answer) string {
	if a.Err != nil {
		return "a verb, refused"
	}
	switch op := op.(type) {
	case engine.Cancel:
		return "cancel"
	case engine.Pause:
		return "pause"
	case engine.Resume:
		return "resume"
	case engine.Retry:
		return "retry"
	case engine.Update:
		return "update"
	case engine.Delete:
		if op.Files {
			return "delete with files"
		}
	}
	return "delete"
}

func adminKind(op engine.Event, a *engine.Answer) string {
	switch op.(type) {
	case engine.DrainWorker:
		if a.Err == nil {
			return "drain worker"
		}
	case engine.ResumeWorker:
		if a.Err == nil {
			return "resume worker"
		}
	case engine.RemoveWorker:
		if a.Err == nil {
			return "remove worker"
		}
		if a.Err.Code == model.CodeConflict {
			return "remove worker, refused"
		}
	}
	return ""
}
