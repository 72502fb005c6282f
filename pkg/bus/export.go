package bus

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// exportRequest is the body of req.admin.export: begin, then pages of both kinds,
// each from where the one before ended, then end. A page may be asked for again.
type exportRequest struct {
	Begin  bool   `json:"begin,omitempty"`
	Final  bool   `json:"final,omitempty"`
	Export string `json:"export,omitempty"` // which one, as begin answered
	Kind   string `json:"kind,omitempty"`   // task | worker
	After  string `json:"after,omitempty"`  // next of the page before
	End    bool   `json:"end,omitempty"`    // all was read
	Abort  bool   `json:"abort,omitempty"`  // it was not: writes are taken again; with final of any export
}

type exportAnswer struct {
	Export string       `json:"export,omitempty"`
	Counts model.Counts `json:"counts,omitempty"`
}

// pageHead is the first line of a page. Each further line is a record, as in a
// .jsonl file: so a page is read record by record, by as many as there are cores.
type pageHead struct {
	Next string `json:"next"` // empty at the end
}

// export is one snapshot that is read page by page.
type export struct {
	use
	mu      sync.Mutex // a snapshot is for one at a time
	snap    repo.Snapshot
	workers []*model.Worker
	final   bool
}

func (c *call) export() {
	var q exportRequest
	if err := strict(c.data, &q); err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) reply { return paged(c.service.transfers.export(ctx, &q, room)) })
}

func (t *transfers) export(ctx context.Context, q *exportRequest, room int) (any, error) {
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
		defer t.begin(&x.use)()
	}
	t.mu.Unlock()
	if x == nil {
		return nil, model.Errorf(model.CodeNotFound, "export: there is no export %.64q; it may have been given up after %v without a request", q.Export, transferIdle)
	}
	if q.End || q.Abort {
		return exportAnswer{}, t.endExport(ctx, q.Export, q.Abort)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch q.Kind {
	case repo.KindTask:
		return x.tasks(ctx, q.After, room)
	case repo.KindWorker:
		return x.workersAfter(ctx, q.After, room)
	}
	return nil, model.Errorf(model.CodeInvalid, "kind: %.40q is none of task, worker", q.Kind)
}

func (t *transfers) beginExport(ctx context.Context, final bool) (any, error) {
	if err := t.makeRoom(ctx); err != nil {
		return nil, err
	}
	take := t.backend.Snapshot
	if final {
		take = t.backend.Freeze
	}
	snap, err := take(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := snap.Counts(ctx)
	if err != nil {
		_ = snap.Close() // the first error is the one to tell
		return nil, err
	}
	id := rand.Text()
	x := &export{snap: snap, final: final, use: use{last: time.Now()}}
	t.mu.Lock()
	defer t.mu.Unlock()
	x.idle = time.AfterFunc(transferIdle, func() { t.giveUpExport(id) })
	t.exports[id] = x
	if final {
		t.frozen = id
	}
	return exportAnswer{Export: id, Counts: counts}, nil
}

// makeRoom gives up the export that has been left for longest, if there are too
// many.
func (t *transfers) makeRoom(ctx context.Context) error {
	t.mu.Lock()
	oldest, n := "", len(t.exports)
	for id, x := range t.exports {
		if x.over(t.gone) && (oldest == "" || x.last.Before(t.exports[oldest].last)) {
			oldest = id
		}
	}
	t.mu.Unlock()
	switch {
	case n < maxExports:
		return nil
	case oldest == "":
		return model.Errorf(model.CodeTooMany, "export: %d exports are under way already; try again", n)
	}
	return t.endExport(ctx, oldest, true)
}

// giveUpExport ends an export that nobody goes on with.
func (t *transfers) giveUpExport(id string) {
	t.mu.Lock()
	x := t.exports[id]
	given := x != nil && x.over(transferIdle)
	t.mu.Unlock()
	if !given {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferClose)
	defer cancel()
	err := t.endExport(ctx, id, true)
	t.logger.Warn("an export that nobody went on with is given up; if it was final, writes are taken again", "idle", transferIdle, "final", x.final, "err", err)
}

// endExport closes the snapshot. One that was final and is aborted takes writes
// again, unless it is for another one, which may have been read whole, that they
// are refused.
func (t *transfers) endExport(ctx context.Context, id string, aborted bool) error {
	t.mu.Lock()
	x := t.exports[id]
	delete(t.exports, id)
	thaw := x != nil && x.final && aborted && t.frozen == id
	if thaw {
		t.frozen = ""
	}
	t.mu.Unlock()
	if x == nil {
		return nil
	}
	x.idle.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.snap.Close()
	if thaw {
		return t.backend.Thaw(ctx)
	}
	return err
}

// pageOf gathers records up to the room of a message.
type pageOf struct {
	lines [][]byte
	next  string
	room  int
}

// add reports whether the record still fit.
func (p *pageOf) add(r *repo.Record, cursor string) (bool, error) {
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

func (x *export) tasks(ctx context.Context, after string, room int) (*pageOf, error) {
	var seq int64
	if after != "" {
		var err error
		if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
			return nil, model.Errorf(model.CodeInvalid, "after: %.40q is not one that a page gave", after)
		}
	}
	p := &pageOf{room: room - rowRoom}
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

func (x *export) workersAfter(ctx context.Context, after string, room int) (*pageOf, error) {
	if x.workers == nil {
		var err error
		if x.workers, err = x.snap.Workers(ctx); err != nil {
			return nil, err
		}
	}
	p := &pageOf{room: room - rowRoom}
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
