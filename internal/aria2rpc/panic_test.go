package aria2rpc

import (
	"context"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// panicky is a backend that panics where a field is set.
type panicky struct {
	Backend
	lists, calls bool
}

func (p *panicky) Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	if p.lists {
		panic("oh")
	}
	return p.Backend.Tasks(ctx, q)
}

func (p *panicky) Call(ctx context.Context, client, verb string, body []byte) ([]byte, error) {
	if p.calls {
		panic("oh")
	}
	return p.Backend.Call(ctx, client, verb, body)
}

// A call that panics has an error of its own, and the other calls of the request have their
// answers. A view that cannot be loaded because of a panic, in a goroutine of its own, is
// loaded again by the next call.
func TestServer_PanicIsTheErrorOfOneCall(t *testing.T) {
	s := newShop()
	backend := &panicky{Backend: s.backend, lists: true}
	s.backend, s.views.backend = backend, backend
	const bug = "A bug in the dispatcher; its log says more."
	if got := s.ask(t, &caller{}, "aria2.tellActive"); !strings.Contains(got, bug) {
		t.Errorf("the view panics: %s", got)
	}
	backend.lists, backend.calls = false, true
	token := `"token:` + shopSecret + `"`
	_, answer := s.serveJSON(t.Context(), &caller{}, []byte(`[`+
		`{"id":1,"method":"aria2.addUri","params":[`+token+`,["http://host/f"]]},`+
		`{"id":2,"method":"aria2.tellActive","params":[`+token+`]}]`))
	if got := string(answer); !strings.Contains(got, bug) || !strings.Contains(got, `"id":2,"jsonrpc":"2.0","result":[]`) {
		t.Errorf("one of two calls panics: %s", got)
	}
}
