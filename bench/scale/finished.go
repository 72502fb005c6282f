package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// finishedPart compares a dispatcher with a store of many finished tasks and one with
// an empty store.
func (b *bench) finishedPart(ctx context.Context) error {
	b.table.head("%d finished tasks, one of %d failed, store sqlite", b.finished, failedEvery)
	dir := filepath.Join(b.dir, "finished")
	if err := b.seedFinished(ctx, dir); err != nil {
		return err
	}
	b.table.line("database, a finished task", "%.0f B", size(dir)/float64(b.finished))
	start := time.Now()
	full, err := b.start(ctx, dir, "sqlite")
	if err != nil {
		return err
	}
	defer full.stop()
	b.table.line("start to readiness", "%.2f s", time.Since(start).Seconds())
	b.table.line("heap in use", "%s", b.heapText(ctx, full))
	empty, err := b.start(ctx, filepath.Join(b.dir, "finished-empty"), "sqlite")
	if err != nil {
		return err
	}
	defer empty.stop()
	if err := b.ask(ctx, full); err != nil {
		return err
	}
	if err := b.scrape(ctx, full); err != nil {
		return err
	}
	var rates [2][]float64
	for range turns {
		for k, i := range []*instance{empty, full} {
			rate, err := i.submitRate(ctx, b.long, "nobody")
			if err != nil {
				return err
			}
			rates[k] = append(rates[k], rate)
		}
	}
	b.table.line("submits/s, 64 producers, empty", "%.0f", middle(rates[0]))
	b.table.line("submits/s, 64 producers, full", "%.0f", middle(rates[1]))
	b.table.most("submits/s, empty ÷ full", middle(rates[0])/middle(rates[1]), 1.2, "")
	return nil
}

func (b *bench) heapText(ctx context.Context, i *instance) string {
	heap, err := i.heap(ctx)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.1f MB", heap/1e6)
}

// ask measures reads: the median of 20 is what is asked about, so that a pause of
// the machine is not the store's fault.
func (b *bench) ask(ctx context.Context, i *instance) error {
	for _, q := range []struct{ what, subject, body string }{
		{"status", "query.status", ""},
		{"newest 100 of all", "query.task.list", `{"limit":100}`},
		{"oldest 100 of all", "query.task.list", `{"limit":100,"order":"created_at"}`},
		{"newest 100 of a client", "task.client-7.list", `{"limit":100}`},
		{"newest 100 of a client that has none", "task.nobody.list", `{"limit":100}`},
		{"a page of a text that is nowhere, which looks at 5,000 rows", "query.task.list", `{"limit":100,"text":"nowhere"}`},
		{"newest 100 that are completed", "query.task.list", `{"limit":100,"status":["completed"]}`},
		{"newest 100 failed", "query.task.list", `{"limit":100,"status":["failed"]}`},
		{"a page of those before the middle, which looks at 5,000 rows", "query.task.list", fmt.Sprintf(`{"limit":100,"until":%q}`, (firstFinished + model.Time(b.finished/2)).String())},
	} {
		list := make([]float64, 20)
		for k := range list {
			took, _, err := i.ask(ctx, q.subject, q.body)
			if err != nil {
				return err
			}
			list[k] = ms(took)
		}
		b.table.most(q.what+", median", middle(list), 10, " ms")
		b.table.line(q.what+", slowest of 20", "%.2f ms", slices.Max(list))
	}
	return nil
}

// firstFinished is when the first seeded task was made; each is a millisecond
// later.
const firstFinished = model.Time(1_790_000_000_000)

// seedFinished writes the finished tasks into a new store, or takes the one that -dir keeps.
func (b *bench) seedFinished(ctx context.Context, dir string) error {
	if b.keep == "" {
		return b.seed(ctx, file(dir), b.finished, finished)
	}
	path := filepath.Join(b.keep, fmt.Sprintf("finished-%d.db", b.finished))
	if _, err := os.Stat(path); err != nil {
		if err := b.seed(ctx, path, b.finished, finished); err != nil {
			return err
		}
	}
	if path == file(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return exec.CommandContext(ctx, "cp", path, file(dir)).Run()
}

// seed writes tasks straight into a new store.
func (b *bench) seed(ctx context.Context, path string, tasks int, task func(n int) *model.Task) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b.say("writing %d tasks", tasks)
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path, Synchronous: sqlite.Normal})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	batch := &model.Batch{}
	for n := range tasks {
		t := task(n)
		batch.Tasks = append(batch.Tasks, model.TaskChange{ID: t.ID, Put: t})
		if len(batch.Tasks) == 1000 || n == tasks-1 {
			if err := s.Commit(ctx, batch); err != nil {
				return err
			}
			batch.Tasks = nil
		}
		if n > 0 && n%1_000_000 == 0 {
			b.say("  %d", n)
		}
	}
	return nil
}

// failedEvery is how many of the finished tasks there are for one that has failed.
const failedEvery = 50

// finished is a completed task as the benchmark's own jobs leave it, or a failed one.
func finished(n int) *model.Task {
	j := queue.NewJob(int64(n))
	options := model.Options{}
	for name, value := range j.Options {
		options[name] = model.OptionValue{value}
	}
	// Ids as the dispatcher makes them: they rise with time.
	id := fmt.Sprintf("01K%s%013d", strings.Repeat("0", 10), n)
	at := firstFinished + model.Time(n)
	t := &model.Task{
		TaskSpec: model.TaskSpec{ID: id, URL: j.URL, Priority: model.PriorityNormal, Options: options, Labels: j.Labels, MaxAttempts: 4},
		Client:   fmt.Sprintf("client-%d", n%13), Seq: int64(n + 1), CreatedAt: at, SpecHash: sha256.Sum256([]byte(id)),
		TaskState: model.TaskState{
			Status: model.StatusCompleted, LastWorkerID: fmt.Sprintf("node-%05d", n%10_000), Attempt: 1,
			Progress: 100, CompletedLength: 1 << 30, TotalLength: 1 << 30,
			UpdatedAt: at + 5000, AssignedAt: at + 10, StartedAt: at + 20, FinishedAt: at + 5000,
		},
	}
	if n%failedEvery == 0 {
		t.Status, t.Progress, t.CompletedLength, t.Failures = model.StatusFailed, 0, 0, 1
		t.Error = &model.TaskError{Code: 3, Message: "404 Not Found", Class: model.ClassPermanent}
	}
	return t
}
