package dispatch_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// BenchmarkTurn is the whole life of a task: submitted and placed in one turn,
// reported as completed in the next. One operation is one task; as many as the name
// says are submitted in a turn and as many completed. Allocations depend on nothing
// but the code.
func BenchmarkTurn(b *testing.B) {
	for _, name := range []string{"memory", "sqlite"} {
		for _, size := range []int{8, 64, 512} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				var store dispatch.Store = memory.New()
				if name == "sqlite" {
					s, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "dispatcher.db")})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() {
						if err := s.Close(); err != nil {
							b.Error(err)
						}
					})
					store = s
				}
				benchmarkTurn(b, store, size)
			})
		}
	}
}

func benchmarkTurn(b *testing.B, store dispatch.Store, size int) {
	turn := dispatch.NewTurn(engine.Config{
		MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
		HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90),
		MaxPending: 1_000_000, RequirementSets: 100,
	}, store)
	ctx, clock := context.Background(), engine.Clock{Wall: 1, Steady: 1}
	if err := turn.Load(ctx, clock); err != nil {
		b.Fatal(err)
	}
	do := func(events []engine.Event) *dispatch.Outcome {
		out, err := turn.Do(ctx, clock, true, events)
		if err != nil {
			b.Fatal(err)
		}
		return out
	}
	do([]engine.Event{engine.Heartbeat{Heartbeat: &model.Heartbeat{
		WorkerID: "w", Instance: "i", Epoch: 1, State: model.StateReady, TotalSlots: 2 * size,
	}}})
	submits := make([]engine.Event, b.N) // as if they had been decoded: not counted
	for i := range submits {
		s := &model.TaskSpec{
			ID: fmt.Sprintf("01JD%022d", i), URL: fmt.Sprintf("https://files.example/%d.bin", i),
			Options: model.Options{"split": {"4"}}, Labels: map[string]string{"batch": "1"},
		}
		submits[i] = engine.Submit{Client: "shop", Spec: s, Hash: s.Hash()}
	}
	var events []engine.Event // what comes next: the reports of the last turn's tasks, and submits
	b.ReportAllocs()
	b.ResetTimer()
	for len(submits) > 0 {
		n := min(size, len(submits))
		events = append(events, submits[:n]...)
		submits = submits[n:]
		out := do(events)
		events = events[:0]
		for i := range out.Answers {
			if a := &out.Answers[i]; a.Err != nil {
				b.Fatal(a.Err)
			} else if a.Task != nil {
				events = append(events, engine.Report{Worker: "w", Report: model.Report{ID: a.Task.ID, Attempt: a.Task.Attempt, Status: model.ReportCompleted, Progress: 100}})
			}
		}
	}
	do(events)
	b.StopTimer()
	counts, err := store.Counts(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if n := counts[model.StatusCompleted]; n != int64(b.N) {
		b.Fatalf("of %d tasks %d are completed", b.N, n)
	}
}
