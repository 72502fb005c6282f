package transfer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// importRequest is the body of req.admin.import: begin, then records, then finish.
// Records are the lines after it, as in a page.
type importRequest struct {
	Begin      bool            `json:"begin,omitempty"`
	OnConflict repo.OnConflict `json:"on_conflict,omitempty"`
	DryRun     bool            `json:"dry_run,omitempty"`
	Import     string          `json:"import,omitempty"`
	N          int64           `json:"n,omitempty"`      // number of a message with records: a repeated one is answered again
	Finish     *repo.Digest    `json:"finish,omitempty"` // digest that the store must have
	Abort      bool            `json:"abort,omitempty"`
	Lookup     []string        `json:"lookup,omitempty"` // task ids: their records are the answer's lines
}

type importAnswer struct {
	Import string         `json:"import,omitempty"`
	Put    *repo.PutStats `json:"put,omitempty"`
	Digest *repo.Digest   `json:"digest,omitempty"`
}

// importSession is an import in progress.
type importSession struct {
	session
	w      repo.Writer  // nil until it has begun
	n      int64        // number of the last message with records
	answer importAnswer // answer to that message
}

// ImportRequest is a message of an import: the request, and its records, which are not
// parsed yet.
type ImportRequest struct {
	importRequest
	lines [][]byte
}

// DecodeImport decodes a message of an import.
func DecodeImport(data []byte) (*ImportRequest, *model.Error) {
	head, lines := splitPage(data)
	q := &ImportRequest{lines: lines}
	if err := wire.Strict(head, &q.importRequest); err != nil {
		return nil, err
	}
	if len(lines) > model.MaxBatch {
		return nil, model.Errorf(model.CodeTooLarge, "at most %d records in a message, not %d", model.MaxBatch, len(lines))
	}
	return q, nil
}

// Import answers a message of an import.
func (t *Sessions) Import(ctx context.Context, q *ImportRequest) ([]byte, error) {
	records, err := parseRecords(q.lines)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "records: %v", err)
	}
	return encodeAnswer(t.handleImport(ctx, &q.importRequest, records))
}

// splitPage splits a message into its first line and the records after it.
func splitPage(data []byte) (head []byte, lines [][]byte) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			lines = append(lines, line)
		}
	}
	return head, lines
}

// parseRecords parses lines on two cores.
func parseRecords(lines [][]byte) ([]repo.Record, error) {
	records := make([]repo.Record, len(lines))
	var group sync.WaitGroup
	var errs [2]error
	half := (len(lines) + 1) / 2
	for part := range errs {
		group.Go(func() {
			defer func() { // recover in the caller does not cover another goroutine
				if p := recover(); p != nil {
					errs[part] = fmt.Errorf("a record panicked: %v", p)
				}
			}()
			for i := part * half; i < min((part+1)*half, len(lines)) && errs[part] == nil; i++ {
				if records[i], errs[part] = repo.ParseRecord(lines[i]); errs[part] == nil {
					errs[part] = records[i].Encode()
				}
			}
		})
	}
	group.Wait()
	return records, cmp.Or(errs[0], errs[1])
}

func (t *Sessions) handleImport(ctx context.Context, q *importRequest, records []repo.Record) (any, error) {
	if q.Begin {
		return t.beginImport(ctx, q)
	}
	t.mu.Lock()
	x := t.imports[q.Import]
	if x != nil {
		defer t.track(&x.session)()
	}
	t.mu.Unlock()
	if x == nil {
		return nil, model.Errorf(model.CodeNotFound, "import: there is no import %.64q; an idle one expires after %v, or when another one begins", q.Import, idleTimeout)
	}
	if err := x.work.acquire(ctx); err != nil {
		return nil, err
	}
	defer x.work.release()
	switch {
	case q.Abort:
		t.removeImport(q.Import, x)
		return importAnswer{}, x.w.Abort(ctx)
	case q.Finish != nil:
		got, err := x.w.Finish(ctx, *q.Finish)
		if err == nil && got.Equal(*q.Finish) {
			t.removeImport(q.Import, x)
		}
		return importAnswer{Digest: &got}, err
	case len(q.Lookup) > 0:
		return x.lookup(ctx, q.Lookup)
	case len(records) == 0:
		return nil, model.Errorf(model.CodeInvalid, "records: are missing; one of begin, records, finish, abort, lookup is needed")
	}
	return x.put(ctx, q.N, records)
}

