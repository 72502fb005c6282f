package ariacli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// What happened to a task is listed in the order of time and once, in local time, and why it
// waits reads as a sentence about it.
func TestTimeline_IsInOrderAndOnce(t *testing.T) {
	const second = model.Time(1000)
	ended := model.PastAttempt{Attempt: 3, WorkerID: "w1", AssignedAt: 10 * second, EndedAt: 20 * second, Outcome: model.OutcomeRetryable, Error: &model.TaskError{Message: "503"}}
	for _, x := range []struct {
		name string
		task model.Task
		want string
	}{
		{"waiting", model.Task{
			TaskSpec:  model.TaskSpec{NotBefore: 30 * second},
			TaskState: model.TaskState{Attempt: 3, History: []model.PastAttempt{ended}, AssignedAt: 10 * second, StartedAt: 11 * second, RetryAt: 25 * second, Reason: "backs off until 1970-01-01T00:00:25.000Z after a failure"},
			CreatedAt: 5 * second,
		}, "created 5|attempt 3 20 retryable on w1 after 10s: 503|next attempt 25|not before 30|reason backs off until 25 after a failure"},
		{"running again", model.Task{
			TaskState: model.TaskState{Attempt: 4, History: []model.PastAttempt{ended}, AssignedAt: 30 * second, StartedAt: 31 * second},
			CreatedAt: 5 * second,
		}, "created 5|attempt 3 20 retryable on w1 after 10s: 503|assigned 30|started 31"},
		{"ended with the attempt", model.Task{
			TaskState: model.TaskState{Attempt: 3, History: []model.PastAttempt{ended}, AssignedAt: 10 * second, FinishedAt: 20 * second},
			CreatedAt: 5 * second,
		}, "created 5|attempt 3 20 retryable on w1 after 10s: 503"},
		{"canceled before", model.Task{CreatedAt: 5 * second, TaskState: model.TaskState{FinishedAt: 6 * second}}, "created 5|finished 6"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var got []string
			for _, f := range timeline(&x.task) {
				if f.value != "" {
					got = append(got, f.name+" "+f.value)
				}
			}
			text := strings.Join(got, "|")
			for n := 1; n <= 31; n++ {
				text = strings.ReplaceAll(text, localTime(model.Time(n)*second), fmt.Sprint(n))
			}
			if text != x.want {
				t.Errorf("got  %s\nwant %s", text, x.want)
			}
		})
	}
}

// The next command names the client unless it is that of a command without flags.
func TestNextCommand_NamesOtherClient(t *testing.T) {
	for _, x := range []struct{ client, flag, want string }{
		{"me", "", "aria resume one"},
		{"shop", "", "aria resume one --client shop"},
		{"shop", "shop", "aria resume one --client shop"},
		{"", "", "aria resume one"},
	} {
		s := newSession(Process{Getenv: func(name string) string { return map[string]string{"ARIA_CLIENT": "me"}[name] }})
		s.flags.client = x.flag
		task := &model.Task{TaskSpec: model.TaskSpec{ID: "one"}, Client: x.client, TaskState: model.TaskState{Status: model.StatusPaused}}
		if got := s.nextCommand(task); got != x.want {
			t.Errorf("%+v: %q", x, got)
		}
	}
}
