package engine

import (
	"maps"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each reason for which a task waits is counted.
func TestFigures_CountTasksByWaitReason(t *testing.T) {
	for reason, acts := range map[WaitReason][]string{
		WaitNoSlot:       {"heartbeat w1 slots=1", "submit shop t1", "submit shop t2"},
		WaitBackoff:      {"heartbeat w1", "submit shop t1", "report w1 t1#1:failed:retryable"},
		WaitNotBefore:    {"heartbeat w1", "submit shop t1 not_before=60"},
		WaitHostLimit:    {"rules per_host=1", "heartbeat w1", "submit shop t1", "submit shop t2"},
		WaitNoWorker:     {"heartbeat w1", "submit shop t1 tag=location:eu"},
		WaitAffinity:     {"heartbeat w1 slots=1", "heartbeat w2 slots=1", "submit shop t1", "report w1 t1#1:downloading:50", "pause shop t1", "heartbeat w1 slots=1", "submit shop t2 priority=urgent", "resume shop t1"},
		WaitHostCooldown: {"heartbeat w1", "submit shop t1", "report w1 t1#1:failed:retryable+40", "submit shop t2"},
	} {
		t.Run(string(reason), func(t *testing.T) {
			w := newWorld(t, testConfig())
			for _, act := range acts {
				w.act(strings.Fields(act))
			}
			waiting := w.engine.Figures().Waiting
			if waiting[reason] != 1 {
				t.Errorf("got %v, want 1 for %s", waiting, reason)
			}
		})
	}
}

// The oldest waiting task of each priority is the one that came first into the queue; its
// wait begins with the end of its backoff.
func TestFigures_OldestWaitingByPriority(t *testing.T) {
	w := newWorld(t, testConfig())
	want := func(normal, urgent model.Duration) {
		t.Helper()
		got := w.engine.Figures().OldestWaiting
		if got[model.PriorityNormal] != normal || got[model.PriorityUrgent] != urgent || got[model.PriorityLow] != 0 {
			t.Errorf("got %v, want %v for normal and %v for urgent", got, normal, urgent)
		}
	}
	act := func(lines ...string) {
		for _, line := range lines {
			w.act(strings.Fields(line))
		}
	}
	act("submit shop t1", "pass 10s", "submit shop t2", "submit shop u1 priority=urgent", "pass 5s")
	want(model.Seconds(15), model.Seconds(5))
	act("cancel shop t1")
	want(model.Seconds(5), model.Seconds(5))
	act("update shop t2 priority=urgent")
	want(0, model.Seconds(5))
	act("heartbeat w1 slots=2")
	want(0, 0)
	act("report w1 u1#1:failed:retryable")
	want(0, 0)
	act("heartbeat w1 slots=1 holds=t2#1:downloading:1", "pass 6s", "pass 2s")
	if got := w.engine.Figures().OldestWaiting[model.PriorityUrgent]; got <= 0 || got > model.Seconds(8) {
		t.Errorf("the wait of a task after its backoff is %v, not from its end", got)
	}
}

// Workers are counted by status, and the slots of those that can be used.
func TestFigures_CountWorkersAndSlots(t *testing.T) {
	w := newWorld(t, testConfig())
	for _, act := range []string{
		"heartbeat lost slots=7", "pass 31s", "heartbeat free slots=3", "heartbeat busy slots=1 tag=location:eu",
		"submit shop t1 tag=location:eu", "heartbeat draining slots=5", "drain draining", "heartbeat broken slots=9 state=error",
		"pass 4s", "report busy t1#1:downloading:10",
	} {
		w.act(strings.Fields(act))
	}
	f := w.engine.Figures()
	want := map[model.WorkerStatus]int{
		model.WorkerOnline: 1, model.WorkerBusy: 1, model.WorkerDraining: 1, model.WorkerOffline: 1, model.WorkerError: 1,
	}
	if !maps.Equal(f.Workers, want) || f.Slots != 3+1+5 || f.UsedSlots != 1 || f.HeartbeatAgeMax != model.Seconds(4) {
		t.Errorf("got %+v", f)
	}
	if f.Tasks[model.StatusDownloading] != 1 {
		t.Errorf("tasks: %v", f.Tasks)
	}
}

// BenchmarkFigures is what the loop spends each second on the figures of a large cluster.
func BenchmarkFigures(b *testing.B) {
	x := newBench(b, load{pending: 100_000, workers: 10_000})
	b.ReportAllocs()
	for b.Loop() {
		_ = x.Figures()
	}
}
