package oracle

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestHostCooldown_EarlyBeginRefused: while a host asks a client to wait, none of its
// tasks there begins; after it one task tries first.
func TestHostCooldown_EarlyBeginRefused(t *testing.T) {
	play(t, "host-cooldown", []testCase{
		{"after the wait", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(5000, "w1")
			h.assign("t2", "w1")
		}},
		{"before the wait is over", true, func(h *history) {
			h.asked(h.waiting(4000))
			h.assign("t2", "w1")
		}},
		{"in the turn of the refusal", true, func(h *history) {
			h.cfg.RetryAfterMax, h.cfg.RetryAfterFree = model.Seconds(10), 1
			h.started()
			h.submit("t2")
			r := h.failure("t1")
			r.RetryAfter = model.Seconds(4)
			h.turn(func() {
				refused, begun := h.row("t1"), h.row("t2")
				h.waiting(4000)(refused)
				assignTo("w1")(begun)
				m := &Message{Ops: []engine.Event{engine.Report{Worker: "w1", Report: *r}}, FromWorker: true}
				h.Received(m)
				h.noteAttempt(h.task("t1").row, refused)
				h.Committed(&model.Batch{Tasks: []model.TaskChange{
					{ID: "t1", From: model.StatusDownloading, Put: refused}, {ID: "t2", From: model.StatusPending, Put: begun},
				}})
				h.answer(m, engine.Answer{})
			})
		}},
		{"after a reload", true, func(h *history) {
			h.asked(h.waiting(4000))
			h.Started()
			h.turn(h.Loaded)
			h.heartbeat("w1")
			h.assign("t2", "w1")
		}},
		{"after a reload without a task that waits", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.verb(engine.Cancel{Client: "alice", ID: "t1"}, func(t *model.Task) {
				become(model.StatusCanceled)(t)
				t.Error, t.RetryAt = nil, 0
			})
			h.Started()
			h.turn(h.Loaded)
			h.heartbeat("w1")
			h.assign("t2", "w1")
		}},
		{"a second task during the trial", true, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(5000, "w1")
			h.assign("t1", "w1")
			h.assign("t2", "w1")
		}},
		{"a second task after the progress of the trial", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(5000, "w1")
			h.assign("t1", "w1")
			r := h.report("t1", model.ReportDownloading)
			r.CompletedLength = 1000
			h.reports("w1", r, become(model.StatusDownloading))
			h.assign("t2", "w1")
		}},
		{"a trial beyond the slots", true, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(5000, "w1")
			h.fillSlot("w1")
			h.assign("t2", "w1")
		}},
		{"a task beyond the slots a minute after the wait", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(70_000, "w1")
			h.fillSlot("w1")
			h.assign("t2", "w1")
		}},
		{"a second task a minute after the wait", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(5000, "w1")
			h.assign("t1", "w1")
			h.waitHeard(61_000, "w1")
			h.assign("t2", "w1")
		}},
	})
}

// TestHostCooldown_DelayOfOthersRefused: a task of another client or host does not wait
// for the host.
func TestHostCooldown_DelayOfOthersRefused(t *testing.T) {
	another := func(set func(t *model.Task)) func(h *history) {
		return func(h *history) {
			h.asked(h.waiting(4000))
			h.submit("t3", set)
			h.reason("t3", "waits for its host (host_cooldown): h0.example asked this client to wait")
		}
	}
	byBob := func(t *model.Task) { t.Client = "bob" }
	elsewhere := func(t *model.Task) { t.URL = "https://h1.example/t3" }
	play(t, "host-cooldown", []testCase{
		{"a task of the same client and host waits", false, another(func(*model.Task) {})},
		{"a task of another client waits", true, another(byBob)},
		{"a task at another host waits", true, another(elsewhere)},
		{"a task of another client begins", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.submit("t3", byBob)
			h.assign("t3", "w1")
		}},
		{"a task at another host begins", false, func(h *history) {
			h.asked(h.waiting(4000))
			h.submit("t3", elsewhere)
			h.assign("t3", "w1")
		}},
		{"a task waits long after it", true, func(h *history) {
			h.asked(h.waiting(4000))
			h.waitHeard(70_000, "w1")
			h.reason("t2", "waits for its host (host_cooldown): t1 tries first")
		}},
	})
}

