package world

import "github.com/aria-cluster/dispatcher/pkg/model"

// cutOff is which way a worker cannot be reached.
type cutOff struct{ out, in bool }

// deliver brings a message over the network: in a few milliseconds, or late, or
// twice, or never. k is the worker at one end of it, nil for a client.
func (w *world) deliver(k *worker, toDispatcher bool, arrive func()) {
	copies := 1
	if w.hasFaults() {
		if chance(w.networkRand, w.plan.lostIn) {
			w.countFault(MessageLost)
			return
		}
		if chance(w.networkRand, w.plan.doubledIn) {
			w.countFault(MessageDoubled)
			copies = 2
		}
	}
	for range copies {
		delay := between(w.networkRand, 1, 8)
		if w.hasFaults() && chance(w.networkRand, w.plan.lateIn) {
			w.countFault(MessageLate)
			delay = between(w.networkRand, 50, pick(w.networkRand, 500, 5_000, 40_000))
		}
		sent := w.reaches(k, toDispatcher)
		w.planIn(delay, func() {
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
		return !k.cutOff.out
	}
	return !k.cutOff.in
}

// request carries a question to a dispatcher and its answer back. Either may be
// lost; the caller has its own timeout. Where two dispatchers
// serve the prefix, the service's queue group gives each a share.
func (w *world) request(k *worker, put func(d *dispatcher, answer func(func()))) {
	w.deliver(k, true, func() {
		d := w.primary
		if w.secondary != nil && chance(w.networkRand, 2) {
			d = w.secondary
		}
		if d.stepper == nil {
			return // no responders
		}
		put(d, func(arrive func()) { w.deliver(k, false, arrive) })
	})
}

// requestTimeout of one request, as the programs have it.
const requestTimeout = model.Time(10_000)
