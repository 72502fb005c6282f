//go:build soak

package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// judge compares the end of a run with what is promised.
type judge struct {
	c      *cluster
	load   *load
	trace  *trace
	faults []*fault

	losses   map[kind]int // of innocent tasks, by the fault that explains each
	failures map[kind]int // of innocent tasks, by each fault that hit the task
	lost     int          // innocent tasks with a loss
}

// run judges every task of the dispatcher. It returns how many hostile ones ended in
// which status.
func (j *judge) run(ctx context.Context) (ended map[model.Status]int, err error) {
	j.losses, j.failures = make(map[kind]int), make(map[kind]int)
	ended = make(map[model.Status]int)
	tasks := make(map[string]*model.Task)
	if err := list(ctx, j.c, model.ListQuery{}, func(t *model.Task) { tasks[t.ID] = t }); err != nil {
		return ended, err
	}
	for _, it := range j.load.items {
		t := tasks[it.spec.ID]
		delete(tasks, it.spec.ID)
		switch {
		case it.hostile != nil:
			j.hostile(it, t)
			if t != nil {
				ended[t.Status]++
			}
		case t == nil:
			j.c.problems.add("%s is not there", it.spec.ID)
		default:
			j.innocent(it, t)
		}
	}
	for id := range tasks {
		j.c.problems.add("%s was never submitted", id)
	}
	return ended, nil
}

func (j *judge) innocent(it *item, t *model.Task) {
	if t.Status != model.StatusCompleted {
		j.c.problems.add("%s is %s (%s), error %+v", t.ID, t.Status, t.Reason, t.Error)
	} else if sum, err := j.fileSum(t); err != nil || sum != it.sha256 {
		j.c.problems.add("%s: the file has sha256 %s, want %s, %v", t.ID, sum, it.sha256, err)
	}
	if n := j.trace.completed[t.ID]; n > 1 {
		j.c.problems.add("%s was announced as completed %d times", t.ID, n)
	}
	if t.Failures > 0 {
		j.c.problems.add("%s has %d failures; it was held by %s", t.ID, t.Failures, j.story(t.ID))
		for _, f := range j.faults {
			if f.hit[t.ID] != nil {
				j.failures[f.kind] += t.Failures
			}
		}
	}
	if t.Losses == 0 {
		return
	}
	j.lost++
	explained := j.explain(t.ID)
	if t.Losses > len(explained) {
		j.c.problems.add("%s has %d losses, but %d attempts were on workers that were killed, or stopped for longer than heartbeat_timeout; it was held by %s",
			t.ID, t.Losses, len(explained), j.story(t.ID))
	}
	for _, f := range explained[:min(t.Losses, len(explained))] {
		j.losses[f.kind]++
	}
}

// explain returns a fault for each attempt that may have been lost by one: its
// worker was killed, or stopped for longer than heartbeat_timeout, while it held it.
func (j *judge) explain(id string) (faults []*fault) {
	attempts := j.trace.of(id)
	for n, h := range attempts {
		end := time.Now()
		if next, ok := attempts[n+1]; ok {
			end = next.first
		}
		i := slices.IndexFunc(j.faults, func(f *fault) bool {
			return f.long && f.worker == h.worker && f.begun.Before(end) && f.ended.After(h.first)
		})
		if i >= 0 {
			faults = append(faults, j.faults[i])
		}
	}
	return faults
}

// story tells who held which attempt of a task, and which faults its workers had.
func (j *judge) story(id string) (text string) {
	attempts := j.trace.of(id)
	clock := func(t time.Time) string { return t.UTC().Format("15:04:05.000") }
	var numbers []int64
	for n := range attempts {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		h := attempts[n]
		text += fmt.Sprintf("[attempt %d: %s, %s to %s", n, h.worker, clock(h.first), clock(h.last))
		for _, f := range j.faults {
			if (f.worker == h.worker || f.worker == "") && f.begun.Before(h.last.Add(time.Second)) && f.ended.Add(10*time.Second).After(h.first) {
				text += fmt.Sprintf("; %s from %s to %s", f.kind, clock(f.begun), clock(f.ended))
			}
		}
		text += "] "
	}
	return text
}

func (j *judge) hostile(it *item, t *model.Task) {
	h := it.hostile
	switch {
	case t == nil && h.Refused:
	case t == nil:
		j.c.problems.add("%s is not there", it.spec.ID)
	case t.Status == model.StatusFailed && h.MayFail:
	case t.Status == model.StatusCompleted && len(h.Files) > 0:
		sum, err := j.fileSum(t)
		if !slices.ContainsFunc(h.Files, func(b []byte) bool {
			want := sha256.Sum256(b)
			return sum == hex.EncodeToString(want[:])
		}) {
			j.c.problems.add("%s is completed with another file than its server has: %v", t.ID, err)
		}
	default:
		j.c.problems.add("%s is %s, error %+v, %d failures, %d losses; may fail: %v, may complete: %v; it was held by %s",
			t.ID, t.Status, t.Error, t.Failures, t.Losses, h.MayFail, len(h.Files) > 0, j.story(t.ID))
	}
}

// fileSum returns the SHA-256 of the one file of a completed task, on the disk of
// its worker.
func (j *judge) fileSum(t *model.Task) (string, error) {
	if t.Result == nil || len(t.Result.Files) != 1 {
		return "", fmt.Errorf("%s: the result %+v does not name one file", t.ID, t.Result)
	}
	f, err := os.Open(filepath.Join(j.c.dir, t.Result.WorkerID, filepath.FromSlash(t.Result.Files[0].Path)))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
