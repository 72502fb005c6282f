package world

import "github.com/aria-cluster/dispatcher/pkg/model"

// cut is which way a worker cannot be reached.
type cut struct{ out, in bool }

// carry brings a message over the network: in a few milliseconds, or late, or
// twice, or never. k is the worker at one end of it, nil for a client.
func (w *world) carry(k *worker, toDispatcher bool, arrive func()) {
	copies := 1
	if w.troubled() {
		if chance(w.net, w.plan.lost) {
			w.struck(MessageLost)
			return
		}
		if chance(w.net, w.plan.twin) {
			w.struck(MessageDoubled)
			copies = 2
		}
	}
	for range copies {
		delay := between(w.net, 1, 8)
		if w.troubled() && chance(w.net, w.plan.late) {
			w.struck(MessageLate)
			delay = between(w.net, 50, pick(w.net, 500, 5_000, 40_000))
		}
		sent := w.reaches(k, toDispatcher)
		w.in(delay, func() {
			if sent && w.reaches(k, toDispatcher) {
				arrive()
			}
		})
	}
}

// reaches reports whether a message gets through now.
func (w *world) reaches(k *worker, toDispatcher bool) bool {
	switch {
	case w.outage:
		return false
	case k == nil:
		return true
	case toDispatcher:
		return !k.cut.out
	}
	return !k.cut.in
}

// request carries a question to a dispatcher and its answer back. Either may be
// lost; the asker has to wait no longer than it wants to. Where two dispatchers
// serve the prefix, the service's queue group gives each a share.
func (w *world) request(k *worker, put func(d *dispatcher, answer func(func()))) {
	w.carry(k, true, func() {
		d := w.main
		if w.second != nil && chance(w.net, 2) {
			d = w.second
		}
		if d.manual == nil {
			return // no responders
		}
		put(d, func(arrive func()) { w.carry(k, false, arrive) })
	})
}

// timeout of one request, as the programs have it.
const timeout = model.Time(10_000)
