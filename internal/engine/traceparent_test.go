package engine

import "testing"

// TestTraceparent_IsKeptAcrossRestart checks that the trace of a submit is in the row and
// in all events of the task, also after a restart, and that a repeated submit with another
// trace does not change it.
func TestTraceparent_IsKeptAcrossRestart(t *testing.T) {
	const trace, other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01"
	w := newWorld(t, testConfig())
	s := spec("t1")
	submit := Submit{Client: "shop", Spec: s, Hash: s.Hash(), Chosen: true, Traceparent: trace}
	_, plan := w.turn(submit)
	if len(plan.Tasks) != 1 || plan.Tasks[0].Traceparent != trace || w.tasks["t1"].Traceparent != trace {
		t.Fatalf("events %+v, row %+v", plan.Tasks, w.tasks["t1"])
	}
	submit.Traceparent = other
	w.turn(submit)
	w.restart()
	_, plan = w.turn(Cancel{Client: "shop", ID: "t1"})
	if len(plan.Tasks) != 1 || plan.Tasks[0].Traceparent != trace || w.tasks["t1"].Traceparent != trace {
		t.Errorf("after a restart: events %+v, row %+v", plan.Tasks, w.tasks["t1"])
	}
}
