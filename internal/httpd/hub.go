package httpd

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	ringSize      = 4096                   // events that a stream can catch up with
	streamQueue   = 512                    // events that wait for one stream; then it is closed, and its browser asks again
	progressEvery = 500 * time.Millisecond // of one task on one stream
	maxTaskTimes  = 10_000                 // tasks whose last progress a stream remembers
)

// event is one event of the dispatcher.
type event struct {
	seq    uint64 // rises by one
	kind   string // task, progress or worker
	client string // empty for kind worker
	id     string // of the task or worker
	data   []byte // JSON
}

// interest is what one stream wants.
type interest struct {
	kinds      []string // empty: all
	client, id string   // empty: any
}

func (i *interest) wants(e *event) bool {
	return (len(i.kinds) == 0 || slices.Contains(i.kinds, e.kind)) &&
		(i.client == "" || i.client == e.client) && (i.id == "" || i.id == e.id)
}

// Hub passes the events of the dispatcher to streams. Its methods do not block, and cost
// next to nothing without streams. It is safe for concurrent use.
type Hub struct {
	mu      sync.Mutex
	epoch   string // of this process: numbers of another one mean nothing
	last    uint64
	ring    []event // the newest, oldest first; filled while there are or were streams
	streams map[*stream]struct{}
	used    bool
}

// stream is one connection.
type stream struct {
	interest
	queue    chan event
	lost     chan struct{} // closed when the stream was too slow
	progress map[string]time.Time
}

// NewHub makes a hub without streams.
func NewHub() *Hub {
	return &Hub{epoch: strconv.FormatInt(time.Now().UnixMilli(), 36), streams: make(map[*stream]struct{})}
}

// TaskEvent passes on a task's new status.
func (h *Hub) TaskEvent(ev *model.TaskEvent) { h.publish("task", ev.Client, ev.ID, ev) }

// Progress passes on the progress of a download.
func (h *Hub) Progress(ev *model.ProgressEvent) { h.publish("progress", ev.Client, ev.ID, ev) }

// WorkerEvent passes on a worker's new status.
func (h *Hub) WorkerEvent(ev *model.WorkerEvent) { h.publish("worker", "", ev.ID, ev) }

func (h *Hub) publish(kind, client, id string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.used {
		return // nobody has ever asked: nothing is encoded
	}
	data, err := wire.Encode(value)
	if err != nil {
		return // no event is invalid; one that is would be lost, as any may be
	}
	h.last++
	e := event{h.last, kind, client, id, data}
	if len(h.ring) == ringSize {
		h.ring = append(h.ring[:0], h.ring[1:]...)
	}
	h.ring = append(h.ring, e)
	now := time.Now()
	for s := range h.streams {
		if s.wants(&e) && s.mayShow(&e, now) {
			h.put(s, e)
		}
	}
}

// put queues an event. A stream that does not read is ended; its browser connects again
// and catches up.
func (h *Hub) put(s *stream, e event) {
	select {
	case s.queue <- e:
	default:
		delete(h.streams, s)
		close(s.lost)
	}
}

// mayShow bounds the progress of a task to two events a second.
func (s *stream) mayShow(e *event, now time.Time) bool {
	if e.kind != "progress" {
		return true
	}
	if now.Sub(s.progress[e.id]) < progressEvery {
		return false
	}
	if len(s.progress) >= maxTaskTimes {
		clear(s.progress)
	}
	s.progress[e.id] = now
	return true
}

// open adds a stream. after is the Last-Event-ID of an earlier one: the events since then
// that are still known are queued.
func (h *Hub) open(want interest, after string) *stream {
	s := &stream{interest: want, queue: make(chan event, streamQueue), lost: make(chan struct{}), progress: make(map[string]time.Time)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = true
	h.streams[s] = struct{}{}
	epoch, number, _ := strings.Cut(after, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if epoch != h.epoch || err != nil {
		return s
	}
	for _, e := range h.ring {
		if e.seq > seq && s.wants(&e) && len(s.queue) < cap(s.queue) {
			s.queue <- e
		}
	}
	return s
}

func (h *Hub) close(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// name is the id of an event on the wire.
func (h *Hub) name(e *event) string { return h.epoch + "-" + strconv.FormatUint(e.seq, 10) }
