package transfer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// remoteRetry is how long a page or a batch is retried while the dispatcher cannot be
// reached.
const remoteRetry = time.Minute

// RemoteStore is the store of a running dispatcher, as a source and a target of
// [repo.Copy]. Requests are retried for up to a minute while the dispatcher cannot be
// reached: repeated pages and batches are harmless.
type RemoteStore struct {
	nc       *nats.Conn
	subjects wire.Subjects
	final    bool
}

// NewRemoteStore returns the store of the dispatcher on the prefix. With final that
// dispatcher refuses writes from the snapshot on, unless the copy fails.
func NewRemoteStore(nc *nats.Conn, prefix string, final bool) (*RemoteStore, error) {
	subjects, err := wire.NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	return &RemoteStore{nc: nc, subjects: subjects, final: final}, nil
}

// ask repeats a request until it has an answer.
func (s *RemoteStore) ask(ctx context.Context, verb string, body, into any) error {
	b, err := wire.Encode(body)
	if err != nil {
		return err
	}
	answer, err := s.askBody(ctx, verb, b)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// askBody is ask with encoded bodies.
func (s *RemoteStore) askBody(ctx context.Context, verb string, body []byte) ([]byte, error) {
	return backoff.Retry(ctx, func() ([]byte, error) {
		answer, err := wire.AskBody(ctx, s.nc, s.subjects.Request(wire.Sender{Role: wire.RoleAdmin, Verb: verb}), body)
		var e *model.Error
		if errors.As(err, &e) && e.Code != model.CodeUnavailable {
			return nil, backoff.Permanent(err)
		}
		return answer, err
	}, backoff.WithMaxElapsedTime(remoteRetry))
}

// beginRetry is how long an export or import waits for the end of another one: an idle
// one can be replaced after replaceAfter.
const beginRetry = 2 * replaceAfter

// begin starts an export or import. Only refused requests are repeated: one with an
// unknown outcome may have begun, and is replaced later.
func (s *RemoteStore) begin(ctx context.Context, verb string, body, into any) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.askOnce(ctx, verb, body, into)
		var e *model.Error
		if errors.As(err, &e) && (e.Code == model.CodeUnavailable || e.Code == model.CodeTooMany) {
			return struct{}{}, err
		}
		return struct{}{}, backoff.Permanent(err)
	}, backoff.WithMaxElapsedTime(beginRetry))
	return err
}

// askOnce sends a request that must not be repeated.
func (s *RemoteStore) askOnce(ctx context.Context, verb string, body, into any) error {
	b, err := wire.Encode(body)
	if err != nil {
		return err
	}
	return wire.Ask(ctx, s.nc, s.subjects.Request(wire.Sender{Role: wire.RoleAdmin, Verb: verb}), b, into)
}

// Snapshot implements [repo.Source].
func (s *RemoteStore) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	var a exportAnswer
	if err := s.begin(ctx, "export", ExportRequest{Begin: true, Final: s.final}, &a); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &remoteSnapshot{s: s, id: a.Export, counts: a.Counts}, nil
}

// Thaw makes a dispatcher accept writes again that refuses them for a final snapshot,
// after a copy that has failed.
func (s *RemoteStore) Thaw(ctx context.Context) error {
	var ignored exportAnswer
	if err := s.ask(ctx, "export", ExportRequest{Final: true, Abort: true}, &ignored); err != nil {
		return fmt.Errorf("export: accepting writes again: %w", err)
	}
	return nil
}

// remoteSnapshot reads an export in pages.
type remoteSnapshot struct {
	s              *RemoteStore
	id             string
	counts         model.Counts
	allWorkersRead bool // every worker was read
	allTasksRead   bool
	closed         bool
}

// Counts implements [repo.Snapshot].
func (x *remoteSnapshot) Counts(context.Context) (model.Counts, error) { return x.counts, nil }

// pages yields the records of a kind; it requests the next page while it yields one.
func (x *remoteSnapshot) pages(ctx context.Context, kind, after string) iter.Seq2[*repo.Record, error] {
	return func(yield func(*repo.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		fetch := func(after string) chan fetchedPage {
			ready := make(chan fetchedPage, 1)
			go func() { ready <- x.page(ctx, kind, after) }()
			return ready
		}
		for next := fetch(after); next != nil; {
			p := <-next
			if next = nil; p.err == nil && p.next != "" {
				next = fetch(p.next)
			}
			records, err := parseRecords(p.lines)
			if err = cmp.Or(p.err, err); err != nil {
				yield(nil, fmt.Errorf("export: %w", err))
				return
			}
			for i := range records {
				if !yield(&records[i], nil) {
					return
				}
			}
		}
	}
}

// fetchedPage is one page of an export.
type fetchedPage struct {
	lines [][]byte
	next  string
	err   error
}

func (x *remoteSnapshot) page(ctx context.Context, kind, after string) fetchedPage {
	b, err := wire.Encode(ExportRequest{Export: x.id, Kind: kind, After: after})
	if err != nil {
		return fetchedPage{err: err}
	}
	body, err := x.s.askBody(ctx, "export", b)
	if err != nil {
		return fetchedPage{err: err}
	}
	head, lines := splitPage(body)
	var h pageHead
	err = json.Unmarshal(head, &h)
	return fetchedPage{lines: lines, next: h.Next, err: err}
}

// Tasks implements [repo.Snapshot].
func (x *remoteSnapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		for r, err := range x.pages(ctx, repo.KindTask, fmt.Sprint(after)) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(r.Task, nil) {
				return
			}
		}
		x.allTasksRead = true
	}
}

