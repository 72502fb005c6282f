package repotest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// RowsVariable names the environment variable with the sizes, comma separated,
// of the stores that [BenchmarkRead] reads.
const RowsVariable = "ARIA_BENCH_ROWS"

// BenchmarkRead measures reads of stores of several sizes: 10,000 and 100,000
// tasks, or what RowsVariable says. Of the tasks 2% are pending, a few active,
// 1% failed, the rest completed; half are one client's, a hundredth another's.
func BenchmarkRead(b *testing.B, open func(b *testing.B) repo.Store) {
	sizes := os.Getenv(RowsVariable)
	if sizes == "" {
		sizes = "10000,100000"
	}
	for _, size := range strings.Split(sizes, ",") {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			b.Fatalf("%s: %v", RowsVariable, err)
		}
		b.Run("rows="+size, func(b *testing.B) { benchmarkReads(b, open, n) })
	}
}

func benchmarkReads(b *testing.B, open func(b *testing.B) repo.Store, n int64) {
	ctx := context.Background()
	s := open(b)
	defer s.Close()
	for first := int64(1); first <= n; first += 1000 {
		batch := &model.Batch{}
		for seq := first; seq < first+1000; seq++ {
			batch.Tasks = append(batch.Tasks, put(fillTask(seq)))
		}
		mustCommit(b, s, batch)
	}
	middle := fillTask(n / 2)
	b.Run("get", func(b *testing.B) {
		for i := range b.N {
			if get(b, s, fillTask(1+int64(i)*7919%n).ID) == nil {
				b.Fatal("a task is not there")
			}
		}
	})
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if counts(b, s).Total() != n {
				b.Fatal("a task is not counted")
			}
		}
	})
	// A page in the middle of the store, where there are as many before it as
	// behind it; the cursor is where a scan by pages would be.
	for _, q := range []struct {
		name string
		model.ListQuery
	}{
		{"newest", model.ListQuery{}},
		{"oldest", model.ListQuery{Order: model.OrderOldest}},
		{"client", model.ListQuery{Client: "big"}},
		{"small client", model.ListQuery{Client: "small"}},
		{"pending", model.ListQuery{Status: []model.Status{model.StatusPending}}},
		{"failed", model.ListQuery{Status: []model.Status{model.StatusFailed}}},
		{"completed", model.ListQuery{Status: []model.Status{model.StatusCompleted}}},
		{"client and status", model.ListQuery{Client: "big", Status: []model.Status{model.StatusCompleted}}},
		{"time", model.ListQuery{Since: middle.CreatedAt - 500, Until: middle.CreatedAt + 500}},
		{"since", model.ListQuery{Since: middle.CreatedAt}},
		{"text that is nowhere", model.ListQuery{Text: "nowhere"}},
	} {
		q.Limit = 100
		b.Run("page/"+q.name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				page, err := s.List(ctx, &q.ListQuery)
				if err != nil {
					b.Fatal(err)
				}
				found = len(page.Tasks)
			}
			b.ReportMetric(float64(found), "tasks")
		})
	}
}

// fillTask is a task of a store that has been at work for long; one came each
// millisecond.
func fillTask(seq int64) *model.Task {
	t := task(fmt.Sprintf("01JD%022d", seq), seq)
	t.CreatedAt = model.Time(1_700_000_000_000 + seq)
	t.Client = "big"
	switch {
	case seq%100 == 17:
		t.Client = "small"
	case seq%2 == 0:
		t.Client = fmt.Sprintf("client-%d", seq%64)
	}
	t.Attempt, t.LastWorkerID, t.FinishedAt = 1, "worker-1", t.CreatedAt+60_000
	switch {
	case seq%50 == 1:
		t.Attempt, t.LastWorkerID, t.FinishedAt = 0, "", 0
	case seq%100 == 2:
		t.Status, t.Error = model.StatusFailed, &model.TaskError{Code: 3, Message: "not found", Class: model.ClassPermanent}
	case seq%10_000 == 3:
		t.Status, t.WorkerID, t.LastWorkerID, t.FinishedAt = model.StatusDownloading, "worker-1", "", 0
	default:
		t.Status, t.Progress = model.StatusCompleted, 100
		t.Result = &model.Result{Files: []model.File{{Path: "file.iso", Length: 1 << 30}}, TotalLength: 1 << 30, WorkerID: "worker-1"}
	}
	return t
}
