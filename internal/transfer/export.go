package transfer

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

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

// exports is the kind of the sessions of an export.
var exports = &kind{
	limit: maxExports,
	full: func(*registry) *model.Error {
		return model.Errorf(model.CodeTooMany, "export: %d exports are in progress already; try again", maxExports)
	},
	unknown: func(id string) *model.Error {
		return model.Errorf(model.CodeNotFound, "export: there is no export %.64q; it may have expired after %v without a request", id, idleTimeout)
	},
}

// snapshotReader is the resource of an export: a snapshot that is read in pages.
type snapshotReader struct {
	sessions *Sessions
	id       string
	snap     repo.Snapshot
	workers  []*model.Worker // nil until they are read
	final    bool
	outcome  string // of its release for writes, for the log
}

// stillRefused is what the log says after a thaw that failed.
const stillRefused = "writes may still be refused: accepting them is tried again until this dispatcher stops; or abort a final export"

// release implements [resource]. If the export was final and is not complete, writes are
// accepted again, unless a later final export, which may have been read completely, has
// them refused. So it is when the dispatcher stops: the next one would refuse them for good.
func (x *snapshotReader) release(ctx context.Context, because event) error {
	err := x.snap.Close()
	if !x.final || because == eventComplete {
		return err
	}
	switch thawed, failed := x.sessions.thaw(ctx, x.id); {
	case failed != nil:
		x.outcome = "; " + stillRefused
		err = errors.Join(err, failed)
	case thawed:
		x.outcome = "; writes are accepted again"
	default:
		x.outcome = "; writes are refused for a later final export, or were accepted again before"
	}
	return err
}

// logEnd implements [resource].
func (x *snapshotReader) logEnd(logger *slog.Logger, because event, err error) {
	switch {
	case because == eventExpire:
		logger.Warn("an idle export has expired"+x.outcome, "idle", idleTimeout, "final", x.final, "error", err)
	case x.final || err != nil:
		logger.Warn("the dispatcher stops during an export"+x.outcome, "final", x.final, "error", err)
	}
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
	switch {
	case q.Begin:
		return t.beginExport(ctx, q.Final)
	case q.Final && q.Abort:
		return exportAnswer{}, t.thawAny(ctx)
	case q.Abort:
		return exportAnswer{}, t.registry.close(ctx, exports, q.Export, eventAbort)
	case q.End:
		return exportAnswer{}, t.registry.close(ctx, exports, q.Export, eventComplete)
	}
	return t.registry.use(ctx, exports, q.Export, func(s *session) (any, error) {
		x := s.resource.(*snapshotReader)
		switch q.Kind {
		case repo.KindTask:
			return x.tasks(ctx, q.After, room)
		case repo.KindWorker:
			return x.workersAfter(ctx, q.After, room)
		}
		return nil, model.Errorf(model.CodeInvalid, "kind: %.40q is not allowed; use task or worker", q.Kind)
	})
}

func (t *Sessions) beginExport(ctx context.Context, final bool) (any, error) {
	var counts model.Counts
	s, err := t.registry.begin(ctx, exports, func(ctx context.Context, id string) (resource, error) {
		if final {
			defer t.lockFreeze()()
		}
		snap, n, err := t.takeSnapshot(ctx, final)
		if err != nil {
			return nil, err
		}
		counts = n
		if final {
			t.setFrozen(id)
		}
		return &snapshotReader{sessions: t, id: id, snap: snap, final: final}, nil
	})
	if err != nil {
		return nil, err
	}
	return exportAnswer{Export: s.id, Term: t.term, Counts: counts}, nil
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
	_ = snap.Close()                  // the first error is the one to return
	if final && t.frozenFor() == "" { // an earlier freeze stays
		thaw, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if failed := t.backend.Thaw(thaw); failed != nil {
			t.logger.Error("an export failed at its start; "+stillRefused, "error", failed)
		}
	}
	return nil, nil, err
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

func (x *snapshotReader) tasks(ctx context.Context, after string, room int) (*page, error) {
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

func (x *snapshotReader) workersAfter(ctx context.Context, after string, room int) (*page, error) {
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
