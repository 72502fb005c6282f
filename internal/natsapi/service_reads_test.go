package natsapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestRead_TooManyAreAnswered503 checks that the reads of one client above the queue's limit
// are refused at once, and that a read of another client is not.
func TestRead_TooManyAreAnswered503(t *testing.T) {
	release := make(chan struct{})
	w := serve(t, &fakeBackend{task: func(_, id string) (*model.Task, error) {
		<-release
		return &model.Task{TaskSpec: model.TaskSpec{ID: id}}, nil
	}})
	const extra = 20
	const readers, readLimit = 8, 256 // of internal/api
	total := readers + readLimit + extra
	answers := func(capacity int) (inbox string, codes chan string) {
		inbox, codes = w.nc.NewRespInbox(), make(chan string, capacity)
		sub, err := w.nc.Subscribe(inbox, func(m *nats.Msg) { codes <- m.Header.Get(micro.ErrorCodeHeader) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Unsubscribe() })
		return inbox, codes
	}
	get := func(client, inbox string) {
		if err := w.nc.PublishRequest(wire.DefaultPrefix+".req.task."+client+".get", inbox, []byte(`{"id":"t1"}`)); err != nil {
			t.Fatal(err)
		}
	}
	many, codes := answers(total + 1)
	one, other := answers(1)
	for range total {
		get("alice", many)
	}
	for range extra {
		if code := testbed.Receive(t, codes); code != "503" {
			t.Fatalf("code %q, want 503 while the reads are stuck", code)
		}
	}
	get("bob", one)
	get("alice", many) // the dispatcher receives it after that of bob
	if code := testbed.Receive(t, codes); code != "503" {
		t.Fatalf("code %q, want 503 while the reads are stuck", code)
	}
	close(release)
	if code := testbed.Receive(t, other); code != "" {
		t.Errorf("the read of another client: code %q", code)
	}
	for range total - extra {
		// A reader may not have taken its first read when the queue was full.
		if code := testbed.Receive(t, codes); code != "" && code != "503" {
			t.Fatalf("code %q", code)
		}
	}
}

// TestRead_PanicAndFailureAreAnswered checks that a read that panics or fails has an
// answer.
func TestRead_PanicAndFailureAreAnswered(t *testing.T) {
	w := serve(t, &fakeBackend{
		task:   func(string, string) (*model.Task, error) { panic("oh") },
		worker: func(string) (*model.Worker, error) { return nil, fmt.Errorf("reading: %w", context.DeadlineExceeded) },
		tasks: func(*model.ListQuery) (*model.TaskPage, error) {
			return nil, model.Errorf(400, "cursor: is not one that a page gave")
		},
	})
	for subject, want := range map[string]string{"task.a.get": "500", "query.worker.get": "503", "task.a.list": "400"} {
		body := `{"id":"x"}`
		if strings.HasSuffix(subject, "list") {
			body = ""
		}
		if got := w.ask(t, subject, body); got.code != want {
			t.Errorf("%s: %+v, want %s", subject, got, want)
		}
	}
}

// TestList_PageFitsMessageAndHasNext checks that a page fits into a message and names
// the next one.
func TestList_PageFitsMessageAndHasNext(t *testing.T) {
	const rows = 500
	w := serve(t, &fakeBackend{tasks: func(q *model.ListQuery) (*model.TaskPage, error) {
		from := 0
		if q.Cursor != "" {
			if _, err := fmt.Sscan(q.Cursor, &from); err != nil {
				return nil, err
			}
		}
		p := &model.TaskPage{}
		for i := from; i < min(rows, from+q.Limit); i++ {
			p.Tasks = append(p.Tasks, &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", i), URL: "https://h/" + strings.Repeat("&", 8000)}})
		}
		if next := from + len(p.Tasks); next < rows {
			p.Next = fmt.Sprint(next)
		}
		return p, nil
	}})
	alice, err := client.New(w.nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	q, seen, pages := model.ListQuery{Limit: 1000}, 0, 0
	for {
		p, err := alice.List(testbed.Context(t), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range p.Tasks {
			if task.ID != fmt.Sprint("t", seen) {
				t.Fatalf("row %d is %s", seen, task.ID)
			}
			seen++
		}
		pages++
		if q.Cursor = p.Next; q.Cursor == "" {
			break
		}
	}
	if seen != rows || pages < 4 || pages > 6 {
		t.Errorf("%d rows in %d pages, want %d in about 4", seen, pages, rows)
	}
}
