package httpd

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// send sends one request.
func send(t *testing.T, method, address, path, body string) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

// startWithLists runs a server whose lists never end.
func startWithLists(t *testing.T) *Server {
	t.Helper()
	return start(t, Options{
		Requests: func() Requests { return nil }, Hub: NewHub(), Room: func() int { return 1 << 20 },
		Status: func(context.Context) (*model.ClusterStatus, error) { return &model.ClusterStatus{}, nil },
		Tasks: func(ctx context.Context, _ *model.ListQuery) (*model.TaskPage, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
}

func idOf(t *testing.T, a answer) string {
	t.Helper()
	var id string
	if _, err := fmt.Sscanf(a.body, `{"bulk":%q`, &id); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return id
}

// A job that is stopped says so and ends.
func TestBulk_StopEndsJob(t *testing.T) {
	s := startWithLists(t)
	id := idOf(t, send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", `{"verb":"cancel","filter":{}}`))
	state := func() string { return get(t, s.Addr(), "/api/v1/bulk/"+id).body }
	if got := state(); !strings.Contains(got, `"state":"running"`) {
		t.Errorf("before the stop: %s", got)
	}
	if a := send(t, http.MethodDelete, s.Addr(), "/api/v1/bulk/"+id, ""); a.status != http.StatusOK {
		t.Errorf("stop: %d %s", a.status, a.body)
	}
	testbed.Eventually(t, "the job is stopped", func() bool { return strings.Contains(state(), `"state":"stopped"`) })
}

// A parameter that does not count would mean "any": it is refused, with where it belongs.
func TestParameters_UnknownAndRepeatedAreRefused(t *testing.T) {
	s := startWithLists(t)
	for _, x := range []struct{ method, path, says string }{
		{http.MethodPost, "/api/v1/bulk?client=shop", `"client" is not a parameter of this path; it belongs into filter in the body`},
		{http.MethodPost, "/api/v1/task/list?status=failed", `"status" is not a parameter of this path; it belongs into the body`},
		{http.MethodPost, "/api/v1/task/list?client=a&client=b", `"client" is given 2 times`},
		{http.MethodPost, "/api/v1/query/task/list?client=a", `"client" is not a parameter of this path; it belongs into the body`},
		{http.MethodGet, "/api/v1/events?since=1", `"since" is not a parameter of this path; remove it`},
		{http.MethodGet, "/api/v1/events?" + strings.Repeat("a", 41) + "=1", `"` + strings.Repeat("a", 40) + `" is not a parameter of this path`},
		{http.MethodGet, "/api/v1/events?client=a&client=b", `"client" is given 2 times`},
		{http.MethodGet, "/api/v1/bulk/x?client=a", `"client" is not a parameter of this path; remove it`},
		{http.MethodDelete, "/api/v1/bulk/x?client=a", `"client" is not a parameter of this path; remove it`},
		{http.MethodGet, "/api/v1/query/series?since=1", `"since" is not a parameter of this path; remove it`},
		{http.MethodGet, "/api/v1/query/config?key=http", `"key" is not a parameter of this path; remove it`},
	} {
		a := send(t, x.method, s.Addr(), x.path, `{"verb":"cancel","filter":{}}`)
		if says := strings.ReplaceAll(x.says, `"`, `\"`); a.status != http.StatusBadRequest || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s, want %q", x.path, a.status, a.body, x.says)
		}
	}
}

// A field that does not exist is refused with the sentence of the dispatcher.
func TestBulk_UnknownFieldIsNamed(t *testing.T) {
	s := startWithLists(t)
	a := send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", `{"verb":"cancel","filter":{"nope":1}}`)
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "there is no such field") || strings.Contains(a.body, "json:") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// The code in the body of an error is the status, of 405 too.
func TestErrors_CodeIsStatus(t *testing.T) {
	s := startWithLists(t)
	for path, want := range map[string]int{
		"/api/v1/bulk": http.StatusMethodNotAllowed, "/api/v1/nope": http.StatusNotFound, "/api/v1/query/series?x=1": http.StatusBadRequest,
	} {
		if a := send(t, http.MethodGet, s.Addr(), path, ""); a.status != want || !strings.Contains(a.body, fmt.Sprintf(`"code":%d,`, want)) {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, want)
		}
	}
}

// Four jobs run at once; a fifth is refused until one has ended.
func TestBulk_FifthIsRefused(t *testing.T) {
	s := startWithLists(t)
	const body = `{"verb":"pause","filter":{"status":["pending"]}}`
	var first string
	for range maxBulk {
		first = idOf(t, send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", body))
	}
	if a := send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", body); a.status != http.StatusTooManyRequests {
		t.Errorf("the fifth: %d %s", a.status, a.body)
	}
	send(t, http.MethodDelete, s.Addr(), "/api/v1/bulk/"+first, "")
	testbed.Eventually(t, "another may begin", func() bool {
		return send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", body).status == http.StatusAccepted
	})
}

// A job that panics stops with an error, and the next one runs.
func TestBulk_PanicStopsJob(t *testing.T) {
	asked := 0 // the first page is counted before the job
	s := start(t, Options{
		Requests: func() Requests { return nil }, Hub: NewHub(), Room: func() int { return 1 << 20 },
		Status: func(context.Context) (*model.ClusterStatus, error) { return &model.ClusterStatus{}, nil },
		Tasks: func(context.Context, *model.ListQuery) (*model.TaskPage, error) {
			if asked++; asked%2 == 0 {
				panic("oh")
			}
			return &model.TaskPage{}, nil
		},
	})
	const body = `{"verb":"cancel","filter":{"status":["failed"],"text":"a"}}`
	for range 2 {
		id := idOf(t, send(t, http.MethodPost, s.Addr(), "/api/v1/bulk", body))
		testbed.Eventually(t, "the job is stopped with its error", func() bool {
			got := get(t, s.Addr(), "/api/v1/bulk/"+id).body
			return strings.Contains(got, `"state":"stopped"`) && strings.Contains(got, "a bug in the dispatcher")
		})
	}
}
