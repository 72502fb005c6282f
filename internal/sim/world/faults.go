package world

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// planFaults sets the moments at which something happens, one to three for each
// kind that the seed has. Each kind has its own numbers: the others stay the same if one
// is disabled, which is how a run is shortened.
func (w *world) planFaults() {
	for _, f := range w.plan.faults {
		own := stream(w.options.Seed, 100+uint64(slices.Index(Faults, f)))
		for range 1 + own.IntN(3) {
			w.planIn(between(own, 5_000, int(w.plan.faultPhase)-1), func() {
				if w.hasFaults() {
					w.inject(f)
				}
			})
		}
	}
}

// inject injects one fault, if it can occur now.
func (w *world) inject(f Fault) {
	d := w.primary
	next := &d.store.next
	switch f {
	case Outage, ShortOutage:
		w.cutNATS(f)
	case Crash:
		d.crash(f)
		d.startLater(between(w.faultRand, 10, pick(w.faultRand, 1000, 120_000)))
	case CrashBeforeCommit:
		next.crashBefore = true
	case CrashAfterCommit:
		next.crashAfter = true
	case CrashInAnswers:
		d.crashInAnswers = true
	case Stall:
		w.stall(d)
	case ClockForward:
		w.turnClock(f, between(w.faultRand, 1000, pick(w.faultRand, 10_000, 7_200_000)))
	case ClockBack:
		w.turnClock(f, -between(w.faultRand, 1000, pick(w.faultRand, 10_000, 7_200_000)))
	case CommitFails:
		next.commitFails = true
	case CommitAmbiguous:
		next.commitAmbiguous = true
	case ReadFails:
		next.readFails = true
	case LoadFails:
		next.loadFails = true
		next.commitAmbiguous = true // so that there is a load
	case ReadsDown:
		w.forWhile(f, between(w.faultRand, 5_000, 120_000), func(on bool) { d.store.readsFail = on })
	case StoreDown:
		w.forWhile(f, between(w.faultRand, 200, 60_000), func(on bool) { d.store.isDown = on })
	case SlowDisk:
		w.forWhile(f, between(w.faultRand, 5_000, 60_000), func(on bool) {
			if d.store.slow = 0; on {
				d.store.slow = between(w.faultRand, 50, 3_000)
			}
		})
	case Restore:
		w.restore()
	case ImportCommitFails:
		w.importFails++
		w.injectImportFault()
	case ReloadInImport:
		w.reloadInImport++
		w.injectImportFault()
	case PoisonEvent:
		w.sendPoison()
	case RetryAfter, RetryAfterAtBound, RetryAfterAbsurd:
		w.makeHostBusy(f)
	case SecondDispatch:
		w.startSecond()
	default:
		if k := w.workers[w.faultRand.IntN(len(w.workers))]; !k.isTwin {
			w.injectWorkerFault(f, k)
		}
	}
}

// forWhile sets something for a while, at most until the end of the fault phase.
func (w *world) forWhile(f Fault, d model.Time, set func(on bool)) {
	w.trace("%s, for %d ms", f, d)
	set(true)
	w.planAt(min(w.now+d, w.plan.faultPhase), func() {
		w.trace("over: %s", f)
		set(false)
	})
}

// cutNATS takes the network down. The dispatcher notices after a few seconds.
func (w *world) cutNATS(f Fault) {
	if w.outage {
		return
	}
	d := between(w.faultRand, 100, 5_000)
	if f == Outage {
		d = 8_000 + model.Time(w.plan.engine.HeartbeatTimeout.Std().Milliseconds())*model.Time(1+w.faultRand.IntN(3))
	}
	w.countFault(f)
	w.forWhile(f, d, func(down bool) {
		w.outage = down
		w.planIn(between(w.faultRand, 0, 6_000), func() {
			for _, d := range []*dispatcher{w.primary, w.secondary} {
				if d != nil && w.outage == down {
					d.connected = !down
				}
			}
		})
	})
}

// stall stops the dispatcher's process; messages to it wait.
func (w *world) stall(d *dispatcher) {
	if d.stepper == nil {
		return
	}
	for_ := between(w.faultRand, 1_000, pick(w.faultRand, 10_000, 200_000))
	w.trace("%s: %s for %d ms", d.name, Stall, for_)
	w.countFault(Stall)
	d.busyUntil = w.now + for_
}

func (w *world) turnClock(f Fault, by model.Time) {
	if w.wallOffset+by < -epoch/2 {
		return
	}
	w.trace("%s by %d ms", f, by)
	w.countFault(f)
	w.wallOffset += by
	for _, d := range []*dispatcher{w.primary, w.secondary} {
		if d != nil {
			d.oracle.ClockTurned(by)
		}
	}
}

// restore takes a backup, and later crashes the dispatcher and puts the backup in
// the place of its store.
func (w *world) restore() {
	if w.backup != nil {
		return
	}
	b, err := w.primary.store.backUp()
	if err != nil {
		w.violate("store-agrees", "a backup: %v", err)
		return
	}
	w.trace("a backup is taken: %d tasks", len(b.tasks))
	w.backup = b
	w.planIn(between(w.faultRand, 5_000, 90_000), func() {
		if !w.hasFaults() {
			return
		}
		d := w.primary
		if d.stepper != nil {
			d.crash(Crash)
		}
		w.trace("%s: the backup of %d ms ago is put back", d.name, w.now-b.at)
		if err := d.store.restore(b); err != nil {
			w.violate("store-agrees", "a restore: %v", err)
			return
		}
		w.countFault(Restore)
		w.backup = nil
		d.startLater(between(w.faultRand, 100, 5_000))
	})
}

