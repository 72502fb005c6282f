package bus

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Transfers is what a backend does for migrate: the whole store out, and records
// in.
type Transfers interface {
	// Snapshot returns everything that is stored at this moment.
	Snapshot(ctx context.Context) (repo.Snapshot, error)
	// Freeze is Snapshot, and refuses writes from then on until Thaw.
	Freeze(ctx context.Context) (repo.Snapshot, error)
	Thaw(ctx context.Context) error
	// Begin starts an import, whose tasks are held back from workers until it is
	// finished and verified.
	Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error)
}

// Limits of transfers.
const (
	maxExports = 4
	// transferIdle is after how long one that nobody goes on with is given up, and
	// transferGone after how long another one may take its place: whoever reads or
	// writes records does so several times a second, so it was killed.
	transferIdle  = 5 * time.Minute
	transferGone  = 10 * time.Second
	maxPageRows   = 1000
	transferClose = 10 * time.Second
	maxRoom       = 512 << 10 // of the records of a look-up
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

// importRequest is the body of req.admin.import: begin, then records, then finish.
// Records stand on lines of their own behind it, as in a page.
type importRequest struct {
	Begin      bool            `json:"begin,omitempty"`
	OnConflict repo.OnConflict `json:"on_conflict,omitempty"`
	DryRun     bool            `json:"dry_run,omitempty"`
	Import     string          `json:"import,omitempty"`
	N          int64           `json:"n,omitempty"`      // number of a message with records: one that comes again is answered again
	Finish     *repo.Digest    `json:"finish,omitempty"` // of what the dispatcher must hold then
	Abort      bool            `json:"abort,omitempty"`
	Lookup     []string        `json:"lookup,omitempty"` // task ids: their records are the answer's lines
}

type importAnswer struct {
	Import string         `json:"import,omitempty"`
	Put    *repo.PutStats `json:"put,omitempty"`
	Digest *repo.Digest   `json:"digest,omitempty"`
}

// transfers is the exports and imports under way.
type transfers struct {
	backend Backend
	logger  *slog.Logger
	gone    time.Duration
	mu      sync.Mutex
	exports map[string]*export
	imports map[string]*importing
	frozen  string // the export for which writes are refused: the last final one
}

// use is who goes on with a transfer, and when; transfers.mu guards it.
type use struct {
	busy int // requests that are worked on
	last time.Time
	idle *time.Timer
}

// begin notes a request, and returns what is to be called at its end.
func (t *transfers) begin(u *use) (end func()) {
	u.busy++
	u.idle.Stop()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		u.busy--
		u.last = time.Now()
		u.idle.Reset(transferIdle)
	}
}

// over reports whether nobody has gone on for that long.
func (u *use) over(d time.Duration) bool { return u.busy == 0 && time.Since(u.last) >= d }

// export is one snapshot that is read page by page.
type export struct {
	use
	mu      sync.Mutex // a snapshot is for one at a time
	snap    repo.Snapshot
	workers []*model.Worker
	final   bool
}

// importing is one import under way.
type importing struct {
	use
	mu     sync.Mutex
	w      repo.Writer
	n      int64        // of the last message with records
	answer importAnswer // to it
}

func newTransfers(b Backend, logger *slog.Logger) *transfers {
	return &transfers{
		backend: b, logger: logger, gone: transferGone,
		exports: make(map[string]*export), imports: make(map[string]*importing),
	}
}

func (c *call) export() {
	var q exportRequest
	if err := strict(c.data, &q); err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) reply { return paged(c.service.transfers.export(ctx, &q, room)) })
}

func (c *call) importRecords() {
	head, lines := splitPage(c.data)
	var q importRequest
	if err := strict(head, &q); err != nil {
		c.reply(refuse(err))
		return
	}
	if len(lines) > model.MaxBatch {
		c.reply(refuse(model.Errorf(model.CodeTooLarge, "at most %d records in a message, not %d", model.MaxBatch, len(lines))))
		return
	}
	c.read(func(ctx context.Context, _ int) reply {
		records, err := parseRecords(lines)
		if err != nil {
			return refuse(model.Errorf(model.CodeInvalid, "records: %v", err))
		}
		return paged(c.service.transfers.imported(ctx, &q, records))
	})
}