// put writes the records of one message once: the digest would count repeated ones
// twice.
func (x *importSession) put(ctx context.Context, n int64, records []repo.Record) (any, error) {
	if n != 0 && n == x.n {
		return x.answer, nil
	}
	for i := range records {
		if records[i].Kind() != records[0].Kind() {
			return nil, model.Errorf(model.CodeInvalid, "records: all of one message must be of one kind")
		}
	}
	done, err := x.w.Put(ctx, records)
	if err != nil {
		return nil, err
	}
	x.n, x.answer = n, importAnswer{Put: &done}
	return x.answer, nil
}

// beginImport starts the only import. An idle one is replaced; its records stay and are
// not assigned, and normally the new import contains them again.
func (t *Sessions) beginImport(ctx context.Context, q *importRequest) (any, error) {
	id := rand.Text()
	x, before, err := t.reserveImport(id)
	if err != nil {
		return nil, err
	}
	if before != nil {
		before.idle.Stop()
		err = before.w.Abort(ctx)
	}
	var w repo.Writer
	if err == nil {
		w, err = t.backend.Begin(ctx, repo.CopyOptions{OnConflict: q.OnConflict, DryRun: q.DryRun})
	}
	t.mu.Lock()
	running := t.imports[id] == x
	switch {
	case err != nil:
		delete(t.imports, id)
	case running:
		x.w, x.busy, x.last = w, 0, time.Now()
		x.idle = time.AfterFunc(idleTimeout, func() { t.expireImport(id) })
	}
	t.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !running: // the service stops
		return nil, errors.Join(wire.ErrStopping, w.Abort(ctx))
	}
	return importAnswer{Import: id}, nil
}

// reserveImport registers an import before the dispatcher's loop begins it, so that
// other requests do not wait for the loop. It returns the import that it replaces, or
// nil.
func (t *Sessions) reserveImport(id string) (x, before *importSession, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other, o := range t.imports {
		if !o.idleFor(t.replaceableAfter) {
			return nil, nil, model.Errorf(model.CodeUnavailable, "import: another import is in progress; try again: it can be replaced %v after its last request", t.replaceableAfter)
		}
		before = o
		delete(t.imports, other)
	}
	x = &importSession{session: session{busy: 1, work: newWorkSlot()}}
	t.imports[id] = x
	return x, before, nil
}

// expireImport ends an idle import.
func (t *Sessions) expireImport(id string) {
	t.mu.Lock()
	x := t.imports[id]
	given := x != nil && x.idleFor(idleTimeout)
	if given {
		delete(t.imports, id)
	}
	t.mu.Unlock()
	if !given {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := x.work.acquire(ctx)
	if err == nil {
		defer x.work.release()
		err = x.w.Abort(ctx)
	}
	t.logger.Warn("an idle import has expired; its pending tasks stay held back until the same import is repeated and verified, or the dispatcher restarts",
		"idle", idleTimeout, "error", err)
}

func (t *Sessions) removeImport(id string, x *importSession) {
	x.idle.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.imports, id)
}

// lookup returns tasks of the target, so that a copy can name the differences.
func (x *importSession) lookup(ctx context.Context, ids []string) (*page, error) {
	p := &page{room: maxLookupSize}
	look, ok := x.w.(repo.Lookup)
	if !ok {
		return p, nil
	}
	found, err := look.Tasks(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if task := found[id]; task != nil {
			if fit, err := p.add(&repo.Record{Task: task}, ""); err != nil || !fit {
				return p, err
			}
		}
	}
	return p, nil
}
