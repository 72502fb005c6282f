package world

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// planFaults sets the moments at which something happens, one to three for each
// kind that the seed has. Each kind has its own numbers: without one the others come
// when they came, which is how a story is made shorter.
func (w *world) planFaults() {
	for _, f := range w.plan.faults {
		own := stream(w.opts.Seed, 100+uint64(slices.Index(Faults, f)))
		for range 1 + own.IntN(3) {
			w.in(between(own, 5_000, int(w.plan.trouble)-1), func() {
				if w.troubled() {
					w.befall(f)
				}
			})
		}
	}
}

// befall makes one fault happen, if it can now.
func (w *world) befall(f Fault) {
	d := w.main
	next := &d.store.next
	switch f {
	case Outage, ShortOutage:
		w.cutNATS(f)
	case Crash:
		d.crash(f)
		d.startLater(between(w.luck, 10, pick(w.luck, 1000, 120_000)))
	case CrashBeforeCommit:
		next.crashBefore = true
	case CrashAfterCommit:
		next.crashAfter = true
	case CrashInAnswers:
		d.crashInAnswers = true
	case Stall:
		w.stall(d)
	case ClockForward:
		w.turnClock(f, between(w.luck, 1000, pick(w.luck, 10_000, 7_200_000)))
	case ClockBack:
		w.turnClock(f, -between(w.luck, 1000, pick(w.luck, 10_000, 7_200_000)))
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
		w.lasting(f, between(w.luck, 5_000, 120_000), func(on bool) { d.store.deaf = on })
	case StoreDown:
		w.lasting(f, between(w.luck, 200, 60_000), func(on bool) { d.store.down = on })
	case SlowDisk:
		w.lasting(f, between(w.luck, 5_000, 60_000), func(on bool) {
			if d.store.slow = 0; on {
				d.store.slow = between(w.luck, 50, 3_000)
			}
		})
	case Restore:
		w.restore()
	case ImportCommitFails:
		w.importFails++
		w.strikeImport()
	case ReloadInImport:
		w.reloadInImport++
		w.strikeImport()
	case PoisonEvent:
		w.poison()
	case SecondDispatch:
		w.startSecond()
	default:
		if k := w.workers[w.luck.IntN(len(w.workers))]; !k.twin {
			w.strikeWorker(f, k)
		}
	}
}

// lasting lets something be for a while; what lasts past the trouble ends with it.
func (w *world) lasting(f Fault, d model.Time, set func(on bool)) {
	w.say("%s, for %d ms", f, d)
	set(true)
	w.at(min(w.now+d, w.plan.trouble), func() {
		w.say("over: %s", f)
		set(false)
	})
}

// cutNATS takes the network down. The dispatcher notices after a few seconds.
func (w *world) cutNATS(f Fault) {
	if w.outage {
		return
	}
	d := between(w.luck, 100, 5_000)
	if f == Outage {
		d = 8_000 + model.Time(w.plan.engine.HeartbeatTimeout.Std().Milliseconds())*model.Time(1+w.luck.IntN(3))
	}
	w.struck(f)
	w.lasting(f, d, func(down bool) {
		w.outage = down
		w.in(between(w.luck, 0, 6_000), func() {
			for _, d := range []*dispatcher{w.main, w.second} {
				if d != nil && w.outage == down {
					d.connected = !down
				}
			}
		})
	})
}

// stall stops the dispatcher's process; what is said to it meanwhile waits.
func (w *world) stall(d *dispatcher) {
	if d.manual == nil {
		return
	}
	for_ := between(w.luck, 1_000, pick(w.luck, 10_000, 200_000))
	w.say("%s: %s for %d ms", d.name, Stall, for_)
	w.struck(Stall)
	d.busy = w.now + for_
}

func (w *world) turnClock(f Fault, by model.Time) {
	if w.ahead+by < -epoch/2 {
		return
	}
	w.say("%s by %d ms", f, by)
	w.struck(f)
	w.ahead += by
	for _, d := range []*dispatcher{w.main, w.second} {
		if d != nil {
			d.check.ClockTurned(by)
		}
	}
}

