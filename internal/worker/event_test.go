package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hold has the next heartbeats wait for their answer until the returned function gives
// it. Their interval is the longest there is, so that no timer helps.
func (l *link) hold() (answer func()) {
	gate := make(chan struct{})
	l.with(func() {
		l.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
			l.mu.Unlock()
			<-gate
			l.mu.Lock()
			return &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(3600)}, nil
		}
	})
	return func() { close(gate) }
}

// An assignment that is faster than the answer to the first heartbeat is taken when
// that answer comes, and no timer is involved.
func TestWorker_AssignBeforeFirstAnswerTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answer func()
		n := start(t, t.TempDir(), func(_ *Config, n *node) { answer = n.link.hold() })
		n.give(assignment("a", 1), assignment("b", 1))
		same(t, "before the answer the engine has", n.engine.has(), nil)
		n.link.drop([]model.Drop{{ID: "b", Attempt: 1, Reason: model.DropPaused}})
		answer()
		n.pass(60 * time.Millisecond)
		same(t, "the engine has", n.engine.has(), []string{"a"})
		same(t, "reports", n.link.said("a"), []string{"1 downloading"})
		same(t, "heartbeats", len(n.link.sent()), 1)
		n.pass(4 * time.Minute)
		same(t, "heartbeats in an interval", len(n.link.sent()), 1)
	})
}

// An assignment that comes after the answer to the first heartbeat was lost has the
// worker ask again at once.
func TestWorker_AssignAfterLostAnswerAsksAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(_ *Config, n *node) {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) { return nil, errors.New("lost") }
		})
		n.pass(40 * time.Second)
		n.link.with(func() { n.link.beat = nil })
		n.give(assignment("a", 1))
		n.pass(200 * time.Millisecond)
		same(t, "the engine has", n.engine.has(), []string{"a"})
	})
}

// Assignments for another instance of the same name are not taken when that instance
// has left.
func TestWorker_AssignsOfOtherInstanceDiscarded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(_ *Config, n *node) {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return nil, model.Errorf(model.CodeConflict, "the name is taken")
			}
		})
		n.give(assignment("a", 1))
		n.link.with(func() { n.link.beat = nil })
		n.pass(10 * time.Second)
		same(t, "the engine has", n.engine.has(), nil)
	})
}

// A dispatcher that has started, or NATS that is back, is asked at once: not after the
// answer of an earlier call that will never come, nor after a backoff.
func TestWorker_HeartbeatAtOnceAfterNudge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.pass(time.Second)
		answer := n.link.hold()
		n.pass(5 * time.Second) // a call is under way
		before := len(n.link.sent())
		n.link.with(func() { n.link.beat = nil })
		n.link.assign(nil)
		answer() // the fake does not watch its context
		n.pass(250 * time.Millisecond)
		same(t, "heartbeats after the nudge", len(n.link.sent())-before, 1)

		n.link.with(func() {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) { return nil, errors.New("no responders") }
		})
		n.pass(time.Minute)
		n.link.with(func() { n.link.beat = nil })
		before = len(n.link.sent())
		n.link.assign(nil)
		n.pass(250 * time.Millisecond)
		if len(n.link.sent()) == before {
			t.Error("no heartbeat came within 250 ms")
		}
	})
}

// An engine that answers again is told to the dispatcher at once: until then the
// worker gets no task.
func TestWorker_HeartbeatAtOnceAfterStateChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(_ *Config, n *node) {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(300)}, nil
			}
		})
		n.give(assignment("a", 1))
		n.engine.with(func() { n.engine.pollErr = errors.New("away") })
		n.pass(engineSilenceTimeout + 3*time.Second)
		same(t, "state", n.link.lastBeat().State, model.StateError)
		n.engine.with(func() { n.engine.pollErr = nil })
		n.pass(2 * time.Second)
		same(t, "state", n.link.lastBeat().State, model.StateReady)
	})
}

// Each report of an answer is judged alone: what is acknowledged behind a refused one
// is not sent again, and the refused one does not hold up the others.
func TestWorker_MixedVerdictsJudgedAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots = 10 })
		ids := []string{"a", "b", "c", "d", "e"}
		for _, id := range ids {
			n.give(assignment(id, 1))
		}
		refusing := true
		n.link.with(func() {
			n.link.report = func(batch []model.Report) ([]*model.Error, []model.Drop, error) {
				list := make([]*model.Error, len(batch))
				var drop []model.Drop
				for i, r := range batch {
					switch {
					case !r.Status.Finished():
					case r.ID == "b" && refusing:
						list[i] = model.Errorf(model.CodeUnavailable, "busy")
					case r.ID == "d":
						list[i] = model.Errorf(model.CodeConflict, "not yours")
						drop = append(drop, model.Drop{ID: "d", Attempt: 1, Reason: model.DropSuperseded})
					}
				}
				return list, drop, nil
			}
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(300)}, nil
			}
		})
		n.engine.with(func() {
			for _, id := range ids {
				n.engine.states[id] = download.State{Phase: download.Failed, Err: &model.TaskError{Code: 3, Message: "404", Class: model.ClassPermanent}}
			}
		})
		n.pass(10 * time.Second)
		for _, id := range []string{"a", "c", "d", "e"} {
			same(t, id+" was reported", n.link.said(id), []string{"1 downloading", "1 failed"})
		}
		same(t, "the journal has", n.journaled(), []string{"b"})
		if got := len(n.link.said("b")); got < 4 || got > 8 {
			t.Errorf("b was said %d times in 10 s", got)
		}

		n.give(assignment("f", 1)) // while b waits
		same(t, "f was reported", n.link.said("f"), []string{"1 downloading"})
		n.link.with(func() { refusing = false })
		n.pass(30 * time.Second)
		same(t, "the journal has", n.journaled(), []string{"f"})
	})
}

// The start of a download that the dispatcher did not take note of is said again,
// also where no byte comes.
func TestWorker_RefusedStartRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.link.with(func() {
			n.link.report = func(batch []model.Report) ([]*model.Error, []model.Drop, error) {
				n.link.report = nil
				return verdicts(batch, model.Errorf(model.CodeUnavailable, "busy")), nil, nil
			}
		})
		n.give(assignment("a", 1))
		n.pass(time.Second)
		same(t, "reports", n.link.said("a"), []string{"1 downloading", "1 downloading"})
	})
}
