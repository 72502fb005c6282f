package dispatch

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// TestVerbsOfOneTurnAreEachAnswered has a client send ahead, without waiting for
// answers.
func TestVerbsOfOneTurnAreEachAnswered(t *testing.T) {
	f := start(t, &gateStore{Store: memory.New()})
	spec := func() engine.Submit {
		s := &model.TaskSpec{ID: "a", URL: "http://h/f"}
		return engine.Submit{Client: "shop", Spec: s, Hash: s.Hash(), Chosen: true}
	}
	cancel, remove := engine.Cancel{Client: "shop", ID: "a"}, engine.Delete{Client: "shop", ID: "a"}
	for _, c := range []struct {
		ops   []engine.Event
		codes []model.Code // 0: answered with the task
	}{
		{[]engine.Event{spec(), cancel, remove}, []model.Code{0, 0, model.CodeUnavailable}},
		{[]engine.Event{engine.Retry{Client: "shop", ID: "a"}, engine.Pause{Client: "shop", ID: "a"}, cancel, remove, remove},
			[]model.Code{0, 0, 0, 0, model.CodeNotFound}},
	} {
		for i, a := range f.do(c.ops...) {
			code := model.Code(0)
			if a.Err != nil {
				code = a.Err.Code
			}
			if code != c.codes[i] || code == 0 && a.Task == nil {
				t.Errorf("%T: %+v and the task %+v, want code %d", c.ops[i], a.Err, a.Task, c.codes[i])
			}
		}
	}
}