// restore takes a backup, and later crashes the dispatcher and puts the backup in
// the place of its store.
func (w *world) restore() {
	if w.backup != nil {
		return
	}
	b, err := w.main.store.save()
	if err != nil {
		w.violate("store-agrees", "a backup: %v", err)
		return
	}
	w.say("a backup is taken: %d tasks", len(b.tasks))
	w.backup = b
	w.in(between(w.luck, 5_000, 90_000), func() {
		if !w.troubled() {
			return
		}
		d := w.main
		if d.manual != nil {
			d.crash(Crash)
		}
		w.say("%s: the backup of %d ms ago is put back", d.name, w.now-b.at)
		if err := d.store.restore(b); err != nil {
			w.violate("store-agrees", "a restore: %v", err)
			return
		}
		w.struck(Restore)
		w.backup = nil
		d.startLater(between(w.luck, 100, 5_000))
	})
}

// startSecond starts another dispatcher with a store of its own on the prefix. It
// looks for others now and then, and stops when it finds one; the check is quicker
// than it may say that a task is unknown.
func (w *world) startSecond() {
	if w.second != nil {
		return
	}
	d := newDispatcher(w, "d2")
	w.second = d
	w.struck(SecondDispatch)
	d.start()
	lives := min(between(w.luck, 1_000, 30_000), model.Time(w.plan.engine.HeartbeatTimeout.Std().Milliseconds())-1)
	w.in(lives, func() {
		w.say("%s: finds the other one and stops", d.name)
		if d.manual != nil {
			d.stop()
		}
		w.second = nil
		if err := d.store.close(); err != nil {
			w.violate("store-closes", "%v", err)
		}
	})
}

// strikeWorker makes something of a worker.
func (w *world) strikeWorker(f Fault, k *worker) {
	r := w.luck
	long := between(r, 1_000, pick(r, 5_000, 60_000, 200_000))
	switch f {
	case WorkerCutOff:
		w.lasting(f, long, func(on bool) { k.cut = cut{on, on} })
	case WorkerUnheard:
		w.lasting(f, long, func(on bool) { k.cut.out = on })
	case WorkerDeafened:
		w.lasting(f, long, func(on bool) { k.cut.in = on })
	case WorkerCrash, WorkerWiped:
		if !k.up {
			return
		}
		if chance(r, 2) {
			k.strayBeat(min(long, w.plan.trouble-w.now) + between(r, 300, 6000))
		}
		k.crash()
		if f == WorkerWiped {
			k.format()
		}
		w.in(min(long, w.plan.trouble-w.now), k.start)
	case WorkerLeaves:
		if !k.up || w.now < k.frozen {
			return
		}
		w.say("%s: leaves", k.name)
		k.leave()
		w.in(long+timeout, k.start)
		return // counted when it is heard
	case WorkerFrozen:
		if !k.up {
			return
		}
		k.freeze(min(long, w.plan.trouble-w.now))
	case WorkerTwin:
		w.twinOf(k, long)
	case WorkerIgnores:
		w.lasting(f, long, func(on bool) { k.ignores = on })
	case WorkerGreedy:
		w.lasting(f, long, func(on bool) { k.greedy = on })
		return // counted by its lies
	case Unreadable:
		w.lasting(f, long, func(on bool) { k.garbled = on })
		return // counted by its entries
	case WorkerSick:
		w.lasting(f, long, func(on bool) {
			k.state, k.exhausted = model.StateReady, on && chance(r, 3)
			if on && !k.exhausted {
				k.state = []model.WorkerState{model.StateError, model.StateDraining}[r.IntN(2)]
			}
		})
	case WorkerShrinks:
		k.slots = r.IntN(5)
		if chance(r, 2) {
			k.caps.Tags = map[string]string{"location": []string{"eu", "us"}[r.IntN(2)]}
		}
		w.at(w.plan.trouble, func() { k.slots = max(k.slots, 1) })
	case WorkerFull:
		w.lasting(f, long, func(on bool) { k.full = on })
		return // counted by its refusals
	case PartialLists:
		k = w.busiest()
		w.lasting(f, 60_000, func(on bool) {
			if k.part, k.cursor = 0, ""; on {
				k.part = 1
			}
		})
	}
	w.say("%s: %s", k.name, f)
	w.struck(f)
}

// busiest is the worker that holds most.
func (w *world) busiest() *worker {
	best := w.workers[0]
	for _, k := range w.workers {
		if k.up && len(k.held) > len(best.held) {
			best = k
		}
	}
	return best
}

// twinOf starts another worker under the same name for a while.
func (w *world) twinOf(k *worker, d model.Time) {
	t := w.addWorker(k.name)
	t.twin = true
	w.at(max(min(w.now+d, w.plan.trouble), w.now+3001), func() {
		w.say("%s: the other one of that name ends", t.name)
		t.crash()
	})
}
