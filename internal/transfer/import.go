package transfer

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"

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

// imports is the kind of the sessions of an import.
var imports = &kind{
	limit: maxImports,
	full: func(r *registry) *model.Error {
		return model.Errorf(model.CodeUnavailable, "import: another import is in progress; try again: it can be replaced %v after its last request", r.replaceAfter)
	},
	unknown: func(id string) *model.Error {
		return model.Errorf(model.CodeNotFound, "import: there is no import %.64q; an idle one expires after %v, or when another one begins", id, idleTimeout)
	},
}

// recordWriter is the resource of an import.
type recordWriter struct {
	w      repo.Writer
	n      int64        // number of the last message with records
	answer importAnswer // answer to that message
}

// release implements [resource]. Records that were written stay and are not assigned;
// normally another import contains them again.
func (x *recordWriter) release(ctx context.Context, because event) error {
	if because == eventComplete {
		return nil
	}
	return x.w.Abort(ctx)
}

// logEnd implements [resource].
func (x *recordWriter) logEnd(logger *slog.Logger, because event, err error) {
	if because != eventExpire {
		return
	}
	logger.Warn("an idle import has expired; its pending tasks stay held back until the same import is repeated and verified, or the dispatcher restarts",
		"idle", idleTimeout, "error", err)
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
		return nil, model.Errorf(model.CodeTooLarge, "records: at most %d in a message, not %d", model.MaxBatch, len(lines))
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
	switch {
	case q.Begin:
		return t.beginImport(ctx, q)
	case q.Abort:
		return importAnswer{}, t.registry.close(ctx, imports, q.Import, eventAbort)
	}
	return t.registry.use(ctx, imports, q.Import, func(s *session) (any, error) {
		x := s.resource.(*recordWriter)
		switch {
		case q.Finish != nil:
			return t.finishImport(ctx, s, x, *q.Finish)
		case len(q.Lookup) > 0:
			return x.lookup(ctx, q.Lookup)
		case len(records) == 0:
			return nil, model.Errorf(model.CodeInvalid, "records: are missing; one of begin, records, finish, abort, lookup is needed")
		}
		return x.put(ctx, q.N, records)
	})
}

// finishImport ends an import if the store has the digest.
func (t *Sessions) finishImport(ctx context.Context, s *session, x *recordWriter, want repo.Digest) (any, error) {
	got, err := x.w.Finish(ctx, want)
	if err == nil && got.Equal(want) {
		err = t.registry.end(ctx, s, eventComplete)
	}
	return importAnswer{Digest: &got}, err
}

// put writes the records of one message once: the digest would count repeated ones
// twice.
func (x *recordWriter) put(ctx context.Context, n int64, records []repo.Record) (any, error) {
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

// beginImport starts the only import, or replaces an idle one.
func (t *Sessions) beginImport(ctx context.Context, q *importRequest) (any, error) {
	s, err := t.registry.begin(ctx, imports, func(ctx context.Context, _ string) (resource, error) {
		w, err := t.backend.Begin(ctx, repo.CopyOptions{OnConflict: q.OnConflict, DryRun: q.DryRun})
		if err != nil {
			return nil, err
		}
		return &recordWriter{w: w}, nil
	})
	if err != nil {
		return nil, err
	}
	return importAnswer{Import: s.id}, nil
}

// lookup returns tasks of the target, so that a copy can name the differences.
func (x *recordWriter) lookup(ctx context.Context, ids []string) (*page, error) {
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
