package pair

import "github.com/aria-cluster/dispatcher/pkg/model"

// loss is where a statement at the row is lost.
type loss int

const (
	notLost loss = iota
	lostThere
	lostBack
)

// rowDelays draws how long a statement at the row takes, there and back.
func (x *process) rowDelays() (there, back model.Time, lost loss) {
	r := x.world.rowRand
	there, back = between(r, 1, 5), between(r, 1, 5)
	if x.cutRow {
		return there, back, lostThere
	}
	if !x.slowRow {
		return there, back, notLost
	}
	if chance(r, 2) {
		there = between(r, 1, 2900)
	}
	if chance(r, 2) {
		back = between(r, 1, 2900)
	}
	if chance(r, 4) {
		lost = loss(1 + r.IntN(2))
	}
	return there, back, lost
}

// commitDelay draws how long a commit waits, before it is executed or after.
func (w *world) commitDelay() model.Time {
	switch {
	case w.slowDisk && chance(w.rowRand, 3):
		return between(w.rowRand, 100, 6_000)
	case chance(w.rowRand, 4):
		return between(w.rowRand, 1, 20)
	}
	return 0
}

// planFaults plans what happens to the dispatchers and the database.
func (w *world) planFaults() {
	for range 16 {
		w.planAt(between(w.faultRand, 5_000, int(faultPhase)), w.inject)
	}
}

func (w *world) inject() {
	r := w.faultRand
	x := w.processes[r.IntN(len(w.processes))]
	for _, other := range w.processes { // mostly the leader
		if other.lease != nil && !chance(r, 4) {
			x = other
		}
	}
	if chance(r, 2) {
		w.forWhile("commands are slow", &w.slowNet, between(r, 2_000, 20_000))
	}
	switch r.IntN(10) {
	case 0, 1:
		x.end(between(r, 100, 20_000))
	case 2:
		x.inCommit = between(r, 500, 30_000)
	case 3:
		x.suspend(between(r, 500, 30_000))
	case 4:
		x.slowTake = true
	case 5:
		w.forWhile(x.name+"'s way to the row is cut", &x.cutRow, between(r, 500, 20_000))
	case 6:
		w.forWhile(x.name+"'s way to the row is slow", &x.slowRow, between(r, 2_000, 20_000))
	case 7:
		w.forWhile("commits are slow", &w.slowDisk, between(r, 2_000, 20_000))
	default:
		x.resign()
	}
}

// suspend stops a process, which continues later (SIGSTOP, SIGCONT).
func (x *process) suspend(d model.Time) {
	if x.lease != nil {
		x.world.counts.Suspended++
	}
	x.world.trace("%s: is suspended for %d ms", x.name, d)
	x.suspended = max(x.suspended, x.world.now+d)
}

func (w *world) forWhile(what string, is *bool, d model.Time) {
	w.trace("%s for %d ms", what, d)
	*is = true
	w.planIn(d, func() { *is = false }) // an earlier one of that kind ends too
}
