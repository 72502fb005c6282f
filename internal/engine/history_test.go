package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each way in which an attempt ends is in the history of its task, in order, and so it is
// after a restart. Times are seconds since the begin.
func TestHistory_HasEachEndedAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		acts, want []string
	}{
		"a completion at once": {
			[]string{"report w1 t1#1:downloading:50", "pass 2s", "report w1 t1#1:completed"},
			[]string{"1 w1 0-2 completed"},
		},
		"an attempt under way": {[]string{"report w1 t1#1:downloading:50"}, nil},
		"a failure, then a completion": {
			[]string{"report w1 t1#1:failed:retryable", "pass 20s", "heartbeat w1 holds=t1#2:downloading:5", "report w1 t1#2:completed"},
			[]string{"1 w1 0-0 retryable: it broke", "2 w1 * completed"},
		},
		"a permanent failure": {[]string{"report w1 t1#1:failed:permanent"}, []string{"1 w1 0-0 permanent: it broke"}},
		"a failure of the worker": {
			[]string{"heartbeat w2", "report w1 t1#1:failed:worker", "report w2 t1#2:failed:permanent"},
			[]string{"1 w1 0-0 worker: it broke", "2 w2 0-0 permanent: it broke"},
		},
		"a rejection":                     {[]string{"report w1 t1#1:rejected"}, []string{"1 w1 0-0 rejected: rejected by w1"}},
		"a wait that the server asks for": {[]string{"report w1 t1#1:failed:retryable+30"}, []string{"1 w1 0-0 retryable: it broke"}},
		"a lost worker":                   {[]string{"pass 35s"}, []string{"1 w1 0-30 lost"}},
		"a worker that leaves":            {[]string{"pass 1s", "heartbeat w1 state=leaving"}, []string{"1 w1 0-1 lost"}},
		"a removed worker":                {[]string{"pass 1s", "remove w1 force=yes"}, []string{"1 w1 0-1 lost"}},
		"a lost worker takes its task back": {
			[]string{"pass 35s", "heartbeat w1 holds=t1#1:downloading:10"}, nil,
		},
		"a lost worker takes its task back and fails": {
			[]string{"pass 35s", "heartbeat w1 holds=t1#1:downloading:10", "report w1 t1#1:failed:permanent"},
			[]string{"1 w1 0-35 permanent: it broke"},
		},
		"a lost worker has completed its task": {
			[]string{"pass 35s", "heartbeat w1 holds=t1#1:completed"},
			[]string{"1 w1 0-35 completed"},
		},
		"a cancel":                          {[]string{"pass 3s", "cancel shop t1"}, []string{"1 w1 0-3 canceled"}},
		"a pause":                           {[]string{"pass 3s", "pause shop t1"}, []string{"1 w1 0-3 paused"}},
		"a completion of a paused task":     {[]string{"pause shop t1", "pass 3s", "report w1 t1#1:completed"}, []string{"1 w1 0-3 completed"}},
		"an update":                         {[]string{"pass 3s", "update shop t1 url=http://h/new"}, []string{"1 w1 0-3 superseded"}},
		"an update and a pause in one turn": {[]string{"together update shop t1 url=http://h/new + pause shop t1"}, []string{"1 w1 0-0 superseded", "2 w1 * paused"}},
		"a retry keeps it": {
			[]string{"report w1 t1#1:failed:permanent", "retry shop t1", "report w1 t1#2:failed:permanent"},
			[]string{"1 w1 0-0 permanent: it broke", "2 w1 0-0 permanent: it broke"},
		},
		"a failure, and a retry with a url in one turn": {
			[]string{"together report w1 t1#1:failed:permanent + retry shop t1 url=http://h/new"},
			[]string{"1 w1 0-0 permanent: it broke"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			for _, act := range append([]string{"heartbeat w1", "submit shop t1"}, c.acts...) {
				w.act(strings.Fields(act))
			}
			row := w.tasks["t1"]
			var got []string
			for i, p := range row.Attempts() {
				text := fmt.Sprintf("%d %s %s %s", p.Attempt, p.WorkerID, span(&p, row.CreatedAt), p.Outcome)
				if i < len(c.want) && strings.Contains(c.want[i], " * ") {
					text = fmt.Sprintf("%d %s * %s", p.Attempt, p.WorkerID, p.Outcome)
				}
				if p.Error != nil {
					text += ": " + p.Error.Message
				}
				got = append(got, text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// span formats when an attempt was assigned and ended, in seconds since then.
func span(p *model.PastAttempt, since model.Time) string {
	return fmt.Sprintf("%d-%d", (p.AssignedAt-since)/1000, (p.EndedAt-since)/1000)
}

// An import that replaces a task in the turn in which its attempt ends brings its own
// history: the digest of the copy covers it.
func TestHistory_ImportedRowIsUnchanged(t *testing.T) {
	w := newWorld(t, testConfig())
	w.imports = true
	for _, act := range []string{"heartbeat w1", "submit shop t1"} {
		w.act(strings.Fields(act))
	}
	row := *w.tasks["t1"]
	row.Status, row.WorkerID, row.LastWorkerID = model.StatusPending, "", "w1"
	row.History = []model.PastAttempt{{Attempt: 1, WorkerID: "w9", Outcome: model.OutcomeLost}}
	w.turn(BeginImport{})
	w.turn(w.event(strings.Fields("report w1 t1#1:failed:permanent")), Import{Batch: &model.Batch{Tasks: []model.TaskChange{
		{ID: "t1", From: model.StatusFailed, Put: &row},
	}}})
	if got := w.tasks["t1"].History; len(got) != 1 || got[0].WorkerID != "w9" {
		t.Errorf("its history is %+v", got)
	}
}
