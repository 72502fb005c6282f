//go:build soak && !race

package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

const (
	// sizeVariable names the environment variable with the numbers of pending and finished
	// tasks of [TestSoakBacklog_CostStaysFlat]; without it they are defaultSize.
	sizeVariable = "ARIA_SOAK_BACKLOG"
	defaultSize  = "1000000,5000000"
	// compareFor is how long two stores are compared, holdFor how long the load runs under
	// an old transaction before that.
	compareFor, holdFor = 30 * time.Second, time.Minute
	maxRatio            = 1.3
	maxLoad             = 5 * time.Second
)

// fill stores tasks, pending ones behind those that have ended.
func fill(t *testing.T, s *Store, pending, ended int64) {
	t.Helper()
	ctx := context.Background()
	to, err := beginImport(ctx, s)
	if err != nil {
		t.Fatal(err)
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
		if err := to.Commit(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := to.conn.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"VACUUM ANALYZE tasks", "CHECKPOINT"} {
		if _, err := to.conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// lives is a store with the load of whole lives of tasks.
type lives struct {
	*Store
	next func() *model.Batch
	took []time.Duration
}

// commit makes one commit of 1,000 changes.
func (l *lives) commit(t *testing.T) {
	t.Helper()
	b := l.next()
	begin := time.Now()
	if err := l.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	l.took = append(l.took, time.Since(begin))
}

// median returns that of the commits since the last call.
func (l *lives) median() time.Duration {
	slices.Sort(l.took)
	m := l.took[len(l.took)/2]
	l.took = nil
	return m
}

// compare lets an empty store and a full one commit in turn, so that both meet the same
// machine, and requires that a commit of the full one takes about as long.
func compare(t *testing.T, what string, empty, full *lives) {
	t.Helper()
	empty.took, full.took = nil, nil
	for begin := time.Now(); time.Since(begin) < compareFor; {
		empty.commit(t)
		full.commit(t)
	}
	n, a, b := len(empty.took), empty.median(), full.median()
	ratio := b.Seconds() / a.Seconds()
	t.Logf("%s: a commit of 1000 changes takes %v, %v beside an empty store: ratio %.2f of %.1f allowed (medians of %d)", what, b, a, ratio, maxRatio, n)
	if ratio > maxRatio {
		t.Errorf("%s: a commit takes %.2f times as long as with an empty store", what, ratio)
	}
}

// The cost of a commit does not grow with the backlog nor with what has ended, also while an
// old transaction keeps every version of a row, and the backlog is loaded soon. It takes
// about 6 minutes and 6 GB in TMPDIR at its default size.
//
//	go test -tags soak -count=1 -timeout 20m -v -run SoakBacklog ./pkg/repo/postgres
//
// It measures, so it is not for the race detector.
func TestSoakBacklog_CostStaysFlat(t *testing.T) {
	size := os.Getenv(sizeVariable)
	if size == "" {
		size = defaultSize
	}
	first, second, _ := strings.Cut(size, ",")
	pending, errPending := strconv.ParseInt(first, 10, 64)
	ended, errEnded := strconv.ParseInt(second, 10, 64)
	if errPending != nil || errEnded != nil {
		t.Fatalf("%s is %q, want two numbers such as %s", sizeVariable, size, defaultSize)
	}
	server := testpostgres.Start(t, "shared_buffers=512MB", "max_wal_size=1GB")
	dsn := server.Database(t)
	empty := &lives{Store: mustOpen(t, Config{DSN: server.Database(t)}), next: repotest.NewGenerator(1000)}
	full := &lives{Store: mustOpen(t, Config{DSN: dsn}), next: repotest.NewGenerator(1000)}
	begin := time.Now()
	fill(t, full.Store, pending, ended)
	bytes, err := full.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pending and %d finished tasks: filled in %v, %d MB", pending, ended, time.Since(begin).Round(time.Second), bytes>>20)
	checkLoad(t, full.Store)
	compare(t, "beside the backlog", empty, full)
	old, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close(context.Background())
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM leader"} {
		if _, err := old.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); time.Since(begin) < holdFor; {
		full.commit(t)
	}
	compare(t, "under an old transaction too", empty, full)
	if _, err := old.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Errorf("the old transaction did not last: %v", err)
	}
}

// checkLoad requires that what a start reads is there soon.
func checkLoad(t *testing.T, s *Store) {
	t.Helper()
	begin, n := time.Now(), 0
	for _, err := range s.Live(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	took := time.Since(begin)
	t.Logf("%d pending tasks are loaded in %v, of %v allowed", n, took.Round(time.Millisecond), maxLoad)
	if took > maxLoad {
		t.Errorf("the load of %d tasks takes %v", n, took)
	}
}