// startSecond starts another dispatcher with a store of its own on the prefix. It
// looks for others at intervals, and stops when it finds one, before it may call a task
// unknown.
func (w *world) startSecond() {
	if w.secondary != nil {
		return
	}
	d := newDispatcher(w, "d2")
	w.secondary = d
	w.countFault(SecondDispatch)
	d.start()
	lives := min(between(w.faultRand, 1_000, 30_000), model.Time(w.plan.engine.HeartbeatTimeout.Std().Milliseconds())-1)
	w.planIn(lives, func() {
		w.trace("%s: finds the other one and stops", d.name)
		if d.stepper != nil {
			d.stop()
		}
		w.secondary = nil
		if err := d.store.close(); err != nil {
			w.violate("store-closes", "%v", err)
		}
	})
}

// injectWorkerFault injects a fault of one worker. Some faults count themselves when they
// have an effect; then nothing is counted here.
func (w *world) injectWorkerFault(f Fault, k *worker) {
	long := between(w.faultRand, 1_000, pick(w.faultRand, 5_000, 60_000, 200_000))
	if f == PartialLists {
		k = w.busiest()
	}
	var counts bool
	switch f {
	case WorkerCrash, WorkerWiped, WorkerLeaves, WorkerFrozen:
		counts = w.stopWorker(f, k, long)
	default:
		counts = w.alterWorker(f, k, long)
	}
	if counts {
		w.trace("%s: %s", k.name, f)
		w.countFault(f)
	}
}

// stopWorker crashes, deregisters or freezes a worker, if it runs.
func (w *world) stopWorker(f Fault, k *worker, long model.Time) (counts bool) {
	if !k.isUp || f == WorkerLeaves && w.now < k.frozen {
		return false
	}
	switch f {
	case WorkerCrash, WorkerWiped:
		if chance(w.faultRand, 2) {
			k.sendLateHeartbeat(min(long, w.plan.faultPhase-w.now) + between(w.faultRand, 300, 6000))
		}
		k.crash()
		if f == WorkerWiped {
			k.eraseDisk()
		}
		w.planIn(min(long, w.plan.faultPhase-w.now), k.start)
	case WorkerLeaves:
		w.trace("%s: leaves", k.name)
		k.leave()
		w.planIn(long+requestTimeout, k.start)
		return false // counted when it is answered
	case WorkerFrozen:
		k.freeze(min(long, w.plan.faultPhase-w.now))
	}
	return true
}

// alterWorker changes how a worker behaves for a while.
func (w *world) alterWorker(f Fault, k *worker, long model.Time) (counts bool) {
	r := w.faultRand
	counts = true
	switch f {
	case WorkerCutOff:
		w.forWhile(f, long, func(on bool) { k.cutOff = cutOff{on, on} })
	case WorkerUnheard:
		w.forWhile(f, long, func(on bool) { k.cutOff.out = on })
	case WorkerDeafened:
		w.forWhile(f, long, func(on bool) { k.cutOff.in = on })
	case WorkerTwin:
		w.startTwin(k, long)
	case WorkerIgnores:
		w.forWhile(f, long, func(on bool) { k.ignoresAssignments = on })
	case WorkerGreedy:
		w.forWhile(f, long, func(on bool) { k.listsOthers = on })
		counts = false // counted by its false reports
	case Unreadable:
		w.forWhile(f, long, func(on bool) { k.hasUnreadable = on })
		counts = false // counted by its entries
	case WorkerSick:
		w.forWhile(f, long, func(on bool) {
			k.state, k.isExhausted = model.StateReady, on && chance(r, 3)
			if on && !k.isExhausted {
				k.state = []model.WorkerState{model.StateError, model.StateDraining}[r.IntN(2)]
			}
		})
	case WorkerShrinks:
		k.slots = r.IntN(5)
		if chance(r, 2) {
			k.caps.Tags = map[string]string{"location": []string{"eu", "us"}[r.IntN(2)]}
		}
		w.planAt(w.plan.faultPhase, func() { k.slots = max(k.slots, 1) })
	case WorkerFull:
		w.forWhile(f, long, func(on bool) { k.refusesAll = on })
		counts = false // counted by its refusals
	case WorkerBroken:
		w.forWhile(f, long+100_000, func(on bool) { k.isBroken = on }) // until other workers have completed its tasks
		counts = false                                                 // counted by its failures
	case PartialLists:
		w.forWhile(f, 60_000, func(on bool) {
			if k.listedAtOnce, k.cursor = 0, ""; on {
				k.listedAtOnce = 1
			}
		})
	}
	return counts
}

// busiest is the worker that holds most.
func (w *world) busiest() *worker {
	best := w.workers[0]
	for _, k := range w.workers {
		if k.isUp && len(k.tasks) > len(best.tasks) {
			best = k
		}
	}
	return best
}

// startTwin starts a second worker with the same name for a while.
func (w *world) startTwin(k *worker, d model.Time) {
	t := w.addWorker(k.name)
	t.isTwin = true
	w.planAt(max(min(w.now+d, w.plan.faultPhase), w.now+3001), func() {
		w.trace("%s: the second worker of that name ends", t.name)
		t.crash()
	})
}
