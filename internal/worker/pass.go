package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// pass is one comparison of what the engine should have with what it has. It runs
// beside the loop and changes nothing of the loop's: it is given copies, and tells
// what it found.
type pass struct {
	want    []wanted
	release []*held // of these the engine must let go

	free     map[*area]int64 // bytes, -1 if it cannot be told
	states   map[string]download.State
	err      error // of Poll: then nothing is known
	brought  map[*held]error
	released map[*held]error
}

// wanted is what the engine should have of one task.
type wanted struct {
	held    *held // to find it again; not touched beside the loop
	task    *model.Task
	area    *area
	version int
	anew    bool // what the engine has under this id is of another version
}

// startPass begins a pass over everything that is held.
func (w *Worker) startPass(now time.Time) {
	p := &pass{free: make(map[*area]int64), brought: make(map[*held]error), released: make(map[*held]error)}
	for _, h := range w.tasks {
		switch {
		case h.inEngine():
			p.want = append(p.want, wanted{h, h.Task, h.area, h.wanted, h.wanted != h.given})
		case h.moving:
		case h.drop != nil, h.Phase == phaseMoving && !h.released, h.Phase == phaseAccepted && !h.paused:
			p.release = append(p.release, h)
		}
	}
	w.passing, w.lastPass = true, now
	w.nextPass = now.Add(pollInterval)
	if len(w.tasks) == 0 {
		w.nextPass = now.Add(idlePoll)
	}
	ids := make(map[*held]string, len(p.release))
	for _, h := range p.release {
		ids[h] = h.id()
	}
	engine, measure := w.engine, w.free
	if w.cfg.DiskFloor > 0 {
		for _, a := range w.distinctAreas() {
			p.free[a] = -1
		}
	}
	w.beside(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, passTimeout)
		defer cancel()
		for a := range p.free {
			p.free[a] = measure(ctx, a.path)
		}
		p.run(ctx, engine, ids)
		return func() { w.endPass(p) }
	})
}

func (p *pass) run(ctx context.Context, engine download.Engine, release map[*held]string) {
	known := make(map[string]bool, len(p.want)+len(release))
	removing, cancel := context.WithTimeout(ctx, removesTimeout)
	defer cancel()
	for h, id := range release {
		known[id] = true
		p.released[h] = remove(removing, engine, id)
	}
	if p.states, p.err = engine.Poll(ctx); p.err != nil {
		return
	}
	for id, state := range p.states {
		p.states[id] = state.Clamped()
	}
	for _, want := range p.want {
		known[want.task.ID] = true
	}
	for id := range p.states {
		if !known[id] {
			_ = remove(removing, engine, id) // if it fails, the next pass finds it again
		}
	}
	for _, want := range p.want {
		if _, ok := p.states[want.task.ID]; ok && !want.anew {
			p.brought[want.held] = nil
			continue
		}
		delete(p.states, want.task.ID)
		p.brought[want.held] = bring(ctx, removing, engine, want)
	}
}

// remove has the engine let go of a task. One that does not stop must not hold up the
// others: the engine keeps stopping it, and the next pass asks again.
func remove(ctx context.Context, engine download.Engine, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	return engine.Remove(ctx, id)
}

// bring has the engine begin.
func bring(ctx, removing context.Context, engine download.Engine, want wanted) error {
	if err := ctx.Err(); err != nil {
		return err // the calls before took all the time; the next pass goes on
	}
	if want.anew {
		if err := remove(removing, engine, want.task.ID); err != nil {
			return err
		}
	}
	dir, err := want.area.jobDir(want.task.ID)
	if err != nil {
		return err
	}
	return engine.Add(ctx, download.Job{Task: want.task, Dir: dir})
}

// endPass draws the conclusions.
func (w *Worker) endPass(p *pass) {
	now := time.Now()
	w.passing = false
	switch {
	case w.side.Err() != nil:
		return // the calls were cut off: nothing is known
	case p.err != nil:
		w.complain(&w.engineLog, "the engine does not answer", "error", p.err)
	default:
		w.lastPoll = now
	}
	w.watchFloor(p.free)
	if state, _ := w.state(now); state != w.lastState {
		w.beatSoon() // the dispatcher gives tasks, or gives none, from now on
	}
	var complete []*held
	var speed, gained int64
	for _, want := range p.want {
		h := want.held
		if w.tasks[want.task.ID] != h {
			continue
		}
		err := p.err
		if err == nil {
			if err = p.brought[h]; err == nil {
				h.given = want.version
			}
		}
		if !h.inEngine() || h.wanted != want.version {
			w.passSoon()
			continue
		}
		if err != nil {
			w.trouble(h, err, now, p.err != nil)
			continue
		}
		h.trouble = time.Time{}
		if state, ok := p.states[h.id()]; ok {
			if h.measured {
				gained = model.AddLengths(gained, state.Completed-h.report.CompletedLength)
			}
			h.measured = true
			speed = model.AddLengths(speed, state.Speed)
			if w.observe(h, &state) {
				complete = append(complete, h)
			}
		}
	}
	w.stats.progress(now, speed, gained)
	w.keepPlaces(complete)
	for h, err := range p.released {
		w.letGo(h, err)
	}
}

// letGo goes on with a task that the engine has let go of.
func (w *Worker) letGo(h *held, err error) {
	switch {
	case w.tasks[h.id()] != h:
	case err != nil:
		w.complain(&w.engineLog, "the engine does not let go of a task", "task", h.id(), "attempt", h.Attempt, "error", err)
	case h.drop != nil:
		w.stopped(h)
	case h.Phase == phaseAccepted:
		h.pause()
	default:
		h.released = true
	}
}

