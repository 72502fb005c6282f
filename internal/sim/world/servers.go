package world

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// busyHost is a host that answers 429 with Retry-After for a while.
type busyHost struct {
	fault  Fault
	client string // whose requests it refuses; "" = those of all
}

// drawRetryAfter draws the bounds of the waits that servers may ask for. It has its own
// numbers, so that the rest of a scenario does not depend on it.
func drawRetryAfter(seed uint64, c *engine.Config) {
	r := stream(seed, 6)
	c.RetryAfterMax = model.Seconds(float64(pick(r, 3, 15, 40, 90)))
	c.RetryAfterFree = r.IntN(11)
}

// makeHostBusy makes a host refuse requests for a while, with one kind of Retry-After.
func (w *world) makeHostBusy(f Fault) {
	r := w.serverRand
	host := fmt.Sprintf("h%d.example", r.IntN(3))
	busy := &busyHost{fault: f}
	if chance(r, 2) {
		busy.client = w.clients[r.IntN(len(w.clients))].name
	}
	w.forWhile(f, between(r, 10_000, 90_000), func(on bool) {
		if on {
			w.busyHosts[host] = busy
		} else if w.busyHosts[host] == busy {
			delete(w.busyHosts, host)
		}
	})
}

// askedWait returns the wait that the host of a task asks for now, 0 if it answers.
func (w *world) askedWait(t *model.Task) model.Duration {
	busy := w.busyHosts[t.Host()]
	if busy == nil || busy.client != "" && busy.client != t.Client || chance(w.serverRand, 4) {
		return 0
	}
	w.countFault(busy.fault)
	r, longest := w.serverRand, w.plan.engine.RetryAfterMax
	switch busy.fault {
	case RetryAfterAtBound:
		return longest + model.Seconds(float64(r.IntN(2)))
	case RetryAfterAbsurd:
		return model.MaxRetryAfter - model.Seconds(float64(r.IntN(2)))
	}
	return model.Seconds(float64(1 + r.IntN(int(longest/model.Seconds(1)))))
}

// beRefused ends a download that has just begun: the host asks to wait. Sometimes the
// failure is of a class that asks for no wait, and its host is always another one.
func (k *worker) beRefused(h *heldTask, wait model.Duration) {
	k.savePartialFile(h)
	why := &model.TaskError{Code: 22, Message: "429 Too Many Requests", Class: model.ClassRetryable, HTTPStatus: 429, Host: "h0.example"}
	if outcomeOf(k.w.options.Seed, h.task).gone {
		why.Class = model.ClassPermanent
	}
	h.end(model.ReportFailed, why)
	h.report.RetryAfter = wait
	k.w.trace("%s: %s#%d is refused, its host asks to wait %v", k.name, h.task.ID, h.attempt, wait)
	k.planReports()
}
