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
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

// layouts are the layouts of the table tasks that were compared, as changes to the one that
// was chosen.
var layouts = []struct{ name, sql string }{
	{"two partitions", ""},
	{"two partitions without an index of active tasks", "DROP INDEX tasks_live_active"},
	{"two partitions with indexes of status and worker", `DROP INDEX tasks_live_active;
		CREATE INDEX ON tasks_live (status, seq); CREATE INDEX ON tasks_live (worker_id, seq) WHERE worker_id <> ''`},
	{"one table", `ALTER TABLE tasks RENAME TO old; CREATE TABLE tasks (LIKE old INCLUDING DEFAULTS INCLUDING GENERATED) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01);
		CREATE UNIQUE INDEX ON tasks (seq); CREATE UNIQUE INDEX ON tasks (id); CREATE INDEX ON tasks (client, seq);
		CREATE INDEX ON tasks (status, seq) WHERE status <> 'completed'; CREATE INDEX ON tasks (worker_id, seq) WHERE worker_id <> ''`},
}

// BenchmarkLayout measures whole lives of tasks in each layout.
func BenchmarkLayout(b *testing.B) {
	for _, layout := range layouts {
		for _, n := range []int{64, 1000} {
			b.Run(fmt.Sprintf("%s/changes=%d", layout.name, n), func(b *testing.B) {
				ctx := context.Background()
				s := mustOpen(b, Config{DSN: testpostgres.Database(b)})
				if layout.sql != "" {
					if _, err := s.w.conn.Exec(ctx, layout.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						b.Fatal(err)
					}
				}
				next := repotest.NewGenerator(n)
				for range 30 {
					if err := s.Commit(ctx, next()); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				begin, cpu := time.Now(), backendCPU(b, s)
				for range b.N {
					if err := s.Commit(ctx, next()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n*b.N)/time.Since(begin).Seconds(), "changes/s")
				b.ReportMetric(float64((backendCPU(b, s)-cpu).Microseconds())/float64(n*b.N), "server-µs/change")
			})
		}
	}
}

// BenchmarkCommit measures commits as those of the other stores are.
func BenchmarkCommit(b *testing.B) {
	repotest.BenchmarkCommit(b, func(b *testing.B) repo.Store {
		return mustOpen(b, Config{DSN: testpostgres.Database(b)})
	})
}

// backendCPU returns the processor time of the session that writes.
func backendCPU(b *testing.B, s *Store) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.w.backend.Load()))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var ticks int64
	for _, field := range strings.Fields(rest)[11:13] { // utime, stime in hundredths
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
