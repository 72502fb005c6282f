package httpd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func taskEvent(n int) *model.TaskEvent {
	return &model.TaskEvent{ID: fmt.Sprintf("t%d", n), Client: "shop", Status: model.StatusPending}
}

// A stream that comes back gets every event since its last one that is among the newest
// 4,096, in order, although more than its queue holds. Progress is not repeated.
func TestHub_ReturningStreamMissesNothing(t *testing.T) {
	h := NewHub()
	h.close(h.open(interest{}, ""))
	for n := 1; n <= ringSize+1000; n++ {
		h.TaskEvent(taskEvent(n))
		h.Progress(&model.ProgressEvent{ID: "p", Client: "shop"})
	}
	for _, c := range []struct{ after, first int }{{ringSize, ringSize + 1}, {1000, 1001}, {10, 1001}, {ringSize + 1000, 0}} {
		s := h.open(interest{}, fmt.Sprintf("%s-%d", h.epoch, c.after))
		var want []uint64
		for seq := uint64(c.first); c.first > 0 && seq <= h.last; seq++ {
			want = append(want, seq)
		}
		var got []uint64
		for _, e := range s.missed {
			got = append(got, e.seq)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %d: %d events, want %d from %d", c.after, len(got), len(want), c.first)
		}
		h.close(s)
	}
	for _, after := range []string{"", "other-5", h.epoch + "-x", h.epoch + "-99999999999", h.epoch} {
		if s := h.open(interest{}, after); len(s.missed) > 0 {
			t.Errorf("after %q: %d events", after, len(s.missed))
		}
	}
}

// However many tasks make progress, a stream gets a bounded number of events of it, and
// is not closed for it; those of tasks all come.
func TestHub_ProgressOfManyTasksIsBounded(t *testing.T) {
	h := NewHub()
	s := h.open(interest{}, "")
	got := make(chan map[string]int)
	go func() {
		count := make(map[string]int)
		for e := range s.queue {
			if count[e.kind]++; e.id == "last" {
				break
			}
		}
		got <- count
	}()
	began := time.Now()
	for n := range 50_000 {
		h.Progress(&model.ProgressEvent{ID: fmt.Sprintf("t%d", n), Client: "shop"})
	}
	most := maxProgress * (1 + int(time.Since(began)/progressEvery))
	h.TaskEvent(&model.TaskEvent{ID: "last", Client: "shop"})
	if count := testbed.Receive(t, got); count["task"] != 1 || count["progress"] < maxProgress || count["progress"] > most {
		t.Errorf("the stream got %v, want %d events of progress at most", count, most)
	}
	select {
	case <-s.lost:
		t.Error("the stream was closed")
	default:
	}
}

// An event has the number that its browser sends back; progress has none.
func TestHub_TextOfEvents(t *testing.T) {
	h := NewHub()
	s := h.open(interest{}, "")
	h.TaskEvent(taskEvent(1))
	h.Progress(&model.ProgressEvent{ID: "t1", Client: "shop"})
	one, two := <-s.queue, <-s.queue
	if text := h.text(one); !strings.HasPrefix(text, "id: "+h.epoch+"-1\nevent: task\ndata: {") || !strings.HasSuffix(text, "}\n\n") {
		t.Errorf("a task is %q", text)
	}
	if text := h.text(two); !strings.HasPrefix(text, "event: progress\ndata: {") {
		t.Errorf("progress is %q", text)
	}
}

// BenchmarkHub is one event of a task for one stream that reads, with a full ring.
func BenchmarkHub(b *testing.B) {
	h := NewHub()
	s := h.open(interest{}, "")
	go func() {
		for range s.queue {
		}
	}()
	e := taskEvent(1)
	for range ringSize {
		h.TaskEvent(e)
	}
	for b.Loop() {
		h.TaskEvent(e)
	}
}
