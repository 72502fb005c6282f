package worker

import (
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Figures is what a worker has done since its start, and what it does now.
type Figures struct {
	Slots       int
	UsedSlots   int
	DiskFree    int64            // bytes of the file system of the download folder; 0 before the first measurement
	Downloaded  int64            // bytes
	Downloads   map[string]int64 // ended attempts by outcome; every outcome is there
	JournalSync time.Duration    // of the last write of the journal
}

// Outcomes are the keys of [Figures.Downloads].
var Outcomes = []string{
	string(model.ReportCompleted), string(model.ClassRetryable), string(model.ClassPermanent), string(model.ClassWorker), string(model.ReportRejected),
}

// counts is Figures for many goroutines; the worker's loop writes it.
type counts struct {
	used, downloaded atomic.Int64
	outcomes         [5]atomic.Int64 // as Outcomes
}

// countEnd counts an attempt that has ended.
func (c *counts) countEnd(last *model.Report) {
	outcome := string(last.Status)
	if last.Status == model.ReportFailed {
		outcome = string(last.Error.Class)
	}
	for i, o := range Outcomes {
		if o == outcome {
			c.outcomes[i].Add(1)
		}
	}
}

// noteUsed notes how many slots are in use.
func (w *Worker) noteUsed() { w.counts.used.Store(int64(w.usage().slots)) }

// Figures returns the current figures, from memory. It is safe for concurrent use.
func (w *Worker) Figures() Figures {
	f := Figures{
		Slots: w.cfg.Slots, UsedSlots: int(w.counts.used.Load()), Downloaded: w.counts.downloaded.Load(),
		Downloads: make(map[string]int64, len(Outcomes)), JournalSync: time.Duration(w.journal.lastSync.Load()),
	}
	for i, o := range Outcomes {
		f.Downloads[o] = w.counts.outcomes[i].Load()
	}
	if s := w.health.Load(); s != nil {
		f.DiskFree = s.metrics.DiskFree
	}
	return f
}
