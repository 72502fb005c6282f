package dispatch

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// TestTurn_EachVerbIsAnswered has a client send ahead, without waiting for
// answers.
func TestTurn_EachVerbIsAnswered(t *testing.T) {
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

// What is long weighs more.
func TestWeight_GrowsWithPayload(t *testing.T) {
	long := strings.Repeat("a", bytesPerUnit)
	mirrors, options := []string{long, long}, model.Options{"header": {long, long, long}}
	for name, c := range map[string]struct {
		op   engine.Event
		want int
	}{
		"a plain submit": {engine.Submit{Spec: &model.TaskSpec{URL: "http://h/f"}}, 1},
		"a torrent":      {engine.Submit{Spec: &model.TaskSpec{Torrent: make([]byte, 4*bytesPerUnit)}}, 5},
		"a long submit":  {engine.Submit{Spec: &model.TaskSpec{URL: long, Mirrors: mirrors, Options: options}}, 7},
		"a plain update": {engine.Update{Change: &model.TaskUpdate{Priority: new(model.Priority)}}, 1},
		"a long update":  {engine.Update{Change: &model.TaskUpdate{Mirrors: &mirrors, Options: &options}}, 6},
		"a pause":        {engine.Pause{ID: "a"}, 1},
	} {
		traits := c.op.Traits()
		if got := weight(&traits); got != c.want {
			t.Errorf("%s weighs %d, want %d", name, got, c.want)
		}
	}
}