// TestHostCooldown_WrongWaitRefused: a wait is as long as the host asked, within the
// bound, and counts as a failure only after those that are free.
func TestHostCooldown_WrongWaitRefused(t *testing.T) {
	play(t, "host-cooldown", []testCase{
		{"a wait that is free", false, func(h *history) { h.asked(h.waiting(4000)) }},
		{"a wait that counts", true, func(h *history) {
			h.asked(func(t *model.Task) { h.waiting(4000)(t); t.Failures, t.Error.Waits = 1, 0 })
		}},
		{"a wait that counts after the free one", false, func(h *history) {
			h.askedTwice(func(t *model.Task) { h.waiting(4000)(t); t.Failures = 1 })
		}},
		{"a second wait that is free", true, func(h *history) {
			h.askedTwice(func(t *model.Task) { h.waiting(4000)(t); t.Error.Waits = 2 })
		}},
		{"a wait that is shorter", true, func(h *history) {
			h.asked(func(t *model.Task) { h.waiting(4000)(t); t.RetryAt -= 1000 })
		}},
		{"a wait that is not accepted", true, func(h *history) {
			h.asked(func(t *model.Task) { h.waiting(2000)(t); t.Failures, t.Error.RetryAfter, t.Error.Waits = 1, 0, 0 })
		}},
		{"a wait of the longest", false, func(h *history) {
			h.cfg.RetryAfterMax = model.Seconds(3)
			h.asked(h.waiting(3000))
		}},
		{"a wait beyond the longest", true, func(h *history) {
			h.cfg.RetryAfterMax = model.Seconds(3)
			h.asked(h.waiting(4000))
		}},
	})
}

// fillSlot gives a worker with one slot a task at another host.
func (h *history) fillSlot(worker string) {
	h.heartbeat(worker, oneSlot)
	h.submit("t3", func(t *model.Task) { t.URL = "https://h1.example/t3" })
	h.assign("t3", worker)
}

// asked plays the task t1 up to a failure for which its host asks to wait 4 s, and the
// task t2 of the same client and host, which waits.
func (h *history) asked(change func(t *model.Task)) {
	if h.cfg.RetryAfterFree = 1; h.cfg.RetryAfterMax == 0 {
		h.cfg.RetryAfterMax = model.Seconds(10)
	}
	h.started()
	h.submit("t2")
	h.refused(change)
}

// askedTwice plays a second refusal of t1 after a first one.
func (h *history) askedTwice(change func(t *model.Task)) {
	h.asked(h.waiting(4000))
	h.waitHeard(5000, "w1")
	h.assign("t1", "w1")
	h.refused(change)
}

func (h *history) refused(change func(t *model.Task)) {
	r := h.failure("t1")
	r.RetryAfter = model.Seconds(4)
	h.reports("w1", r, change)
}

// waiting returns the change of a task whose host asked to wait; it counts as no failure.
func (h *history) waiting(wait model.Time) func(t *model.Task) {
	return func(t *model.Task) {
		become(model.StatusPending)(t)
		t.Error = retryable()
		t.Error.RetryAfter, t.Error.Waits = int(wait/1000), 1
		t.RetryAt = h.Wall() + wait
	}
}

// reason has the dispatcher state why a task waits.
func (h *history) reason(id, reason string) {
	h.amend = func(answers []engine.Answer) {
		if state, ok := answers[0].Live[id]; ok {
			state.Reason = reason
			answers[0].Live[id] = state
		}
	}
	h.fullTurn()
}
