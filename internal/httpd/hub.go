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
	maxProgress   = 500                    // progress events in such a time on one stream; more are discarded
	maxTaskTimes  = 10_000                 // tasks whose last progress a stream remembers
)

// event is one event of the dispatcher.
type event struct {
	seq    uint64 // rises by one; 0 for progress, which nobody catches up with
	kind   string // task, progress, worker or intake
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
	ring    []*event // the newest, that of seq at seq % ringSize; nil until the first stream
	streams map[*stream]struct{}
}

// stream is one connection.
type stream struct {
	interest
	missed   []*event // since its Last-Event-ID; they come before those of queue
	queue    chan *event
	lost     chan struct{} // closed when the stream was too slow
	progress map[string]time.Time
	window   time.Time // when progressEvery began for shown
	shown    int       // progress events since then
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

// IntakeVerdict passes on the verdict on a submission through the intake.
func (h *Hub) IntakeVerdict(v *model.IntakeVerdict) { h.publish("intake", v.Client, v.ID, v) }

func (h *Hub) publish(kind, client, id string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	isProgress := kind == "progress"
	if h.ring == nil || isProgress && len(h.streams) == 0 {
		return // nobody has ever asked, or can hear it: nothing is encoded
	}
	data, err := wire.Encode(value)
	if err != nil {
		return // no event is invalid; one that is would be lost, as any may be
	}
	e := &event{0, kind, client, id, data}
	if !isProgress {
		h.last++
		e.seq = h.last
		h.ring[e.seq%ringSize] = e
	}
	now := time.Now()
	for s := range h.streams {
		if s.wants(e) && (!isProgress || s.mayShow(e, now)) {
			h.put(s, e)
		}
	}
}

// put queues an event. A stream that does not read is ended; its browser connects again
// and catches up.
func (h *Hub) put(s *stream, e *event) {
	select {
	case s.queue <- e:
	default:
		delete(h.streams, s)
		close(s.lost)
	}
}

// mayShow bounds the progress of a task to two events a second, and that of all tasks to
// what a browser can follow.
func (s *stream) mayShow(e *event, now time.Time) bool {
	if now.Sub(s.progress[e.id]) < progressEvery {
		return false
	}
	if now.Sub(s.window) >= progressEvery {
		s.window, s.shown = now, 0
	}
	if s.shown >= maxProgress {
		return false
	}
	s.shown++
	if len(s.progress) >= maxTaskTimes {
		clear(s.progress)
	}
	s.progress[e.id] = now
	return true
}

// open adds a stream. after is the Last-Event-ID of an earlier one: the events since then
// that are still known come first.
func (h *Hub) open(want interest, after string) *stream {
	s := &stream{interest: want, queue: make(chan *event, streamQueue), lost: make(chan struct{}), progress: make(map[string]time.Time)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring == nil {
		h.ring = make([]*event, ringSize)
	}
	h.streams[s] = struct{}{}
	epoch, number, _ := strings.Cut(after, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if epoch != h.epoch || err != nil || seq >= h.last {
		return s
	}
	for n := max(seq, h.last-min(h.last, ringSize)) + 1; n <= h.last; n++ {
		if e := h.ring[n%ringSize]; s.wants(e) {
			s.missed = append(s.missed, e)
		}
	}
	return s
}

func (h *Hub) close(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// text is an event on the wire.
func (h *Hub) text(e *event) string {
	text := "event: " + e.kind + "\ndata: " + string(e.data) + "\n\n"
	if e.seq == 0 {
		return text
	}
	return "id: " + h.epoch + "-" + strconv.FormatUint(e.seq, 10) + "\n" + text
}
