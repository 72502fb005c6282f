package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// specs yields n specs with ids that end in their number; none begins.
func specs(prefix string, n int) iter.Seq[*model.TaskSpec] {
	return func(yield func(*model.TaskSpec) bool) {
		for i := range n {
			if !yield(&model.TaskSpec{
				ID: fmt.Sprintf("%s-%06d", prefix, i), URL: fmt.Sprintf("https://h.example/%s/%d", prefix, i),
				NotBefore: 4_102_444_800_000, // in 2100
			}) {
				return
			}
		}
	}
}

// ids yields the ids of specs.
func ids(prefix string, n int) []string {
	var list []string
	for s := range specs(prefix, n) {
		list = append(list, s.ID)
	}
	return list
}

// submit submits specs; each must be accepted.
func submit(t *testing.T, c *client.Client, list iter.Seq[*model.TaskSpec]) {
	t.Helper()
	for o, err := range c.SubmitEach(testbed.Context(t), list) {
		if err != nil || o.Err != nil {
			t.Fatalf("%s: %v, %v", o.ID, err, o.Err)
		}
	}
}

// count returns how many outcomes there are of each status; an error counts as its code.
func count(t *testing.T, all iter.Seq2[client.Outcome, error]) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for o, err := range all {
		switch {
		case err != nil:
			t.Fatal(err)
		case o.Err != nil:
			n[fmt.Sprint(int(o.Err.Code))]++
		default:
			n[string(o.Status)]++
		}
	}
	return n
}