// paged is the answer of a transfer: a page, or one object.
func paged(v any, err error) reply {
	if err != nil {
		return failed(err)
	}
	if p, ok := v.(*pageOf); ok {
		head, err := encode(pageHead{Next: p.next})
		if err != nil {
			return failed(err)
		}
		return reply{body: bytes.Join(append([][]byte{head}, p.lines...), []byte("\n"))}
	}
	return answer(v)
}

// splitPage parts a message into its first line and the records behind it.
func splitPage(data []byte) (head []byte, lines [][]byte) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			lines = append(lines, line)
		}
	}
	return head, lines
}

// parseRecords reads lines on two cores.
func parseRecords(lines [][]byte) ([]repo.Record, error) {
	records := make([]repo.Record, len(lines))
	var group sync.WaitGroup
	var errs [2]error
	half := (len(lines) + 1) / 2
	for part := range errs {
		group.Go(func() {
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

func (t *transfers) imported(ctx context.Context, q *importRequest, records []repo.Record) (any, error) {
	if q.Begin {
		return t.beginImport(ctx, q)
	}
	t.mu.Lock()
	x := t.imports[q.Import]
	if x != nil {
		defer t.begin(&x.use)()
	}
	t.mu.Unlock()
	if x == nil {
		return nil, model.Errorf(model.CodeNotFound, "import: there is no import %.64q; one that nobody goes on with is given up after %v, or when another one begins", q.Import, transferIdle)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case q.Abort:
		t.forget(q.Import, x)
		return importAnswer{}, x.w.Abort(ctx)
	case q.Finish != nil:
		got, err := x.w.Finish(ctx, *q.Finish)
		if err == nil && got.Equal(*q.Finish) {
			t.forget(q.Import, x)
		}
		return importAnswer{Digest: &got}, err
	case len(q.Lookup) > 0:
		return x.lookup(ctx, q.Lookup)
	case len(records) == 0:
		return nil, model.Errorf(model.CodeInvalid, "records: are missing; one of begin, records, finish, abort, lookup is needed")
	}
	return x.put(ctx, q.N, records)
}

// put takes the records of one message, once: the digest of what was seen would
// else count them twice.
func (x *importing) put(ctx context.Context, n int64, records []repo.Record) (any, error) {
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

// beginImport starts the one import that there may be. One whose sender is gone
// gives way; what it brought stays, held back, and most often the new one is the
// same again.
func (t *transfers) beginImport(ctx context.Context, q *importRequest) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, x := range t.imports {
		if !x.over(t.gone) {
			return nil, model.Errorf(model.CodeUnavailable, "import: another import is under way; try again: it gives way %v after its last request", t.gone)
		}
		x.idle.Stop()
		delete(t.imports, id)
		if err := x.w.Abort(ctx); err != nil {
			return nil, err
		}
	}
	w, err := t.backend.Begin(ctx, repo.CopyOptions{OnConflict: q.OnConflict, DryRun: q.DryRun})
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	x := &importing{w: w, use: use{last: time.Now()}}
	x.idle = time.AfterFunc(transferIdle, func() { t.giveUpImport(id) })
	t.imports[id] = x
	return importAnswer{Import: id}, nil
}

// giveUpImport ends an import that nobody goes on with.
func (t *transfers) giveUpImport(id string) {
	t.mu.Lock()
	x := t.imports[id]
	given := x != nil && x.over(transferIdle)
	if given {
		delete(t.imports, id)
	}
	t.mu.Unlock()
	if !given {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferClose)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.w.Abort(ctx)
	t.logger.Warn("an import that nobody went on with is given up; its pending tasks stay held back until the same import is run again and verified, or the dispatcher is restarted",
		"idle", transferIdle, "err", err)
}

func (t *transfers) forget(id string, x *importing) {
	x.idle.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.imports, id)
}

// lookup returns tasks of the target, so that a copy can name what differs.
func (x *importing) lookup(ctx context.Context, ids []string) (*pageOf, error) {
	p := &pageOf{room: maxRoom}
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

// close gives up whatever is under way.
func (t *transfers) close(ctx context.Context) {
	t.mu.Lock()
	exports, imports := t.exports, t.imports
	t.exports, t.imports = map[string]*export{}, map[string]*importing{}
	t.mu.Unlock()
	for _, x := range exports {
		x.idle.Stop()
		_ = x.snap.Close() // the store is closed next
	}
	for _, x := range imports {
		x.idle.Stop()
		_ = x.w.Abort(ctx) // likewise
	}
}
