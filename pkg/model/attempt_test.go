package model

import (
	"reflect"
	"strings"
	"testing"
)

// A history keeps the last attempts, each once, with a short message, and the old one
// stays as it is, for readers share it.
func TestAppendAttempt_KeepsLastOnce(t *testing.T) {
	var history []PastAttempt
	for n := range int64(MaxHistory + 5) {
		before := append([]PastAttempt(nil), history...)
		longer := AppendAttempt(history, PastAttempt{Attempt: n + 1, Outcome: OutcomeRetryable, Error: &TaskError{Message: strings.Repeat("m", MaxMessage)}})
		if !reflect.DeepEqual(history, before) {
			t.Fatalf("attempt %d changed the old history to %+v", n+1, history)
		}
		history = longer
	}
	if len(history) != MaxHistory || history[0].Attempt != 6 || history[MaxHistory-1].Attempt != MaxHistory+5 {
		t.Errorf("it has %d attempts, from %d to %d", len(history), history[0].Attempt, history[len(history)-1].Attempt)
	}
	if n := len(history[0].Error.Message); n != maxHistoryMessage {
		t.Errorf("a message has %d bytes", n)
	}
	again := AppendAttempt(history, PastAttempt{Attempt: MaxHistory + 5, Outcome: OutcomeCanceled})
	if len(again) != MaxHistory || again[MaxHistory-1].Outcome != OutcomeCanceled || history[MaxHistory-1].Outcome != OutcomeRetryable {
		t.Errorf("the last attempt is %+v, and was %+v", again[len(again)-1], history[MaxHistory-1])
	}
}

// A task shows the attempts that have ended, and others than get show none.
func TestTaskAttempts_CompletionAddedCurrentOmitted(t *testing.T) {
	lost := PastAttempt{Attempt: 1, WorkerID: "w1", AssignedAt: 5, EndedAt: 7, Outcome: OutcomeLost}
	for _, c := range []struct {
		status  Status
		attempt int64
		want    []PastAttempt
	}{
		{StatusPending, 1, []PastAttempt{lost}},
		{StatusDownloading, 1, []PastAttempt{}}, // its worker has taken it back
		{StatusQueued, 2, []PastAttempt{lost}},
		{StatusFailed, 1, []PastAttempt{lost}},
		{StatusCompleted, 1, []PastAttempt{{Attempt: 1, WorkerID: "w1", AssignedAt: 5, EndedAt: 9, Outcome: OutcomeCompleted}}},
		{StatusCompleted, 2, []PastAttempt{lost, {Attempt: 2, WorkerID: "w1", AssignedAt: 5, EndedAt: 9, Outcome: OutcomeCompleted}}},
	} {
		task := Task{TaskState: TaskState{
			Status: c.status, Attempt: c.attempt, LastWorkerID: "w1", AssignedAt: 5, FinishedAt: 9, History: []PastAttempt{lost},
		}}
		if got := task.PublicWithHistory().History; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s, attempt %d: %+v, want %+v", c.status, c.attempt, got, c.want)
		}
		if got := task.Public().History; got != nil {
			t.Errorf("%s: without the history it has %+v", c.status, got)
		}
	}
}
