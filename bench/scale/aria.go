package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/cli"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ariaPart measures how long a person waits for the first row of a list of many tasks,
// from the start of the program.
func (b *bench) ariaPart(ctx context.Context) error {
	b.table.head("%d tasks of one client, half of them pending, store sqlite: the program aria", b.pending)
	program := filepath.Join(b.dir, "aria")
	if err := cli.Build(ctx, b.root, "./cmd/aria", program); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "aria-store")
	if err := b.seed(ctx, file(dir), b.pending, mixed); err != nil {
		return err
	}
	i, err := b.start(ctx, dir, "sqlite")
	if err != nil {
		return err
	}
	defer i.stop()
	for _, c := range []struct {
		what, args string
		goal       float64 // in ms; 0: none, because all tasks are examined and no index helps
	}{
		{"aria -h", "-h", 30},
		{"aria ls, first row", "ls", firstRow},
		{"aria ls -o json, first row", "ls -o json", firstRow},
		{"aria ls -o wide, first row", "ls -o wide", firstRow},
		{"aria ls --all-clients, first row", "ls --all-clients", firstRow},
		{"aria ls --status pending, first row", "ls --status pending", firstRow},
		{"aria ls --status completed, first row", "ls --status completed", firstRow},
		{"aria ls --status failed, first row", "ls --status failed", firstRow},
		{"aria ls --worker, which holds nothing", "ls --worker node-00007", firstRow},
		{"aria ls --label, of one in a thousand, first row", "ls --label project=films", firstRow},
		{"aria ls --text, of one in a thousand, first row", "ls --text linux-image-6.12.7-", firstRow},
		{"aria ls --since, the newest hundredth, first row", "ls --since " + (firstFinished + model.Time(b.pending-b.pending/100)).String(), firstRow},
		{"aria ls --until, the oldest hundredth, first row", "ls --until " + (firstFinished + model.Time(b.pending/100)).String(), 0},
		{"aria ls --label, of the oldest task only", "ls --label rare=one", 0},
		{"aria ls --text, of the oldest task only", "ls --text unique.example.org", 0},
		{"aria ls --priority, of the oldest task only", "ls --priority urgent", 0},
		{"aria show, the end of an id", "show " + finished(2).ID[18:], 0},
	} {
		if err := b.timeAria(ctx, program, i.server.Address, c.what, c.args, c.goal); err != nil {
			return err
		}
	}
	return nil
}

// firstRow is the goal for the first row, in ms.
const firstRow = 150

// timeAria runs aria several times, each until it prints its first bytes, or ends.
func (b *bench) timeAria(ctx context.Context, program, server, what, args string, goal float64) error {
	list := make([]float64, 20)
	if goal == 0 {
		list = list[:3]
	}
	for k := range list {
		cmd := exec.CommandContext(ctx, program, strings.Fields(args)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "NATS_URL=" + server, "ARIA_CLIENT=person"}
		cmd.Stderr = b.stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		_, err = io.ReadAtLeast(out, make([]byte, 64<<10), 1)
		list[k] = ms(time.Since(start))
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if err != nil {
			return fmt.Errorf("aria %s printed nothing: %w", args, err)
		}
	}
	if goal == 0 {
		b.table.line(what+", median and slowest", "%.0f ms, %.0f ms", middle(list), slices.Max(list))
		return nil
	}
	b.table.most(what+", median", middle(list), goal, " ms")
	b.table.line(what+", slowest of 20", "%.1f ms", slices.Max(list))
	return nil
}

// mixed is a task of one client: half of them wait, a tenth have failed, the others are
// completed.
func mixed(n int) *model.Task {
	t := finished(n)
	t.Client = "person"
	switch {
	case n == 0:
		t.URL, t.Labels, t.Priority = "https://unique.example.org/file", map[string]string{"rare": "one"}, model.PriorityUrgent
	case n%1000 == 0:
		t.Labels = map[string]string{"project": "films"}
	}
	switch {
	case n%2 == 0:
		t.TaskState = model.TaskState{Status: model.StatusPending, UpdatedAt: t.CreatedAt}
		t.NotBefore = firstFinished + 10_000_000_000_000 // no worker gets it
	case n%10 == 1:
		t.Status, t.Failures = model.StatusFailed, 4
		t.Error = &model.TaskError{Code: 3, Class: model.ClassPermanent, Message: "404 Not Found from mirror.example.org"}
	}
	return t
}