func equal(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// SubmitEach accepts each spec on its own, and submits nothing twice when it is repeated.
func TestSubmitEach_RepeatingSubmitsNothingTwice(t *testing.T) {
	d := testdaemon.Start(t)
	c := d.Client(t, "alice")
	list := func(yield func(*model.TaskSpec) bool) {
		for s := range specs("task", 2500) {
			if s.ID == "task-001000" {
				s.URL = "gopher://h.example/"
			}
			if !yield(s) {
				return
			}
		}
	}
	for _, run := range []string{"first", "second"} {
		equal(t, run, count(t, c.SubmitEach(testbed.Context(t), list)), map[string]int{"pending": 2499, "400": 1})
	}
	operator, err := client.NewOperator(d.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if status, err := operator.Status(testbed.Context(t)); err != nil || status.TotalTasks != 2499 {
		t.Errorf("status %+v, %v", status, err)
	}
	for _, err := range c.SubmitEach(testbed.Context(t), slices.Values([]*model.TaskSpec{{URL: "https://h.example/"}})) {
		if err == nil || !strings.Contains(err.Error(), "without an id") {
			t.Errorf("without an id: %v", err)
		}
	}
}

// DoAll and UpdateAll reach every task of a query on all pages; DoEach and UpdateEach
// judge each id on its own. All can be repeated.
func TestDoAll_ReachesEveryPage(t *testing.T) {
	c := testdaemon.Start(t).Client(t, "alice")
	submit(t, c, specs("task", 2500))
	urgent := model.PriorityUrgent
	change := &model.TaskUpdate{Priority: &urgent}
	all := model.ListQuery{Text: "h.example"}
	equal(t, "UpdateAll", count(t, c.UpdateAll(testbed.Context(t), all, change)), map[string]int{"pending": 2500})
	some := append(ids("task", 3), "unknown-task")
	equal(t, "UpdateEach", count(t, c.UpdateEach(testbed.Context(t), slices.Values(some), change)), map[string]int{"pending": 3, "404": 1})
	equal(t, "DoEach", count(t, c.DoEach(testbed.Context(t), client.VerbPause, slices.Values(some))), map[string]int{"paused": 3, "404": 1})
	equal(t, "DoAll", count(t, c.DoAll(testbed.Context(t), client.VerbCancel, all)), map[string]int{"canceled": 2500})
	equal(t, "DoAll again", count(t, c.DoAll(testbed.Context(t), client.VerbCancel, all)), map[string]int{})
	equal(t, "DoAll of others", count(t, c.DoAll(testbed.Context(t), client.VerbDelete, model.ListQuery{Text: "h.example", Priority: model.PriorityLow})), map[string]int{})
	n := 0
	for task, err := range c.All(testbed.Context(t), all) {
		if n++; err != nil || task.Status != model.StatusCanceled || task.Priority != urgent {
			t.Fatalf("%+v, %v", task, err)
		}
	}
	if n != 2500 {
		t.Errorf("All returned %d tasks", n)
	}
	first := 0
	for page, err := range c.Pages(testbed.Context(t), all) {
		if first = len(page.Tasks); err != nil {
			t.Fatal(err)
		}
		break
	}
	if first != model.DefaultLimit {
		t.Errorf("the first page has %d tasks", first)
	}
}

// BySuffix finds a task behind the first page, and refuses an end that two ids have.
func TestBySuffix_FindsTaskOnAnyPage(t *testing.T) {
	c := testdaemon.Start(t).Client(t, "alice")
	submit(t, c, specs("task", 6000)) // a page examines 5,000
	submit(t, c, specs("other", 2))
	if task, err := c.BySuffix(testbed.Context(t), "k-000002"); err != nil || task.ID != "task-000002" {
		t.Errorf("the oldest but two: %v, %v", task, err)
	}
	if _, err := c.Cancel(testbed.Context(t), "task-000002"); err != nil {
		t.Fatal(err)
	}
	if task, err := c.BySuffix(testbed.Context(t), "000002"); err != nil || task.ID != "task-000002" || task.Status != model.StatusCanceled {
		t.Errorf("terminal: %v, %v", task, err)
	}
	if _, err := c.Cancel(testbed.Context(t), "other-000001"); err != nil {
		t.Fatal(err)
	}
	_, err := c.BySuffix(testbed.Context(t), "000001")
	if !errors.Is(err, client.ErrConflict) || !strings.Contains(err.Error(), "task-000001") || !strings.Contains(err.Error(), "other-000001") {
		t.Errorf("two ids: %v", err)
	}
	if _, err := c.BySuffix(testbed.Context(t), "999999"); !errors.Is(err, client.ErrNotFound) || !strings.Contains(err.Error(), "999999") {
		t.Errorf("no id: %v", err)
	}
	if _, err := c.BySuffix(testbed.Context(t), "1"); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("too short: %v", err)
	}
}

// WaitFor returns each task when it ends, and the error of one in its place.
func TestWaitFor_ReturnsEachAtItsEnd(t *testing.T) {
	c := testdaemon.Start(t).Client(t, "alice")
	ctx := testbed.Context(t)
	submit(t, c, specs("task", 3))
	if _, err := c.Cancel(ctx, "task-000002"); err != nil { // before the wait
		t.Fatal(err)
	}
	var got []string
	for task, err := range c.WaitFor(ctx, append(ids("task", 3), "unknown-task")) {
		switch {
		case errors.Is(err, client.ErrNotFound) && strings.Contains(err.Error(), "unknown-task"):
			got = append(got, "unknown")
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, task.ID+" "+string(task.Status))
		}
		if len(got) == 2 { // what was over at the start has come
			for _, id := range []string{"task-000001", "task-000000"} {
				if _, err := c.Cancel(ctx, id); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	slices.Sort(got)
	if want := []string{"task-000000 canceled", "task-000001 canceled", "task-000002 canceled", "unknown"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(ctx)
	submit(t, c, specs("late", 1))
	time.AfterFunc(50*time.Millisecond, cancel)
	for _, err := range c.WaitFor(ctx, ids("late", 1)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of the context: %v", err)
		}
	}
}

// A Follower continues after the dispatcher was away.
func TestFollow_ContinuesAfterRestart(t *testing.T) {
	server := testbus.StartServer(t)
	dir := t.TempDir()
	start := func() *testdaemon.Dispatcher {
		return testdaemon.Start(t, func(cfg *config.Dispatcher) {
			cfg.NATS.URL, cfg.Database.Type, cfg.Database.Path = config.URLs(server.ClientURL()), "sqlite", dir+"/dispatcher.db"
		})
	}
	d := start()
	c, err := client.New(testbus.Connect(t, server.ClientURL()), "alice")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testbed.Context(t)
	submit(t, c, specs("task", 1))
	f, err := c.Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Add("task-000000")
	got := make(chan string, 10)
	go func() {
		defer close(got)
		for change, err := range f.Changes(ctx) {
			switch {
			case err != nil:
				got <- err.Error()
			case change.Err != nil:
				got <- fmt.Sprintf("%s %d", change.ID, int(change.Err.Code))
			default:
				got <- change.ID + " " + string(change.Task.Status)
			}
		}
	}()
	list := []string{testbed.Receive(t, got)}
	d.Stop()
	f.Add("unknown-task") // is read while no dispatcher answers
	f.NoMore()
	start()
	if _, err := c.Cancel(ctx, "task-000000"); err != nil {
		t.Fatal(err)
	}
	for text := range got {
		list = append(list, text)
	}
	slices.Sort(list)
	if want := []string{"task-000000 canceled", "task-000000 pending", "unknown-task 404"}; !slices.Equal(list, want) {
		t.Errorf("got %q, want %q", list, want)
	}
}
