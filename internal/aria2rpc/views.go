package aria2rpc

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	viewLife    = 10 * time.Minute // without a call or a socket; then it is forgotten
	loadTimeout = 30 * time.Second
)

// views holds the view of each client that uses the endpoint. It is safe for concurrent
// use.
type views struct {
	backend Backend
	logger  *slog.Logger
	now     func() time.Time
	inUse   func(client string) bool // whether it has a socket

	mu       sync.RWMutex
	byClient map[string]*view
	swept    time.Time
}

func newViews(backend Backend, logger *slog.Logger, inUse func(string) bool) *views {
	return &views{backend: backend, logger: logger, now: time.Now, inUse: inUse, byClient: make(map[string]*view)}
}

// of returns the loaded view of a client. After the dispatcher has loaded its state from
// the store again, events may be missing, so the view is loaded again too.
func (s *views) of(ctx context.Context, client string) (*view, error) {
	loads := s.backend.Loads()
	s.mu.Lock()
	now := s.now()
	s.sweep(now)
	v := s.byClient[client]
	if v == nil || v.loads != loads {
		old := v
		v = newView(client, loads)
		s.byClient[client] = v
		go s.load(context.WithoutCancel(ctx), v, old)
	}
	v.lastUsed = now
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-v.ready:
		return v, v.loadErr
	}
}

// sweep forgets views that nobody uses.
func (s *views) sweep(now time.Time) {
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	for client, v := range s.byClient {
		if now.Sub(v.lastUsed) > viewLife && !s.inUse(client) {
			delete(s.byClient, client)
		}
	}
}

func (s *views) load(ctx context.Context, v, old *view) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	defer close(v.ready)
	v.loadErr = errBug
	goroutine.Guard(s.logger, "a view of the aria2 endpoint panicked", func() { v.loadErr = s.fill(ctx, v, old) },
		func() []any { return []any{"client", v.client} })
	if v.loadErr != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.byClient[v.client] == v { // the next call tries again
			delete(s.byClient, v.client)
		}
	}
}

// fill fills a view with the tasks of its client.
func (s *views) fill(ctx context.Context, v, old *view) error {
	live, err := s.list(ctx, v.client, 0, model.OrderOldest,
		model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused)
	var ended []*model.Task
	if err == nil {
		ended, err = s.list(ctx, v.client, maxEnded, model.OrderNewest,
			model.StatusCompleted, model.StatusFailed, model.StatusCanceled)
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(ended, func(a, b *model.Task) int { return int(a.FinishedAt - b.FinishedAt) })
	v.fill(live, ended, s.now())
	if old != nil {
		v.inherit(old)
	}
	return nil
}

// list reads the tasks of a client, all of them or the first limit.
func (s *views) list(ctx context.Context, client string, limit int, order model.Order, of ...model.Status) ([]*model.Task, error) {
	q := model.ListQuery{Client: client, Status: of, Order: order, Limit: model.MaxBatch}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	var all []*model.Task
	for {
		page, err := s.backend.Tasks(ctx, &q)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			all = append(all, t.Public())
		}
		if page.Next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		q.Cursor = page.Next
	}
}

// event takes over an event of the dispatcher and returns what its client's sockets
// are told.
func (s *views) event(ev *model.TaskEvent) []notification {
	if v := s.get(ev.Client); v != nil {
		own := *ev // it is kept
		return v.event(&own)
	}
	return nil
}

func (s *views) progress(ev *model.ProgressEvent) {
	if v := s.get(ev.Client); v != nil {
		v.progress(ev)
	}
}

func (s *views) get(client string) *view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byClient[client]
}

// shown is an entry at one moment: what an answer is made of.
type shown struct {
	gid, id string
	phase   phase
	row     *model.Task
	name    string     // of the file, if it is one
	torrent *described // nil: no torrent
	options map[string]string
	encoded *atomic.Pointer[encodedStatus] // of the entry
}

// show reads the rows that are missing or old and returns the entries as they are now;
// those whose task is gone are left out and forgotten.
func (s *views) show(ctx context.Context, v *view, list []*entry) ([]shown, error) {
	now := s.now()
	v.mu.Lock()
	var stale []string
	for _, e := range list {
		if !e.fresh(now) {
			stale = append(stale, e.id)
		}
	}
	v.mu.Unlock()
	rows, torrents, err := s.read(ctx, v, stale)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range stale {
		switch e := v.byID[id]; {
		case e == nil:
		case rows[id] == nil:
			v.forget(e)
		default:
			e.whole = true
			if t := torrents[id]; t != nil {
				v.setTorrent(e, t)
			}
			v.refresh(e, rows[id], now)
		}
	}
	out := make([]shown, 0, len(list))
	for _, e := range list {
		if e.row != nil && v.byID[e.id] == e {
			out = append(out, shown{gid: e.gid, id: e.id, phase: e.phase, row: e.row, name: e.name, torrent: e.torrent, options: e.options, encoded: &e.encoded})
		}
	}
	return out, nil
}

// read reads tasks by pages, without secrets, and what the torrents that are not known
// yet say of themselves.
func (s *views) read(ctx context.Context, v *view, ids []string) (map[string]*model.Task, map[string]*described, error) {
	all, torrents := make(map[string]*model.Task, len(ids)), make(map[string]*described)
	for page := range slices.Chunk(ids, model.MaxBatch) {
		rows, err := s.backend.TasksByID(ctx, v.client, page)
		if err != nil {
			return nil, nil, err
		}
		for id, row := range rows {
			if len(row.Torrent) > 0 && !v.knowsTorrent(id) {
				if info, err := torrent.Parse(row.Torrent); err == nil {
					torrents[id] = describe(info, row.Torrent)
				}
			}
			all[id] = row.Public()
		}
	}
	return all, torrents, nil
}

// queueOf returns the downloads that wait, in the order of the queue. It reads the
// priority of those that are new.
func (s *views) queueOf(ctx context.Context, v *view) ([]*entry, error) {
	v.mu.Lock()
	var unknown []*entry
	for _, e := range v.queue() {
		if e.priority == 0 {
			unknown = append(unknown, e)
		}
	}
	v.mu.Unlock()
	if len(unknown) > 0 {
		if _, err := s.show(ctx, v, unknown); err != nil {
			return nil, err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.queue()), nil
}
