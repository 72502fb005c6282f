package repotest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// examined is how many rows a page examines, swept how many a step of retention.
const (
	examined = 5_000
	swept    = 20_000
)

// listAll reads a list to its end and returns the ids and the number of pages.
func listAll(t testing.TB, s repo.Store, q model.ListQuery) (ids []string, pages int) {
	t.Helper()
	for pages = 1; ; pages++ {
		page, err := s.List(context.Background(), &q)
		if err != nil {
			t.Fatalf("List %+v: %v", q, err)
		}
		if len(page.Tasks) > q.Limit {
			t.Fatalf("a page of %d has %d tasks", q.Limit, len(page.Tasks))
		}
		for _, task := range page.Tasks {
			ids = append(ids, task.ID)
		}
		if page.Next == "" {
			return ids, pages
		}
		if page.Next == q.Cursor {
			t.Fatalf("the list stands still at %q", q.Cursor)
		}
		q.Cursor = page.Next
	}
}

// expectedIDs is what a plain scan of the history would list.
func (h *history) expectedIDs(q *model.ListQuery) []string {
	var found []*model.Task
	for _, task := range h.tasks {
		url := strings.Replace(task.URL, "user:secret", model.Redacted, 1)
		ok := (len(q.Status) == 0 || slices.Contains(q.Status, task.Status)) &&
			(q.Client == "" || task.Client == q.Client) &&
			(q.WorkerID == "" || task.WorkerID == q.WorkerID) &&
			(q.Priority == 0 || task.Priority == q.Priority) &&
			strings.HasSuffix(task.ID, q.IDSuffix) &&
			(q.Since == 0 || task.CreatedAt >= q.Since) &&
			(q.Until == 0 || task.CreatedAt < q.Until) &&
			strings.Contains(foldASCII(showURL(url)), foldASCII(q.Text))
		for name, value := range q.Labels {
			have, there := task.Labels[name]
			ok = ok && there && have == value
		}
		if ok {
			found = append(found, task)
		}
	}
	slices.SortFunc(found, func(a, b *model.Task) int {
		if q.Order == model.OrderOldest {
			return int(a.Seq - b.Seq)
		}
		return int(b.Seq - a.Seq)
	})
	var ids []string
	for _, task := range found {
		ids = append(ids, task.ID)
	}
	return ids
}

// showURL is how a URL is shown to people; a URL that cannot be parsed is not
// shown at all.
func showURL(url string) string { return model.RedactURL(url) }

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func listsEqualScan(t *testing.T, s repo.Store) {
	h := newHistory(21)
	for range 30 {
		mustCommit(t, s, h.next(30))
	}
	hits := 0
	for range 250 {
		q := h.query()
		got, _ := listAll(t, s, *q)
		want := h.expectedIDs(q)
		if hits += len(want); !slices.Equal(got, want) {
			t.Fatalf("List %+v:\n got %v\nwant %v", *q, got, want)
		}
	}
	if hits < 1000 {
		t.Errorf("the queries found only %d tasks: they test too little", hits)
	}
}

func listByIDSuffix(t *testing.T, s repo.Store) {
	b := &model.Batch{}
	ids := []string{"a_bcdef", "axbcdef", "ABCDEF", "bcdef", "film-ABCDEF-2", "other-a_bcdef", "a_bcdef9"}
	for i, id := range ids {
		row := task(id, int64(i+1))
		row.Client = []string{"shop", "bank"}[i%2]
		b.Tasks = append(b.Tasks, put(row))
	}
	mustCommit(t, s, b)
	for _, c := range []struct {
		suffix, client string
		want           []string
	}{
		{"a_bcdef", "", []string{"other-a_bcdef", "a_bcdef"}}, // the _ is no wildcard, nor is the case folded
		{"a_bcdef", "shop", []string{"a_bcdef"}},
		{"ABCDEF", "", []string{"ABCDEF"}}, // not the middle of film-ABCDEF-2
		{"a_bcdef9", "shop", []string{"a_bcdef9"}},
		{"xa_bcdef9", "", nil}, // longer than the id
	} {
		if got, _ := listAll(t, s, model.ListQuery{IDSuffix: c.suffix, Client: c.client, Limit: 1}); !slices.Equal(got, c.want) {
			t.Errorf("id_suffix %q of %q lists %v, want %v", c.suffix, c.client, got, c.want)
		}
	}
}

