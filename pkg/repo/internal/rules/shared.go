package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Synchronous is the durability of a commit.
type Synchronous string

// The levels of durability; each store says what they mean.
const (
	Full   Synchronous = "full"
	Normal Synchronous = "normal"
)

// Snapshots has the open snapshots of a store, so that its Close can end them. The zero
// value is ready.
type Snapshots struct {
	mu     sync.Mutex
	closed bool
	next   int64
	open   map[int64]func() error
}

// Add adds a snapshot with the function that ends it, and returns the one that removes it.
// It returns nil after Close.
func (s *Snapshots) Add(end func() error) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if s.open == nil {
		s.open = make(map[int64]func() error)
	}
	s.next++
	number := s.next
	s.open[number] = end
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, number)
	}
}

// Close ends those that are open. Later ones are not added.
func (s *Snapshots) Close() error {
	s.mu.Lock()
	open := s.open
	s.open, s.closed = nil, true
	s.mu.Unlock()
	var errs []error
	for _, end := range open {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// LastMigration returns the number of the last file in the folder migrations, 0 without one.
func LastMigration(files fs.FS) (last int64) {
	list, err := fs.ReadDir(files, "migrations")
	if err != nil {
		return 0 // they are part of the program
	}
	for _, f := range list {
		number, _, _ := strings.Cut(f.Name(), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}

// CheckCommit returns the error of a commit that must not begin.
func CheckCommit(ctx context.Context, closed *atomic.Bool, b *model.Batch) error {
	if err := CheckBatch(b); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if closed.Load() {
		return ClosedError("commit")
	}
	return nil
}

// ReadPage returns the page that read fills with what follows the cursor of the query.
func ReadPage(q *model.ListQuery, read func(after int64, page *model.TaskPage) error) (*model.TaskPage, error) {
	after, err := Seq(q.Cursor)
	if err != nil {
		return nil, err
	}
	page := &model.TaskPage{Tasks: []*model.Task{}}
	if err := read(after, page); err != nil {
		return nil, err
	}
	return page, nil
}

// SmallResult is the number of tasks up to which a list of one client walks the index by
// status instead of that by client: a few pages see them all.
const SmallResult = 4 * MaxExamined

// MayWalkByStatus reports whether a list may walk an index by status that has no completed
// tasks, and whether it must: then the query has no client. Between them the numbers decide,
// see SmallResult.
func MayWalkByStatus(q *model.ListQuery) (may, must bool) {
	may = len(q.Status) > 0 && !slices.Contains(q.Status, model.StatusCompleted)
	return may, may && q.Client == ""
}

// Quoted lists statuses in SQL.
func Quoted(statuses []model.Status) string {
	list := make([]string, len(statuses))
	for i, s := range statuses {
		list[i] = "'" + string(s) + "'"
	}
	return strings.Join(list, ", ")
}

// Expiry is a status whose tasks expire if they ended before a time.
type Expiry struct {
	Status model.Status
	Before model.Time
}

// Expiries returns those of terminal statuses, in a fixed order.
func Expiries(before map[model.Status]model.Time) (list []Expiry) {
	for _, status := range model.Statuses {
		if t := before[status]; t != 0 && status.Terminal() {
			list = append(list, Expiry{status, t})
		}
	}
	return list
}

// ByID returns tasks by their ids.
func ByID(tasks []*model.Task) map[string]*model.Task {
	found := make(map[string]*model.Task, len(tasks))
	for _, t := range tasks {
		found[t.ID] = t
	}
	return found
}

// Chunks yields the tasks that read returns after a seq, chunk by chunk, until it returns
// none. It ends after the first error.
func Chunks(after int64, read func(after int64) ([]*model.Task, error)) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		for next := after; ; {
			tasks, err := read(next)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range tasks {
				if !yield(t, nil) {
					return
				}
				next = t.Seq
			}
			if len(tasks) == 0 {
				return
			}
		}
	}
}

// CompareCounts returns a sentence for each counter that differs from the number of tasks,
// and has every status in that, 0 too.
func CompareCounts(counters, tasks model.Counts) (problems []string) {
	for _, s := range model.Statuses {
		if counters[s] != tasks[s] {
			problems = append(problems, fmt.Sprintf("the counter of %s tasks says %d, there are %d", s, counters[s], tasks[s]))
		}
		tasks[s] += 0
	}
	return problems
}
