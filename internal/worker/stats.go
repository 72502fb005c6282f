package worker

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const statsName = "stats.json"

// stats counts the work of the worker since its folder was created. The totals are
// stored; a crash loses the last seconds.
type stats struct {
	root  *os.Root
	dirty bool
	next  time.Time // of saving
	last  time.Time // of progress

	total statsFile
	// Since the start, for the health of this process.
	completed, faults int64
}

type statsFile struct {
	Completed     int64   `json:"completed"`
	Failed        int64   `json:"failed"`
	Bytes         int64   `json:"bytes"`
	PeakSpeed     int64   `json:"peak_speed"`     // bytes/s
	ActiveSeconds float64 `json:"active_seconds"` // with received bytes
}

// openStats reads the totals. An unreadable value starts at zero.
func openStats(root *os.Root) *stats {
	s := &stats{root: root}
	if data, err := root.ReadFile(stateDir + "/" + statsName); err == nil {
		if json.Unmarshal(data, &s.total) != nil {
			s.total = statsFile{}
		}
		s.total.repair()
	}
	return s
}

// repair sets impossible totals to 0: an earlier worker may have stored a wrong length of
// a server.
func (f *statsFile) repair() {
	for _, n := range []*int64{&f.Completed, &f.Failed, &f.Bytes, &f.PeakSpeed} {
		*n = model.KnownLength(*n)
	}
	if !(f.ActiveSeconds >= 0) {
		f.ActiveSeconds = 0
	}
}

// addProgress counts what all downloads together gained since the last call.
func (s *stats) addProgress(now time.Time, speed, gained int64) {
	if gained > 0 && !s.last.IsZero() {
		s.total.ActiveSeconds += now.Sub(s.last).Seconds()
		s.total.Bytes = model.AddLengths(s.total.Bytes, gained)
		s.dirty = true
	}
	s.last = now
	s.total.PeakSpeed = max(s.total.PeakSpeed, speed)
}

// countFinished counts the end of an attempt. Only a failure of the worker's own files is a fault
// of the worker: the dispatcher sees whether another worker could do what this one could not.
func (s *stats) countFinished(last *model.Report) {
	if last.Status == model.ReportCompleted {
		s.completed++
		s.total.Completed++
	} else {
		s.total.Failed++
		if last.Error.IsOfFiles() {
			s.faults++
		}
	}
	s.dirty = true
}

func (s *stats) performance() model.PerformanceStats {
	p := model.PerformanceStats{
		PeakDownloadSpeed: float64(s.total.PeakSpeed), TotalBytesDownloaded: s.total.Bytes,
		CompletedTasks: s.total.Completed, FailedTasks: s.total.Failed,
	}
	if s.total.ActiveSeconds > 0 {
		p.AvgDownloadSpeed = finite(float64(s.total.Bytes) / s.total.ActiveSeconds)
	}
	return p
}

// save writes the totals if they changed, at most once in an interval.
func (s *stats) save(now time.Time, interval time.Duration, log *slog.Logger) {
	if !s.dirty || now.Before(s.next) {
		return
	}
	s.dirty, s.next = false, now.Add(interval)
	data, err := json.Marshal(s.total)
	if err == nil {
		err = replaceFile(s.root, stateDir+"/"+statsName, data)
	}
	if err != nil {
		log.Debug("the worker's totals were not kept", "error", err)
	}
}
