package world

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// importer moves the tasks of another store into the dispatcher, as migrate does:
// it begins, puts some records at a time, and finishes; or it aborts or disappears. In
// the end it moves all of them.
type importer struct {
	w    *world
	rows []repo.Record
	runs int

	// Of the import under way.
	writer repo.Writer // nil without an import
	life   int         // of the process in which it began
	next   int         // of rows
	want   repo.Digest // of what was put and not kept
	live   map[string]struct{}
	done   bool // all is imported and verified
	tries  int
}

// ending is the end of an import without faults.
type ending int

const (
	endFinish ending = iota
	endAbort
	endLeave // the client disappears; the bus aborts the import
)

const importBatch = 4

// addImporter draws another store and the moments at which it is imported.
func (w *world) addImporter(n int) {
	r := w.importRand
	i := &importer{w: w}
	for j := range 2 + r.IntN(8) {
		i.rows = append(i.rows, i.record(n, j))
	}
	w.importers = append(w.importers, i)
	for range 1 + r.IntN(3) {
		how := ending(r.IntN(3))
		w.planIn(between(r, 2_000, int(w.plan.faultPhase)-1), func() { i.begin(how) })
	}
}

// record draws one task of the other store.
func (i *importer) record(n, j int) repo.Record {
	r := i.w.importRand
	t := &model.Task{
		TaskSpec: model.TaskSpec{
			ID: fmt.Sprintf("m%d-%d", n, j), URL: fmt.Sprintf("https://h%d.example/m%d.bin", r.IntN(3), j), Priority: model.Priority(1 + r.IntN(4)),
			MaxAttempts: i.w.plan.engine.MaxAttempts,
		},
		Client: fmt.Sprintf("mover%d", n), Seq: int64(j + 1), CreatedAt: epoch - 1000,
		TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: epoch - 1000},
	}
	t.SpecHash = t.TaskSpec.Hash()
	switch r.IntN(6) {
	case 0:
		t.Status = model.StatusPaused
	case 1:
		t.Status, t.FinishedAt = model.StatusFailed, epoch-1000
		t.Error = &model.TaskError{Code: 1, Message: "there", Class: model.ClassPermanent}
	}
	return repo.Record{Task: t}
}

// begin begins an import, and aborts the one before it, as the bus does.
func (i *importer) begin(how ending) {
	if i.w.finished || i.w.settlingSince > 0 && i.done {
		return
	}
	if i.w.importing != nil && i.w.importing != i {
		i.later(func() { i.begin(how) }) // one at a time
		return
	}
	i.w.importing = i
	if i.writer != nil {
		i.abort()
	}
	if i.writer != nil { // it could not
		i.later(func() { i.begin(how) })
		return
	}
	i.next, i.want, i.live, i.done = 0, repo.Digest{}, make(map[string]struct{}), false
	i.runs++
	run := i.runs
	err := i.call(nil, nil, func(ctx context.Context, d *dispatch.Dispatcher) (func(), error) {
		w, err := d.Begin(ctx, repo.CopyOptions{OnConflict: repo.Skip})
		return func() { i.writer = w }, err
	})
	if err != nil {
		i.again(how)
		return
	}
	i.life = i.w.primary.generation
	i.w.primary.oracle.ImportBegan()
	i.w.stats.Events["import begins"]++
	i.w.planIn(between(i.w.importRand, 10, 3_000), func() { i.put(run, how) })
}

// later tries a step once more after a while.
func (i *importer) later(step func()) { i.w.planIn(between(i.w.importRand, 500, 5_000), step) }

// again begins once more after an error: in the fault phase a few times, later until it
// succeeds.
func (i *importer) again(how ending) {
	if i.tries++; i.w.hasFaults() && i.tries > 20 {
		i.leave()
		return
	}
	i.later(func() { i.begin(how) })
}

func (i *importer) leave() {
	if i.w.importing == i {
		i.w.importing = nil
	}
}

// call asks the dispatcher for something between two turns. do returns what is to be
// taken over if the process has survived it.
func (i *importer) call(ids []string, releases map[string]struct{}, do func(context.Context, *dispatch.Dispatcher) (func(), error)) error {
	d := i.w.primary
	if d.stepper == nil || i.w.outage || i.w.now < d.busyUntil || i.writer != nil && i.life != d.generation {
		return model.Errorf(model.CodeUnavailable, "no responders")
	}
	type result struct {
		take func()
		err  error
	}
	results := make(chan result, 1)
	d.oracle.BeginImportTurn(ids, releases)
	survived := d.run(func() {
		d.stepper.Call(d.store.ctx, func(ctx context.Context, dd *dispatch.Dispatcher) {
			take, err := do(ctx, dd)
			results <- result{take, err}
		})
	})
	var r result
	if survived {
		r = <-results
		if r.err == nil {
			r.take()
		}
		if d.oracle.TriedCommit() || releases != nil && r.err == nil {
			d.oracle.ImportDecided()
		}
		if releases != nil && r.err == nil {
			d.oracle.ImportReleased()
		}
	}
	d.oracle.ApplyImported()
	d.oracle.EndTurn(survived)
	if !survived {
		return model.Errorf(model.CodeUnavailable, "the connection broke")
	}
	if d.stepper != nil {
		d.sendOutputs()
	}
	if d.stepper != nil {
		d.planStep(1)
	}
	return r.err
}