// Workers implements [repo.Snapshot].
func (x *remoteSnapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	var list []*model.Worker
	for r, err := range x.pages(ctx, repo.KindWorker, "") {
		if err != nil {
			return nil, err
		}
		list = append(list, r.Worker)
	}
	x.allWorkersRead = true
	return list, nil
}

// Close implements [repo.Snapshot]. An export that was not read completely is aborted:
// a dispatcher that was frozen for it accepts writes again.
func (x *remoteSnapshot) Close() error {
	if x.closed {
		return nil
	}
	x.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), wire.AskTimeout)
	defer cancel()
	q := ExportRequest{Export: x.id, End: true}
	if !x.allWorkersRead || !x.allTasksRead {
		q = ExportRequest{Export: x.id, Abort: true}
	}
	var ignored exportAnswer
	if err := x.s.ask(ctx, "export", q, &ignored); err != nil {
		return fmt.Errorf("export: ending it: %w", err)
	}
	return nil
}

// Begin implements [repo.Target].
func (s *RemoteStore) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	var a importAnswer
	if err := s.begin(ctx, "import", importRequest{Begin: true, OnConflict: o.OnConflict, DryRun: o.DryRun}, &a); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return &remoteWriter{s: s, id: a.Import}, nil
}

// remoteWriter sends an import in batches.
type remoteWriter struct {
	s  *RemoteStore
	id string
	n  int64 // messages with records so far
}

// Put implements [repo.Writer]. Records that do not fit into one message are sent in
// several.
func (w *remoteWriter) Put(ctx context.Context, records []repo.Record) (repo.PutStats, error) {
	var sum repo.PutStats
	room := wire.MaxBody(w.s.nc) - wire.RowRoom
	for begin := 0; begin < len(records); {
		w.n++
		body, err := wire.Encode(importRequest{Import: w.id, N: w.n})
		if err != nil {
			return sum, err
		}
		end := begin
		for ; end < len(records) && end-begin < model.MaxBatch; end++ {
			before := len(body)
			if body, err = records[end].Append(append(body, '\n')); err != nil {
				return sum, err
			}
			if len(body) > room && end > begin {
				body = body[:before]
				break
			}
		}
		answer, err := w.s.askBody(ctx, "import", body)
		var a importAnswer
		if err == nil {
			err = json.Unmarshal(answer, &a)
		}
		if err != nil {
			return sum, fmt.Errorf("import: %w", err)
		}
		if a.Put == nil {
			return sum, errors.New("import: the answer of the dispatcher has no result of the records")
		}
		sum.Written += a.Put.Written
		sum.Skipped += a.Put.Skipped
		sum.Replaced += a.Put.Replaced
		sum.Kept += a.Put.Kept
		sum.Excluded = sum.Excluded.Plus(a.Put.Excluded)
		begin = end
	}
	return sum, nil
}

// Finish implements [repo.Writer].
func (w *remoteWriter) Finish(ctx context.Context, want repo.Digest) (repo.Digest, error) {
	var a importAnswer
	if err := w.s.askOnce(ctx, "import", importRequest{Import: w.id, Finish: &want}, &a); err != nil {
		return repo.Digest{}, fmt.Errorf("import: %w", err)
	}
	if a.Digest == nil {
		return repo.Digest{}, errors.New("import: the answer of the dispatcher has no digest")
	}
	return *a.Digest, nil
}

// Abort implements [repo.Writer]. Written records stay, and are not assigned until the
// same copy is repeated.
func (w *remoteWriter) Abort(ctx context.Context) error {
	var ignored importAnswer
	err := w.s.askOnce(ctx, "import", importRequest{Import: w.id, Abort: true}, &ignored)
	if err != nil && model.CodeOf(err) != model.CodeNotFound {
		return fmt.Errorf("import: aborting it: %w", err)
	}
	return nil
}

// Tasks implements [repo.Lookup].
func (w *remoteWriter) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	found := make(map[string]*model.Task, len(ids))
	for part := range slices.Chunk(ids, 100) {
		b, err := wire.Encode(importRequest{Import: w.id, Lookup: part})
		if err != nil {
			return nil, err
		}
		body, err := w.s.askBody(ctx, "import", b)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		_, lines := splitPage(body)
		records, err := parseRecords(lines)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		for i := range records {
			found[records[i].ID()] = records[i].Task
		}
	}
	return found, nil
}
