package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// ExportRequest is the body of req.admin.export: begin, then pages of both kinds, each
// from the end of the one before, then end. A page may be requested again.
type ExportRequest struct {
	Begin  bool   `json:"begin,omitempty"`
	Final  bool   `json:"final,omitempty"`
	Export string `json:"export,omitempty"` // its id, from the answer of begin
	Kind   string `json:"kind,omitempty"`   // task | worker
	After  string `json:"after,omitempty"`  // next of the previous page
	End    bool   `json:"end,omitempty"`    // everything was read
	Abort  bool   `json:"abort,omitempty"`  // not everything was read: writes are accepted again; with final for any export
}

type exportAnswer struct {
	Export string       `json:"export,omitempty"`
	Term   int64        `json:"term,omitempty"` // of the leader whose store it is
	Counts model.Counts `json:"counts,omitempty"`
}

// pageHead is the first line of a page. Each further line is a record, as in a .jsonl
// file, so that records can be parsed in parallel.
type pageHead struct {
	Next string `json:"next"` // empty on the last page
}

// exportSession is a snapshot that is read in pages.
type exportSession struct {
	session
	snap    repo.Snapshot // nil until it is taken
	workers []*model.Worker
	final   bool
}

// DecodeExport decodes a message of an export.
func DecodeExport(data []byte) (*ExportRequest, *model.Error) {
	q := &ExportRequest{}
	if err := wire.Strict(data, q); err != nil {
		return nil, err
	}
	return q, nil
}

// Export answers a message of an export, with a body of at most room bytes.
func (t *Sessions) Export(ctx context.Context, q *ExportRequest, room int) ([]byte, error) {
	return encodeAnswer(t.handleExport(ctx, q, room))
}

func (t *Sessions) handleExport(ctx context.Context, q *ExportRequest, room int) (any, error) {
	if q.Begin {
		return t.beginExport(ctx, q.Final)
	}
	t.mu.Lock()
	if q.Final && q.Abort {
		t.frozen = ""
		t.mu.Unlock()
		return exportAnswer{}, t.backend.Thaw(ctx)
	}
	x := t.exports[q.Export]
	if x != nil {
		defer t.track(&x.session)()
	}
	t.mu.Unlock()
	if x == nil {
		return nil, model.Errorf(model.CodeNotFound, "export: there is no export %.64q; it may have expired after %v without a request", q.Export, idleTimeout)
	}
	if q.End || q.Abort {
		return exportAnswer{}, t.endExport(ctx, q.Export, q.Abort)
	}
	if err := x.work.acquire(ctx); err != nil {
		return nil, err
	}
	defer x.work.release()
	switch q.Kind {
	case repo.KindTask:
		return x.tasks(ctx, q.After, room)
	case repo.KindWorker:
		return x.workersAfter(ctx, q.After, room)
	}
	return nil, model.Errorf(model.CodeInvalid, "kind: %.40q is not allowed; use task or worker", q.Kind)
}

func (t *Sessions) beginExport(ctx context.Context, final bool) (any, error) {
	id := rand.Text()
	x, err := t.reserveExport(ctx, id, final)
	if err != nil {
		return nil, err
	}
	snap, counts, err := t.takeSnapshot(ctx, final)
	if err == nil {
		if !t.attachSnapshot(id, x, snap) { // the service stops
			return nil, errors.Join(wire.ErrStopping, snap.Close())
		}
		return exportAnswer{Export: id, Term: t.term, Counts: counts}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.exports, id)
	return nil, err
}

// attachSnapshot stores the snapshot of an export; it returns false if the export has
// ended.
func (t *Sessions) attachSnapshot(id string, x *exportSession, snap repo.Snapshot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exports[id] != x {
		return false
	}
	x.snap, x.busy, x.last = snap, 0, time.Now()
	x.idle = time.AfterFunc(idleTimeout, func() { t.expireExport(id) })
	if x.final {
		t.frozen = id
	}
	return true
}

// takeSnapshot takes the snapshot of an export.
func (t *Sessions) takeSnapshot(ctx context.Context, final bool) (repo.Snapshot, model.Counts, error) {
	take := t.backend.Snapshot
	if final {
		take = t.backend.Freeze
	}
	snap, err := take(ctx)
	if err != nil {
		return nil, nil, err
	}
	counts, err := snap.Counts(ctx)
	if err == nil {
		return snap, counts, nil
	}
	_ = snap.Close() // the first error is the one to return
	if final {
		thaw, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if failed := t.backend.Thaw(thaw); failed != nil {
			t.logger.Error("an export failed at its start and writes are still refused; abort a final export to accept writes", "error", failed)
		}
	}
	return nil, nil, err
}