// put puts the next records.
func (i *importer) put(run int, how ending) {
	switch {
	case run != i.runs:
		return
	case i.w.settlingSince > 0:
		how = endFinish
	}
	if i.next == len(i.rows) || how == endLeave && i.next > 0 && chance(i.w.importRand, 2) {
		i.end(run, how)
		return
	}
	batch := i.rows[i.next:min(i.next+importBatch, len(i.rows))]
	ids := make([]string, len(batch))
	for j := range batch {
		ids[j] = batch[j].ID()
	}
	i.fault(i.w.faultRand.IntN(2) == 0)
	w := i.writer
	err := i.call(ids, nil, func(ctx context.Context, _ *dispatch.Dispatcher) (func(), error) {
		done, err := w.Put(ctx, batch)
		return func() { i.countPut(batch, &done) }, err
	})
	if err != nil {
		i.abort()
		i.again(how)
		return
	}
	i.w.stats.Events["import puts"]++
	i.next += len(batch)
	i.reloads()
	i.act(ids)
	i.w.planIn(between(i.w.importRand, 10, 6_000), func() { i.put(run, how) })
}

// countPut counts the records that were put.
func (i *importer) countPut(batch []repo.Record, done *repo.PutStats) {
	var all repo.Digest
	for j := range batch {
		if err := all.Add(&batch[j]); err != nil {
			i.w.violate("imports", "%v", err)
		}
		if t := batch[j].Task; !t.Status.Terminal() {
			i.live[t.ID] = struct{}{}
		}
	}
	i.want = i.want.Plus(all.Minus(done.Excluded))
}

// act lets an operator change a task that is held back.
func (i *importer) act(ids []string) {
	r := i.w.importRand
	if !i.w.hasFaults() || !chance(r, 2) {
		return
	}
	id := ids[r.IntN(len(ids))]
	ops := [][]engine.Event{
		{engine.Pause{ID: id}}, {engine.Pause{ID: id}, engine.Resume{ID: id}}, {engine.Cancel{ID: id}},
		{engine.Cancel{ID: id}, engine.Retry{ID: id}}, {engine.Resume{ID: id}},
	}[r.IntN(5)]
	for _, op := range ops {
		i.w.clients[0].requestUntilAnswered(op, 2)
	}
}

// end ends the import as planned.
func (i *importer) end(run int, how ending) {
	switch how {
	case endAbort:
		i.abort()
		i.w.stats.Events["import is aborted"]++
		i.leave()
	case endLeave:
		i.w.trace("the client of the import of %s disappears", i.rows[0].Task.Client)
		i.w.planIn(between(i.w.importRand, 5_000, 60_000), func() {
			if run == i.runs && i.writer != nil {
				i.abort()
				i.w.stats.Events["import is given up"]++
				i.leave()
			}
		})
	default:
		i.finish(run, 0)
	}
}

// finish finishes the import, and once more if that fails; then it begins again.
func (i *importer) finish(run, try int) {
	if run != i.runs {
		return
	}
	i.fault(true)
	var got repo.Digest
	w, want := i.writer, i.want
	err := i.call(nil, maps.Clone(i.live), func(ctx context.Context, _ *dispatch.Dispatcher) (func(), error) {
		sum, err := w.Finish(ctx, want)
		return func() { got = sum }, err
	})
	switch {
	case err == nil && got.Equal(i.want):
		i.writer, i.done = nil, true
		i.w.trace("the import of %s is finished", i.rows[0].Task.Client)
		i.w.stats.Events["import is finished"]++
		i.leave()
	case err == nil:
		i.w.violate("imports", "the digest of an import is %v, not %v", got, i.want)
	case try < 2 && i.life == i.w.primary.generation:
		i.later(func() { i.finish(run, try+1) })
	default:
		i.abort()
		i.again(endFinish)
	}
}

// abort aborts the import, if its process still runs.
func (i *importer) abort() {
	if i.writer == nil {
		return
	}
	d := i.w.primary
	if i.life != d.generation || d.stepper == nil {
		i.writer = nil
		return
	}
	w := i.writer
	err := i.call(nil, nil, func(ctx context.Context, _ *dispatch.Dispatcher) (func(), error) {
		return func() {}, w.Abort(ctx)
	})
	if err == nil {
		i.writer = nil
		d.oracle.ImportAborted()
		i.w.trace("the import of %s is aborted", i.rows[0].Task.Client)
	}
}

// fault lets the next commit fail, which is the import's.
func (i *importer) fault(now bool) {
	d := i.w.primary
	if now && i.w.hasFaults() && i.w.importFails > 0 {
		i.w.importFails--
		d.store.next.commitFails = true
		if chance(i.w.faultRand, 2) {
			d.store.next.commitFails, d.store.next.commitAmbiguous = false, true
		}
	}
}

// reloads lets the next commit fail, which is usually not the import's, so that the
// engine is loaded again while the import is under way.
func (i *importer) reloads() {
	if i.w.hasFaults() && i.w.reloadInImport > 0 {
		i.w.reloadInImport--
		i.w.primary.store.next.commitFails = true
	}
}

// injectImportFault begins an import now, for a fault that needs one.
func (w *world) injectImportFault() {
	if len(w.importers) == 0 {
		w.addImporter(0)
	}
	w.importers[w.faultRand.IntN(len(w.importers))].begin(ending(w.faultRand.IntN(2)))
}

// finishImports imports everything in the settling phase.
func (w *world) finishImports() {
	for _, i := range w.importers {
		i.begin(endFinish)
	}
}

// unfinishedImport names an import that has not ended.
func (w *world) unfinishedImport() string {
	n := slices.IndexFunc(w.importers, func(i *importer) bool { return !i.done })
	if n < 0 {
		return ""
	}
	return "the import of " + w.importers[n].rows[0].Task.Client + " is not finished"
}
