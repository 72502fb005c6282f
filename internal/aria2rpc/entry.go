package aria2rpc

import (
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// phase is the status of a download in aria2's words.
type phase string

// The phases that aria2 knows.
const (
	phaseActive   phase = "active"
	phaseWaiting  phase = "waiting"
	phasePaused   phase = "paused"
	phaseComplete phase = "complete"
	phaseError    phase = "error"
	phaseRemoved  phase = "removed"
)

// phaseOf maps a status. A task that is assigned and has not begun still waits.
func phaseOf(s model.Status) phase {
	switch s {
	case model.StatusDownloading:
		return phaseActive
	case model.StatusPaused:
		return phasePaused
	case model.StatusCompleted:
		return phaseComplete
	case model.StatusFailed:
		return phaseError
	case model.StatusCanceled:
		return phaseRemoved
	}
	return phaseWaiting
}

func (p phase) ended() bool { return p == phaseComplete || p == phaseError || p == phaseRemoved }

// entry is one download of a view. It is the view's, under its lock.
type entry struct {
	gid, id  string
	phase    phase
	told     phase            // that notifications have told
	last     *model.TaskEvent // the newest one
	priority model.Priority   // 0: not known yet
	order    int64            // of arrival
	began    bool             // onDownloadStart was sent for this run

	row     *model.Task // read last, with newer progress; nil: not read
	readAt  time.Time
	name    string            // of the file, as far as the row says it
	speed   int64             // bytes/s while it runs, also before the row is read
	torrent *described        // nil: no torrent, or not known yet
	whole   bool              // the row was read with the bytes of its torrent
	options map[string]string // those that are only remembered
	encoded atomic.Pointer[encodedStatus]
}

// rowLife is how long a row may be shown without a new read. Events keep it current, but
// a deletion, or a change of priority or options by another face, has no event. A download
// that runs cannot be deleted, and has no place in the queue.
const (
	rowLife    = 5 * time.Second
	activeLife = 30 * time.Second
)

func (e *entry) fresh(now time.Time) bool {
	life := rowLife
	if e.phase == phaseActive {
		life = activeLife
	}
	return e.row != nil && now.Sub(e.readAt) < life && (e.whole || e.row.URL != "")
}

// apply takes over what an event says of the row. Readers share the row, so it is
// replaced.
func (e *entry) apply(ev *model.TaskEvent) {
	if e.row == nil {
		return
	}
	row := *e.row
	row.Status, row.Attempt, row.Error, row.Result = ev.Status, ev.Attempt, ev.Error, ev.Result
	if ev.WorkerID != "" {
		row.WorkerID = ev.WorkerID
	}
	if !ev.Status.Active() {
		row.DownloadSpeed = 0
	}
	if ev.Status == model.StatusCompleted && ev.Result != nil {
		row.TotalLength, row.CompletedLength = ev.Result.TotalLength, ev.Result.TotalLength
	}
	e.row = &row
}

func (e *entry) progress(ev *model.ProgressEvent) {
	attempt := ev.Attempt
	switch {
	case e.row != nil:
		attempt = e.row.Attempt
	case e.last != nil:
		attempt = e.last.Attempt
	}
	if attempt != ev.Attempt {
		return
	}
	e.speed = ev.DownloadSpeed
	if e.row == nil {
		return
	}
	row := *e.row
	row.CompletedLength, row.TotalLength, row.DownloadSpeed = ev.CompletedLength, ev.TotalLength, ev.DownloadSpeed
	e.row = &row
}
