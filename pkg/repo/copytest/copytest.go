// Package copytest fills stores with tasks and workers as a cluster leaves them
// behind, for tests of copies.
package copytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// epoch is when the first task was made; it has milliseconds that a coarser
// clock would lose.
const epoch = model.Time(1_790_000_000_123)

// Task returns the ith task, always the same: of each status, some with every
// optional field, with secrets, with a torrent, and with gaps in seq. The active
// ones are held by one of the workers.
func Task(i, workers int) *model.Task {
	id := fmt.Sprintf("task-%07d", i)
	at := epoch + model.Time(i)
	t := &model.Task{
		TaskSpec: model.TaskSpec{
			ID: id, URL: fmt.Sprintf("https://mirror-%d.example.org/pool/%s.iso?a=1&b=<2>", i%97, id),
			Priority: model.Priority(1 + i%4), MaxAttempts: 4,
		},
		Client: fmt.Sprintf("client-%d", i%13), Seq: int64(i + i/10 + 1), CreatedAt: at,
		SpecHash: sha256.Sum256([]byte(id)),
		TaskState: model.TaskState{
			Status: model.Statuses[i%len(model.Statuses)], UpdatedAt: at + 5000,
		},
	}
	if i%3 == 0 {
		t.Labels = map[string]string{"project": fmt.Sprint(i % 7), "Käse": "ü\"\\<&>\u2028"}
		t.Tags = map[string]string{"location": "eu"}
	}
	if i%5 == 0 {
		t.Options = model.Options{"header": {"Authorization: Bearer s3cret", "X-A: b"}, "split": {"4"}, "http-passwd": {"päss"}}
		t.Checksum = "sha-256=" + fmt.Sprintf("%064x", i)
		t.Folder, t.Timeout, t.NotBefore = "isos", model.Duration(1_500_000_001), at+60_000
	}
	if i%11 == 0 {
		t.Mirrors = []string{"ftp://user:secret@ftp.example.org/" + id}
	}
	if i%500 == 7 {
		t.URL, t.Mirrors, t.Torrent = "", nil, []byte("d8:announce\x00\xff"+id)
	}
	state(t, i, workers)
	return t
}

// state sets what a task of its status has been through.
func state(t *model.Task, i, workers int) {
	holder := fmt.Sprintf("worker-%04d", i%max(workers, 1))
	if t.Status != model.StatusPending {
		t.Attempt, t.LastWorkerID, t.AssignedAt, t.StartedAt = int64(1+i%3), holder, t.CreatedAt+10, t.CreatedAt+20
		t.GID = fmt.Sprintf("%016x", i+1)
		t.Progress, t.CompletedLength, t.TotalLength = 33.3, 333_000_000, 1_000_000_000
	}
	switch t.Status {
	case model.StatusQueued, model.StatusDownloading:
		if workers > 0 {
			t.WorkerID, t.DownloadSpeed = holder, 12_345_678
		}
	case model.StatusPending:
		if i%2 == 0 {
			t.Failures, t.Losses, t.RetryAt = 2, 1, t.CreatedAt+90_000
			t.Error = &model.TaskError{Code: 22, Message: "status=503 <busy>", Class: model.ClassRetryable,
				HTTPStatus: 503, Host: "h.example", RetryAfter: 75, Waits: 3}
			t.History = []model.PastAttempt{
				{Attempt: 1, WorkerID: holder, AssignedAt: t.CreatedAt + 10, EndedAt: t.CreatedAt + 500, Outcome: model.OutcomeRetryable, Error: t.Error},
				{Attempt: 2, WorkerID: holder, AssignedAt: t.CreatedAt + 700, EndedAt: t.CreatedAt + 900, Outcome: model.OutcomeLost},
			}
		}
	case model.StatusFailed:
		t.FinishedAt = t.CreatedAt + 4000
		t.Error = &model.TaskError{Code: 3, Message: "not found", Class: model.ClassPermanent}
	case model.StatusCompleted:
		t.FinishedAt, t.Progress, t.CompletedLength = t.CreatedAt+5000, 100, 1_000_000_000
		t.Result = &model.Result{Files: []model.File{{Path: "isos/" + t.ID + ".iso", Length: 1_000_000_000}}, TotalLength: 1_000_000_000, WorkerID: holder}
	case model.StatusCanceled:
		t.FinishedAt = t.CreatedAt + 3000
	}
}

// Worker returns the ith worker.
func Worker(i int) *model.Worker {
	return &model.Worker{
		ID: fmt.Sprintf("worker-%04d", i), Instance: fmt.Sprintf("instance-%d", i), Epoch: int64(i + 1), Status: model.WorkerOnline,
		Hostname: fmt.Sprintf("node-%d.example.org", i), Address: "10.0.0.1", Port: 6800, Version: "1.2.3", ConnectedAt: epoch, LastHeartbeat: epoch + 30_000,
		TotalSlots: 300, Health: 99.5,
		Capabilities: model.Capabilities{
			Tags: map[string]string{"location": "eu"}, Protocols: []string{"http", "https"}, SupportsBT: i%2 == 0, DiskSpace: 1 << 40,
		},
		HealthMetrics:    model.HealthMetrics{CPUUsage: 12.5, DiskFree: 1 << 39, Uptime: 3600.25},
		PerformanceStats: model.PerformanceStats{AvgDownloadSpeed: 1e6 / 3, CompletedTasks: int64(i)},
		ErrorHistory:     []model.ErrorEntry{{At: epoch + 1, Task: "task-0000004", Message: "it broke"}},
	}
}

// batches yields what fills an empty store, in commits of 1,000.
func batches(tasks, workers int) iter.Seq[*model.Batch] {
	return func(yield func(*model.Batch) bool) {
		b := &model.Batch{}
		for i := range workers {
			w := Worker(i)
			b.Workers = append(b.Workers, model.WorkerChange{ID: w.ID, Put: w})
		}
		for i := range tasks {
			t := Task(i, workers)
			if b.Tasks = append(b.Tasks, model.TaskChange{ID: t.ID, Put: t}); len(b.Tasks) == 1000 {
				if !yield(b) {
					return
				}
				b = &model.Batch{}
			}
		}
		yield(b)
	}
}

// Fill puts tasks and workers into an empty store.
func Fill(ctx context.Context, s repo.Committer, tasks, workers int) error {
	for b := range batches(tasks, workers) {
		if err := s.Commit(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// Digest returns the digest of what the source holds.
func Digest(ctx context.Context, src repo.Source) (d repo.Digest, err error) {
	snap, err := src.Snapshot(ctx)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return repo.DigestOf(ctx, snap)
}