// reserveExport registers an export before its snapshot is taken, so that concurrent
// exports stay within the limit. If there are too many, it ends the one that was idle
// for longest.
func (t *Sessions) reserveExport(ctx context.Context, id string, final bool) (*exportSession, error) {
	for {
		t.mu.Lock()
		if len(t.exports) < maxExports {
			x := &exportSession{final: final, session: session{busy: 1, work: newWorkSlot()}}
			t.exports[id] = x
			t.mu.Unlock()
			return x, nil
		}
		oldest, n := "", len(t.exports)
		for other, x := range t.exports {
			if x.idleFor(t.replaceableAfter) && (oldest == "" || x.last.Before(t.exports[oldest].last)) {
				oldest = other
			}
		}
		t.mu.Unlock()
		if oldest == "" {
			return nil, model.Errorf(model.CodeTooMany, "export: %d exports are in progress already; try again", n)
		}
		if err := t.endExport(ctx, oldest, true); err != nil {
			return nil, err
		}
	}
}

// expireExport ends an idle export.
func (t *Sessions) expireExport(id string) {
	t.mu.Lock()
	x := t.exports[id]
	given := x != nil && x.idleFor(idleTimeout)
	t.mu.Unlock()
	if !given {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := t.endExport(ctx, id, true)
	t.logger.Warn("an idle export has expired; if it was final, writes are accepted again", "idle", idleTimeout, "final", x.final, "error", err)
}

// endExport closes the snapshot. If the export was final and is aborted, writes are
// accepted again, unless a later final export, which may have been read completely, has
// them refused.
func (t *Sessions) endExport(ctx context.Context, id string, aborted bool) error {
	t.mu.Lock()
	x := t.exports[id]
	t.mu.Unlock()
	if x == nil || x.snap == nil {
		return nil
	}
	if err := x.work.acquire(ctx); err != nil {
		return err
	}
	defer x.work.release()
	t.mu.Lock()
	ended := t.exports[id] != x
	delete(t.exports, id)
	thaw := !ended && x.final && aborted && t.frozen == id
	if thaw {
		t.frozen = ""
	}
	t.mu.Unlock()
	if ended {
		return nil
	}
	x.idle.Stop()
	err := x.snap.Close()
	if thaw {
		return t.backend.Thaw(ctx)
	}
	return err
}

// page collects records up to the size of a message.
type page struct {
	lines [][]byte
	next  string
	room  int
}

// add appends a record and reports whether it fits.
func (p *page) add(r *repo.Record, cursor string) (bool, error) {
	b, err := r.Append(nil)
	if err != nil {
		return false, err
	}
	if len(b) > p.room && len(p.lines) == 0 {
		return false, model.Errorf(model.CodeTooLarge, "%s %s: its record has %d bytes, more than the %d of one message", r.Kind(), r.ID(), len(b), p.room).For(r.ID())
	}
	if len(b)+1 > p.room || len(p.lines) == maxPageRows {
		return false, nil
	}
	p.room -= len(b) + 1
	p.lines = append(p.lines, b)
	p.next = cursor
	return true, nil
}

func (x *exportSession) tasks(ctx context.Context, after string, room int) (*page, error) {
	var seq int64
	if after != "" {
		var err error
		if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
			return nil, model.Errorf(model.CodeInvalid, "after: %.40q is not the next of a page", after)
		}
	}
	p := &page{room: room - wire.RowRoom}
	for task, err := range x.snap.Tasks(ctx, seq) {
		if err != nil {
			return nil, err
		}
		fit, err := p.add(&repo.Record{Task: task}, strconv.FormatInt(task.Seq, 10))
		if err != nil || !fit {
			return p, err
		}
	}
	p.next = ""
	return p, nil
}

func (x *exportSession) workersAfter(ctx context.Context, after string, room int) (*page, error) {
	if x.workers == nil {
		var err error
		if x.workers, err = x.snap.Workers(ctx); err != nil {
			return nil, err
		}
	}
	p := &page{room: room - wire.RowRoom}
	for _, w := range x.workers {
		if w.ID <= after {
			continue
		}
		if fit, err := p.add(&repo.Record{Worker: w}, w.ID); err != nil || !fit {
			return p, err
		}
	}
	p.next = ""
	return p, nil
}