// observe takes in how one download is. It returns true if that is complete, with
// the place of its files decided.
func (w *Worker) observe(h *held, s *download.State) (complete bool) {
	h.report.GID = s.GID // a short download is over before it was ever seen active
	h.report.Error = s.Before
	switch s.Phase {
	case download.Complete:
		place, err := newPlacement(h.Task, s.Files)
		if err != nil {
			w.failed(h, taskError(download.CodeUnknown, model.ClassPermanent, err.Error()))
			return false
		}
		h.Place = place
		return true
	case download.Failed:
		why := s.Err
		if why == nil {
			why = taskError(download.CodeUnknown, model.ClassRetryable, "the engine gave up without a reason")
		}
		if why.Code == download.CodeDuplicateTorrent { // such as by a URL of a torrent: its hash was not known before
			w.finish(h, duplicateRejection(why.Code, why.Message))
			return false
		}
		w.failed(h, why)
	default:
		h.paused = false
		h.report = model.Report{
			ID: h.id(), Attempt: h.Attempt, Status: model.ReportDownloading, GID: s.GID, Error: s.Before,
			CompletedLength: s.Completed, TotalLength: s.Total, DownloadSpeed: s.Speed,
		}
		if s.Total > 0 {
			h.report.Progress = model.KnownPercent(100 * float64(s.Completed) / float64(s.Total))
		}
	}
	return false
}

// trouble notes that the engine cannot be brought to have a task. After a while the
// task goes to another worker: it fails if it alone is not taken, and is given back
// without blame if the engine answers for none.
func (w *Worker) trouble(h *held, err error, now time.Time, engineDown bool) {
	if h.trouble.IsZero() {
		h.trouble = now
		w.log.Warn("the engine does not take a task", "task", h.id(), "attempt", h.Attempt, "error", err)
	}
	if now.Sub(h.trouble) < enginePatience {
		return
	}
	if engineDown {
		w.finish(h, rejection(model.ReportRejected, download.CodeUnknown, model.ClassWorker, "the engine does not answer: %v", err))
		return
	}
	w.failed(h, taskError(download.CodeUnknown, model.ClassWorker, fmt.Sprintf("the engine does not take it: %v", err)))
}

// keepPlaces puts complete downloads into the journal as moving: they are moved as
// soon as the engine has let go of them. One that cannot be kept is complete again
// at the next pass; moved all the same, it would be found in its own way after a
// crash.
func (w *Worker) keepPlaces(complete []*held) {
	if len(complete) == 0 {
		return
	}
	entries := make([]*entry, len(complete))
	for i, h := range complete {
		h.Phase = phaseMoving
		entries[i] = &h.entry
	}
	for i, err := range w.journal.put(entries...) {
		h := complete[i]
		if err != nil {
			h.Phase, h.Place = phaseAccepted, nil
			w.complain(&w.diskLog, "a finished download cannot be moved yet", "task", h.id(), "attempt", h.Attempt, "error", err)
			continue
		}
		_, total := h.Place.results()
		h.report.Progress, h.report.CompletedLength, h.report.TotalLength, h.report.DownloadSpeed = 100, total, total, 0
		h.released = false
	}
	w.passSoon()
}

// startMoves moves what the engine has let go of, a few at once.
func (w *Worker) startMoves() {
	for _, h := range w.tasks {
		if w.moves >= maxMoves {
			return
		}
		if h.Phase != phaseMoving || !h.released || h.moving || h.drop != nil {
			continue
		}
		h.moving = true
		w.moves++
		id, area, place := h.id(), h.area, h.Place
		w.beside(func(context.Context) func() {
			err := area.place(id, place)
			return func() { w.moved(h, err) }
		})
	}
}

// moved ends a download, or begins it again if its bytes are gone.
func (w *Worker) moved(h *held, err error) {
	h.moving = false
	w.moves--
	var no *refusal
	switch {
	case errors.Is(err, errLost):
		w.log.Warn("finished files are gone; the task begins again", "task", h.id(), "attempt", h.Attempt)
		h.Phase, h.Place, h.released = phaseAccepted, nil, false
		h.wanted++
		w.keep(h)
	case errors.As(err, &no):
		w.failed(h, taskError(no.code, no.class, no.message))
	case err != nil:
		w.failed(h, taskError(download.CodeFileIO, model.ClassWorker, err.Error()))
	default:
		files, total := h.Place.results()
		w.finish(h, &model.Report{
			Status: model.ReportCompleted, GID: h.report.GID, Error: h.report.Error,
			Progress: 100, CompletedLength: total, TotalLength: total,
			Result: &model.Result{Files: boundFiles(files), TotalLength: total, WorkerID: w.cfg.Name},
		})
	}
	w.passSoon()
}

// failed ends an attempt. The bytes stay, for the next one.
func (w *Worker) failed(h *held, why *model.TaskError) {
	last := h.report
	last.Status, last.Error, last.DownloadSpeed = model.ReportFailed, taskError(why.Code, why.Class, why.Message), 0
	last.Error.HTTPStatus, last.Error.Host = why.HTTPStatus, why.Host
	w.finish(h, &last)
}

// finish keeps the last report; from now on it is said until it is answered.
func (w *Worker) finish(h *held, last *model.Report) {
	h.end(last)
	w.keep(h)
	if last.Status != model.ReportRejected {
		w.stats.finished(last.Status == model.ReportCompleted)
	}
	w.logEnd(h, last)
	w.passSoon()
}

// keep puts how a task is into the journal. If that fails, it is said all the same:
// after a crash the journal's earlier word leads to the same end.
func (w *Worker) keep(h *held) {
	if err := w.journal.put(&h.entry)[0]; err != nil {
		w.log.Error("the journal cannot be written", "task", h.id(), "attempt", h.Attempt, "error", err)
	}
}