func listWhileChanging(t *testing.T, s repo.Store) {
	for i, order := range []model.Order{model.OrderNewest, model.OrderOldest} {
		for j, status := range [][]model.Status{nil, {model.StatusPending, model.StatusCompleted}, {model.StatusPending, model.StatusFailed}} {
			h := newHistory(22)
			prefix := fmt.Sprintf("round%d%d-", i, j)
			last, err := s.LastSeq(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			b := &model.Batch{}
			for i := range int64(50) {
				fixed := task(fmt.Sprintf("%sfixed%d", prefix, i), last+1+3*i)
				other := task(fmt.Sprintf("%sother%d", prefix, i), last+2+3*i)
				fixed.Client, other.Client = prefix, prefix
				b.Tasks = append(b.Tasks, put(fixed), put(other))
			}
			mustCommit(t, s, b)
			q := model.ListQuery{Client: prefix, Status: status, Order: order, Limit: 4}
			seen := make(map[string]int)
			for {
				page, err := s.List(context.Background(), &q)
				if err != nil {
					t.Fatal(err)
				}
				for _, task := range page.Tasks {
					seen[task.ID]++
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
				changeStore(t, s, h, prefix)
			}
			for i := range 50 {
				if n := seen[fmt.Sprintf("%sfixed%d", prefix, i)]; n != 1 {
					t.Errorf("%s %v: a task that did not change was listed %d times", order, status, n)
				}
			}
			for id, n := range seen {
				if n > 1 {
					t.Errorf("%s %v: %s was listed %d times", order, status, id, n)
				}
			}
		}
	}
}

// changeStore changes, ends or deletes one of the other tasks, and adds one.
func changeStore(t *testing.T, s repo.Store, h *history, prefix string) {
	id := fmt.Sprintf("%sother%d", prefix, h.rnd.IntN(50))
	b := &model.Batch{}
	if have := get(t, s, id); have != nil {
		next := model.Statuses[h.rnd.IntN(len(model.Statuses))]
		c := become(id, have.Status, next)
		if next == model.StatusCanceled {
			c = model.TaskChange{ID: id, From: have.Status, Delete: true}
		}
		b.Tasks = append(b.Tasks, c)
	}
	last, err := s.LastSeq(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if h.rnd.IntN(3) == 0 {
		fresh := task(fmt.Sprintf("%snew%d", prefix, last), last+1)
		fresh.Client = prefix
		b.Tasks = append(b.Tasks, put(fresh))
	}
	mustCommit(t, s, b)
}

func pagesBounded(t *testing.T, s repo.Store) {
	const (
		n     = swept + 2_000
		pages = n/examined + 1 // each examines all that it may
	)
	for first := int64(1); first <= n; first += 1000 {
		b := &model.Batch{}
		for seq := first; seq < first+1000; seq++ {
			row := task(fmt.Sprintf("t%d", seq), seq)
			row.Client = "one"
			if seq%1000 == 0 {
				row.Labels = map[string]string{"rare": "yes"}
			}
			b.Tasks = append(b.Tasks, put(row))
		}
		mustCommit(t, s, b)
	}
	before := map[model.Status]model.Time{model.StatusCompleted: 1 << 50}
	if found, next, err := s.Expired(context.Background(), before, 0, 10); len(found) != 0 || next == 0 || err != nil {
		t.Errorf("Expired of %d rows: %d changes, next %d, %v", n, len(found), next, err)
	} else if found, next, err = s.Expired(context.Background(), before, next, 10); len(found) != 0 || next != 0 || err != nil {
		t.Errorf("Expired of the rest: %d changes, next %d, %v", len(found), next, err)
	}
	for name, q := range map[string]model.ListQuery{
		"text":             {Text: "nowhere"},
		"text of a client": {Text: "nowhere", Client: "one"},
		"text by status":   {Text: "nowhere", Status: []model.Status{model.StatusPending}, Order: model.OrderOldest},
		"labels":           {Labels: map[string]string{"rare": "no"}},
		"id_suffix":        {IDSuffix: "nowhere"},
		"another status":   {Client: "one", Status: []model.Status{model.StatusCompleted}},
	} {
		q.Limit = 10
		// A store that has an index for what is asked may do with fewer pages.
		if ids, got := listAll(t, s, q); len(ids) != 0 || got > pages || got < pages && q.Text+q.IDSuffix+q.Labels["rare"] != "" {
			t.Errorf("%s: %d tasks on %d pages, want none on %d", name, len(ids), got, pages)
		}
	}
	ids, _ := listAll(t, s, model.ListQuery{Labels: map[string]string{"rare": "yes"}, Limit: 100})
	if len(ids) != n/1000 || ids[0] != fmt.Sprintf("t%d", n) {
		t.Errorf("rare tasks: %v", ids)
	}
}

func invalidCursorRefused(t *testing.T, s repo.Store) {
	mustCommit(t, s, batch(put(task("a", 1)), put(task("b", 2))))
	page, err := s.List(context.Background(), &model.ListQuery{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("List = %+v, %v", page, err)
	}
	for _, cursor := range []string{"x", "0", "s1", page.Next + "=", page.Next + page.Next, "' OR 1=1", strings.Repeat("A", 10_000)} {
		_, err := s.List(context.Background(), &model.ListQuery{Limit: 1, Cursor: cursor})
		if model.CodeOf(err) != model.CodeInvalid || !strings.HasPrefix(err.Error(), "cursor: ") {
			t.Errorf("cursor %.40q: %v, want CodeInvalid that names it", cursor, err)
		}
	}
}

func passwordNotSearchable(t *testing.T, s repo.Store) {
	secret := task("a", 1)
	secret.URL = "https://me:Hunter2@files.example/Big.iso"
	mustCommit(t, s, batch(put(secret)))
	for text, want := range map[string]int{"big.ISO": 1, "files.example": 1, "hunter": 0, "me:": 0} {
		if ids, _ := listAll(t, s, model.ListQuery{Text: text, Limit: 5}); len(ids) != want {
			t.Errorf("text %q finds %d tasks, want %d", text, len(ids), want)
		}
	}
	if got := get(t, s, "a").URL; got != secret.URL {
		t.Errorf("the url itself was changed to %s", got)
	}
}

// readersSeeWholeCommits moves a fixed number of tasks from one status to the other, all
// in each commit, while readers read. A reader that sees only a part of them moved is an
// error.
func readersSeeWholeCommits(t *testing.T, s repo.Store) {
	const n = 20
	b := &model.Batch{}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("t%d", i)
		b.Tasks = append(b.Tasks, put(task(ids[i], int64(i+1))))
	}
	mustCommit(t, s, b)
	var (
		stop    atomic.Bool
		readers sync.WaitGroup
		looked  = make(chan struct{}) // one read of a reader, while the writer waits for it
	)
	for name, read := range pendingReaders(s, ids) {
		readers.Go(func() {
			for !stop.Load() {
				pending, err := read()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if pending != 0 && pending != n {
					t.Errorf("%s sees %d of %d tasks moved", name, n-pending, n)
				}
				select {
				case looked <- struct{}{}:
				default:
				}
			}
		})
	}
	from, to := model.StatusPending, model.StatusQueued
	for round := range 200 {
		if round%10 == 0 { // so that they overlap
			select {
			case <-looked:
			case <-time.After(20 * time.Second):
				t.Errorf("no reader read for 20 s")
			}
		}
		b := &model.Batch{}
		for _, id := range ids {
			b.Tasks = append(b.Tasks, become(id, from, to))
		}
		mustCommit(t, s, b)
		from, to = to, from
	}
	stop.Store(true)
	readers.Wait()
}

// pendingReaders returns a function for each reading method of a store. It returns how
// many of the tasks are pending.
func pendingReaders(s repo.Store, ids []string) map[string]func() (int, error) {
	ctx := context.Background()
	count := func(tasks iter.Seq[*model.Task]) (pending int) {
		for task := range tasks {
			if task.Status == model.StatusPending {
				pending++
			}
		}
		return pending
	}
	return map[string]func() (int, error){
		"Counts": func() (int, error) {
			c, err := s.Counts(ctx)
			return int(c[model.StatusPending]), err
		},
		"Tasks": func() (int, error) {
			found, err := s.Tasks(ctx, ids)
			return count(maps.Values(found)), err
		},
		"List": func() (int, error) {
			page, err := s.List(ctx, &model.ListQuery{Limit: len(ids)})
			if err != nil {
				return 0, err
			}
			return count(slices.Values(page.Tasks)), nil
		},
		"Live": func() (int, error) {
			var tasks []*model.Task
			for task, err := range s.Live(ctx) {
				if err != nil {
					return 0, err
				}
				kept := *task
				tasks = append(tasks, &kept)
			}
			return count(slices.Values(tasks)), nil
		},
	}
}
