package postgres

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

// sizeVariable names the environment variable with the numbers of pending and finished
// tasks of [BenchmarkBacklog], such as 1000000,5000000.
const sizeVariable = "ARIA_BENCH_BACKLOG"

// fill stores tasks, pending ones behind those that have ended.
func fill(b *testing.B, s *Store, pending, ended int64) {
	b.Helper()
	ctx := context.Background()
	t, err := beginImport(ctx, s)
	if err != nil {
		b.Fatal(err)
	}
	const chunk = 5000
	for first := int64(1); first <= pending+ended; first += chunk {
		batch := &model.Batch{}
		for seq := first; seq < first+chunk; seq++ {
			row := &model.Task{
				TaskSpec: model.TaskSpec{
					ID: fmt.Sprintf("01JC%022d", seq), URL: fmt.Sprintf("https://host.example/files/%d.iso", seq), Priority: 2, MaxAttempts: 4,
					Options: model.Options{"out": {"file.iso"}, "split": {"4"}},
				},
				Client: fmt.Sprintf("client-%d", seq%64), Seq: seq - pending - ended, CreatedAt: 1, TaskState: model.TaskState{Status: model.StatusPending},
			}
			row.Seq += 1 << 40
			if seq <= ended {
				row.Status, row.Attempt, row.LastWorkerID, row.FinishedAt, row.Progress = model.StatusCompleted, 1, "worker-1", 2, 100
				row.Result = &model.Result{Files: []model.File{{Path: "file.iso", Length: 1 << 30}}, TotalLength: 1 << 30, WorkerID: "worker-1"}
			}
			batch.Tasks = append(batch.Tasks, model.TaskChange{ID: row.ID, Put: row})
		}
		if err := t.Commit(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := t.conn.Exec(ctx, "COMMIT"); err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{"VACUUM ANALYZE tasks", "CHECKPOINT"} {
		if _, err := t.conn.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	if err := t.conn.Close(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBacklog measures whole lives of tasks beside a backlog, the load at a start, a
// list, and lives while an old transaction keeps every version of a row.
func BenchmarkBacklog(b *testing.B) {
	var pending, ended int64
	for i, text := range strings.Split(os.Getenv(sizeVariable), ",") {
		n, _ := strconv.ParseInt(text, 10, 64)
		*[]*int64{&pending, &ended}[min(i, 1)] = n
	}
	server := testpostgres.Start(b, "shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min")
	dsn := server.Database(b)
	s := mustOpen(b, Config{DSN: dsn})
	begin := time.Now()
	fill(b, s, pending, ended)
	size, _ := s.Size(b.Context())
	b.Logf("%d pending and %d finished tasks: filled in %v, %d bytes", pending, ended, time.Since(begin).Round(time.Second), size)
	next := repotest.NewGenerator(1000)
	lives := func(b *testing.B) {
		cpu, begin := backendCPU(b, s), time.Now()
		for range b.N {
			if err := s.Commit(b.Context(), next()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(1000*b.N)/time.Since(begin).Seconds(), "changes/s")
		b.ReportMetric(float64((backendCPU(b, s)-cpu).Microseconds())/float64(1000*b.N), "server-µs/change")
	}
	b.Run("lives", lives)
	b.Run("load", func(b *testing.B) {
		for range b.N {
			n := 0
			for _, err := range s.Live(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n), "tasks")
		}
	})
	b.Run("list", func(b *testing.B) {
		for range b.N {
			if _, err := s.List(b.Context(), &model.ListQuery{Client: "client-3", Status: []model.Status{model.StatusPending}, Limit: 100}); err != nil {
				b.Fatal(err)
			}
		}
	})
	old, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer old.Close(context.Background())
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM leader"} {
		if _, err := old.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("lives under an old transaction", lives)
}
