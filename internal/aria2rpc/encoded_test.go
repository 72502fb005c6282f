package aria2rpc

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The status that is kept of a running download is not shown after something has changed
// that is in it, and is shown again while nothing has.
func TestTellActive_FollowsEachChange(t *testing.T) {
	row := &model.Task{TaskSpec: model.TaskSpec{ID: newGID(), URL: "https://example.org/a.iso", Priority: 2}, Client: "shop"}
	row.Status, row.TotalLength, row.CompletedLength, row.WorkerID, row.Attempt = model.StatusDownloading, 700, 100, "w", 1
	s := New(Options{Backend: &cluster{tasks: map[string][]*model.Task{"shop": {row}}}, Secrets: oneSecret("shop", "a long secret")})
	ask := func(keys string) string {
		t.Helper()
		_, text := s.serveJSON(t.Context(), &caller{}, []byte(`{"id":1,"method":"aria2.tellActive","params":["token:a long secret"`+keys+`]}`))
		return string(text)
	}
	first := ask("")
	if v := s.views.get("shop"); v.byID[row.ID].encoded.Load() == nil {
		t.Error("no status is kept")
	}
	if again := ask(""); again != first || !strings.Contains(first, `"completedLength":"100"`) || !strings.Contains(first, `"dir":"\/data"`) {
		t.Errorf("%s, then %s", first, again)
	}
	if got := ask(`,["gid","status"]`); strings.Contains(got, "completedLength") || !strings.Contains(got, `"status":"active"`) {
		t.Errorf("with two keys: %s", got)
	}
	long := `,["gid","` + strings.Repeat("k", maxEncoded) + `"]`
	if got := ask(long); strings.Contains(got, "completedLength") || s.views.get("shop").byID[row.ID].encoded.Load().keys[1] != "status" {
		t.Errorf("with a long name that is asked for: %s", got)
	}
	s.Progress(&model.ProgressEvent{ID: row.ID, Client: "shop", Attempt: 1, CompletedLength: 350, TotalLength: 700, DownloadSpeed: 50})
	if got := ask(""); !strings.Contains(got, `"completedLength":"350"`) || !strings.Contains(got, `"downloadSpeed":"50"`) {
		t.Errorf("after progress: %s", got)
	}
	v := s.views.get("shop")
	v.mu.Lock()
	v.remember(v.byID[row.ID], map[string]string{"dir": "/elsewhere"})
	v.mu.Unlock()
	if got := ask(""); !strings.Contains(got, `"dir":"\/elsewhere"`) {
		t.Errorf("with another dir: %s", got)
	}
	s.TaskEvent(&model.TaskEvent{ID: row.ID, Client: "shop", Status: model.StatusPaused, Attempt: 1})
	if got := ask(""); !strings.HasSuffix(got, `"result":[]}`) {
		t.Errorf("after a pause: %s", got)
	}
	if v.byID[row.ID].encoded.Load() != nil {
		t.Error("after a pause the status is still kept")
	}
	s.TaskEvent(&model.TaskEvent{ID: row.ID, Client: "shop", Status: model.StatusDownloading, Attempt: 2})
	call := `<methodCall><methodName>aria2.tellActive</methodName><params><param><value>token:a long secret</value></param></params></methodCall>`
	if text, err := s.serveXML(t.Context(), &caller{isXML: true}, []byte(call)); err != nil || !strings.Contains(string(text), "<name>completedLength</name>") {
		t.Errorf("as XML: %s, %v", text, err)
	}
}
