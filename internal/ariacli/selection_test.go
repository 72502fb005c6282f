package ariacli

import (
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Tasks that match after the count are not acted on, whether the ids are remembered or the
// query is sent again: neither a later task nor more tasks than were counted.
func TestSelection_LaterMatchesAreLeft(t *testing.T) {
	for limit, remembered := range map[string]int64{"the 2 of the question only": 2, "at most 2, and on none that was created after the question": 1} {
		t.Run(limit, func(t *testing.T) {
			d := testdaemon.Start(t)
			me, ctx := d.Client(t, "me"), testbed.Context(t)
			for i := range 3 {
				if _, err := me.Submit(ctx, &model.TaskSpec{ID: fmt.Sprint("task", i), URL: "https://h.example/f"}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := me.Pause(ctx, "task0"); err != nil {
				t.Fatal(err)
			}
			r := &verbRun{session: newInputSession(t, d.URL, "", "id").session, taskVerb: cancelVerb}
			chosen, err := countSelected(ctx, &me.Tasks, model.ListQuery{Status: []model.Status{model.StatusPending}}, remembered)
			if err != nil || chosen.total != 2 || chosen.limit() != limit {
				t.Fatalf("%+v: %v", chosen, err)
			}
			if _, err := me.Resume(ctx, "task0"); err != nil {
				t.Fatal(err)
			}
			if _, err := me.Submit(ctx, &model.TaskSpec{ID: "later", URL: "https://h.example/f"}); err != nil {
				t.Fatal(err)
			}
			n, listErr := 0, error(nil)
			for o, err := range r.act(ctx, &me.Tasks, chosen.list(ctx, &me.Tasks, &listErr)) {
				if n++; err != nil || o.Err != nil {
					t.Errorf("%+v: %v", o, err)
				}
			}
			if n != 2 || listErr != nil {
				t.Errorf("%d tasks were canceled, want 2: %v", n, listErr)
			}
		})
	}
}
