package engine

import (
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestWorkerSpeed_IsThatOfItsTasks checks that the speed of a worker is the sum of its
// downloads, without one that was canceled or paused before the worker said so.
func TestWorkerSpeed_IsThatOfItsTasks(t *testing.T) {
	w := newWorld(t, testConfig())
	for _, line := range [][]string{{"heartbeat", "w1", "slots=3"}, {"submit", "shop", "a"}, {"submit", "shop", "b"}, {"submit", "shop", "c"}} {
		w.act(line)
	}
	speed := func() int64 {
		return QueryWorkers{ID: "w1"}.decide(w.engine).Worker.DownloadSpeed
	}
	for id, n := range map[string]int64{"a": 100, "b": 20, "c": 3} {
		w.turn(Report{Worker: "w1", Report: model.Report{ID: id, Attempt: 1, Status: model.ReportDownloading, DownloadSpeed: n}})
	}
	for _, step := range []struct {
		act  []string
		want int64
	}{
		{nil, 123},
		{[]string{"cancel", "shop", "a"}, 23},
		{[]string{"pause", "shop", "b"}, 3},
		{[]string{"report", "w1", "c#1:completed"}, 0},
	} {
		if step.act != nil {
			w.act(step.act)
		}
		if got := speed(); got != step.want {
			t.Errorf("after %v the speed is %d, want %d", step.act, got, step.want)
		}
	}
}

// TestWorkerLastSeen_IsThatOfHeartbeatOrReport checks that a report is a sign of life too.
func TestWorkerLastSeen_IsThatOfHeartbeatOrReport(t *testing.T) {
	w := newWorld(t, testConfig())
	for _, line := range [][]string{{"heartbeat", "w1"}, {"submit", "shop", "a"}} {
		w.act(line)
	}
	seen := func() (heartbeat, last model.Time) {
		v := QueryWorkers{ID: "w1"}.decide(w.engine).Worker
		return v.LastHeartbeat, v.LastSeen
	}
	heartbeat, last := seen()
	if heartbeat == 0 || last != heartbeat {
		t.Errorf("after a heartbeat at %v it was seen at %v", heartbeat, last)
	}
	w.act([]string{"pass", "5s"})
	w.act([]string{"report", "w1", "a#1:downloading"})
	if again, last := seen(); again != heartbeat || last.Sub(heartbeat).Std() < 5*time.Second {
		t.Errorf("a report 5 s after the heartbeat at %v: seen at %v", again, last)
	}
}

// TestProgressEvent_ShowsChangedSpeed checks that the speed of a download that stands still
// is published: the last event had the speed of its last bytes.
func TestProgressEvent_ShowsChangedSpeed(t *testing.T) {
	w := newWorld(t, testConfig())
	w.act([]string{"heartbeat", "w1", "slots=1"})
	w.act([]string{"submit", "shop", "a"})
	var published []int64
	for _, speed := range []int64{500, 500, 0, 0} {
		w.act([]string{"stall", "1s"})
		_, p := w.turn(Report{Worker: "w1", Report: model.Report{
			ID: "a", Attempt: 1, Status: model.ReportDownloading, CompletedLength: 10, TotalLength: 1000, DownloadSpeed: speed,
		}})
		for _, ev := range p.Progress {
			published = append(published, ev.DownloadSpeed)
		}
	}
	if len(published) != 2 || published[1] != 0 {
		t.Errorf("speeds %v are published, want 500 and 0", published)
	}
}
