package worker

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Figures that a server made up are dropped where the engine's states enter, for the
// reports, the heartbeats and the totals.
func TestWorker_ImpossibleFiguresDropped(t *testing.T) {
	for _, n := range []int64{-7, model.MaxLength + 1, math.MaxInt64, math.MinInt64} {
		bubble(t, func(t *testing.T) {
			n0 := start(t, t.TempDir(), nil)
			n0.give(assignment("bad", 1), assignment("good", 1))
			for i := range int64(3) {
				n0.engine.set("bad", download.State{Completed: n, Total: n, Speed: n})
				n0.engine.set("good", download.State{Completed: 10 * i, Total: 100, Speed: 10})
				n0.pass(2 * time.Second)
			}
			n0.pass(5 * time.Second)
			h := n0.link.lastBeat()
			h.WorkerID = "w1"
			if err := h.Validate(); err != nil {
				t.Errorf("figures of %d: the heartbeat is invalid: %v", n, err)
			}
			if faults := h.Repair(); len(faults) > 0 {
				t.Errorf("figures of %d: %v", n, faults)
			}
			r := n0.link.lastReport("good")
			same(t, "the innocent", []any{r.CompletedLength, r.Progress}, []any{20, 20.0})
			same(t, "bytes", h.PerformanceStats.TotalBytesDownloaded, 20)
		})
	}
}

// A journal and totals that an earlier worker kept with such figures are repaired, and
// the end of the task is still reported.
func TestWorker_KeptImpossibleFiguresRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		n := start(t, dir, func(_ *Config, n *node) { n.link.report = deaf })
		n.give(assignment("a", 1))
		n.engine.set("a", download.State{Phase: download.Failed, Err: &model.TaskError{Code: 3, Message: "404", Class: model.ClassPermanent}})
		n.pass(time.Second)
		n.link.with(func() { n.link.beat = nil })
		entry := filepath.Join(dir, journalDir, "a.json")
		n.cancel()
		<-n.done
		n.cancel = nil
		must(t, os.Remove(filepath.Join(dir, journalDir, journalFile)))
		text := `{"attempt":1,"phase":"finished","task":{"id":"a","url":"http://example.com/a"},"report":{"id":"a","attempt":1,
			"status":"failed","total_length":9223372036854775807,"error":{"code":3,"message":"404","class":"of an older worker"}}}`
		if err := os.WriteFile(entry, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, stateDir, statsName), []byte(`{"bytes":-5,"peak_speed":9223372036854775807}`), 0o600); err != nil {
			t.Fatal(err)
		}
		again := start(t, dir, nil)
		again.pass(time.Second)
		r := again.link.lastReport("a")
		same(t, "reported", []any{r.Status, r.TotalLength, r.Error.Class}, []any{model.ReportFailed, 0, model.ClassRetryable})
		same(t, "the totals", again.link.lastBeat().PerformanceStats, model.PerformanceStats{})
	})
}
