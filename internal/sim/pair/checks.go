package pair

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkLeases requires that no two dispatchers that run hold a lease.
func (w *world) checkLeases() {
	held := int64(0)
	for _, x := range w.processes {
		if x.lease == nil || w.now < x.suspended || !x.lease.Held() {
			continue
		}
		if held != 0 {
			w.violate("one-lease", "the leases of the terms %d and %d are held", held, x.lease.Term())
		}
		held = x.lease.Term()
	}
}

// checkCommit requires that what is written is of the term of the row.
func (w *world) checkCommit(x *process, term int64, b *model.Batch) {
	if term != w.row.Term {
		w.violate("one-writer", "%s writes %d tasks in term %d, and the row has term %d", x.name, len(b.Tasks), term, w.row.Term)
	}
}

// checkAnswer requires that nothing but refusals leaves a dispatcher after another one has
// taken over.
func (w *world) checkAnswer(x *process, term int64, answers []engine.Answer) {
	for _, a := range answers {
		switch {
		case a.Err != nil && a.Err.Code == model.CodeUnavailable:
			w.counts.Refused++
		case term < w.row.Term:
			w.violate("deposed-leader-silent", "%s answers in term %d, and the row has term %d", x.name, term, w.row.Term)
		}
	}
}

// checkBegin requires that a task begins once: the workers are sound, so a takeover has no
// reason to begin it again.
func (w *world) checkBegin(k *worker, ref model.TaskRef) {
	for _, name := range []string{"w0", "w1", "w2"} {
		if attempt := w.workers[name].begun[ref.ID]; attempt != 0 {
			w.violate("begun-once", "%s begins %s#%d, and %s began it as attempt %d", k.name, ref.ID, ref.Attempt, name, attempt)
		}
	}
	k.begun[ref.ID] = ref.Attempt
	w.trace("%s: begins %s#%d", k.name, ref.ID, ref.Attempt)
}

// settle ends the faults; then everything must end.
func (w *world) settle() {
	w.trace("the faults are over")
	w.slowDisk, w.slowNet = false, false
	for _, x := range w.processes {
		x.slowRow, x.cutRow, x.slowTake = false, false, false
	}
	w.checkEnd()
}

// checkEnd ends the run when every task has completed and is acknowledged.
func (w *world) checkEnd() {
	counts, err := w.store.Counts(context.Background())
	switch {
	case err != nil:
		w.violate("store-agrees", "%v", err)
	case w.open == 0 && counts[model.StatusCompleted] == tasks:
		w.over = true
	case w.now > faultPhase+patience:
		w.violate("everything-ends", "%d submits are not acknowledged; the store has %v", w.open, counts)
	default:
		w.planIn(1000, w.checkEnd)
	}
	if w.open == 0 && counts.Total() < tasks {
		w.violate("nothing-lost", "%d tasks were acknowledged, the store has %v", tasks, counts)
	}
}
