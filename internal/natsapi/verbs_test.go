package natsapi

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestVerbs_ReachBackendAndAnswerTaskOrWorker checks the operation and the answer of
// each verb.
func TestVerbs_ReachBackendAndAnswerTaskOrWorker(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for _, c := range []struct {
		subject, body, answer string
		op                    engine.Event
	}{
		{"task.alice.pause", `{"id":"a"}`, `"status":"paused"`, engine.Pause{Client: "alice", ID: "a"}},
		{"task.alice.resume", `{"id":"a"}`, `"status":"pending"`, engine.Resume{Client: "alice", ID: "a"}},
		{"task.alice.retry", `{"id":"a"}`, `"status":"pending"`, engine.Retry{Client: "alice", ID: "a", MaxSize: wire.MaxSpec(maxBody)}},
		{"task.alice.retry", `{"id":"a","url":"https://h/new"}`, `"status":"pending"`, engine.Retry{Client: "alice", ID: "a", URL: "https://h/new", MaxSize: wire.MaxSpec(maxBody)}},
		{"task.alice.delete", `{"id":"a"}`, `"status":"failed"`, engine.Delete{Client: "alice", ID: "a"}},
		{"task.alice.delete", `{"id":"a","files":true}`, `"status":"failed"`, engine.Delete{Client: "alice", ID: "a", Files: true}},
		{"admin.task.cancel", `{"id":"a"}`, `"status":"canceled"`, engine.Cancel{ID: "a"}},
		{"admin.task.pause", `{"id":"a"}`, `"status":"paused"`, engine.Pause{ID: "a"}},
		{"admin.task.resume", `{"id":"a"}`, `"status":"pending"`, engine.Resume{ID: "a"}},
		{"admin.task.retry", `{"id":"a"}`, `"status":"pending"`, engine.Retry{ID: "a", MaxSize: wire.MaxSpec(maxBody)}},
		{"admin.task.delete", `{"id":"a","files":true}`, `"status":"failed"`, engine.Delete{ID: "a", Files: true}},
		{"admin.worker.drain", `{"id":"w1"}`, `^\{"id":"w1",.*"status":"draining"`, engine.DrainWorker{ID: "w1"}},
		{"admin.worker.resume", `{"id":"w1"}`, `^\{"id":"w1",.*"status":"online"`, engine.ResumeWorker{ID: "w1"}},
		{"admin.worker.remove", `{"id":"w1","force":true}`, `^\{"id":"w1",.*"status":"offline"`, engine.RemoveWorker{ID: "w1", Force: true}},
	} {
		got := w.ask(t, c.subject, c.body)
		if got.code != "" || !regexp.MustCompile(c.answer).MatchString(got.body) {
			t.Errorf("%s %s: %q %q %s, want %s", c.subject, c.body, got.code, got.text, got.body, c.answer)
		}
		if ops := w.backend.taken(); ops[len(ops)-1] != c.op {
			t.Errorf("%s %s: handed over %+v, want %+v", c.subject, c.body, ops[len(ops)-1], c.op)
		}
	}
}

// TestRetry_InvalidURLIsNamed checks that a retry with a bad url, or with a
// url for several tasks, is 400 and reaches no task.
func TestRetry_InvalidURLIsNamed(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for body, want := range map[string]string{
		`{"id":"a","url":"gopher://h/"}`:            `url: the scheme "gopher"`,
		`{"id":"a","url":""}`:                       `url: `,
		`{"id":"a","url":5}`:                        `url`,
		`{"ids":["a","b"],"url":"https://h/new"}`:   `url: goes with one id`,
		`{"url":"https://h/new"}`:                   `id: is missing`,
		`{"id":"a","url":"https://h/new","x":true}`: `x`,
	} {
		got := w.ask(t, "task.alice.retry", body)
		if got.code != "400" || !strings.Contains(got.text, want) {
			t.Errorf("%s: %q %q, want 400 and %q", body, got.code, got.text, want)
		}
	}
	if ops := w.backend.taken(); len(ops) > 0 {
		t.Errorf("handed over %+v", ops)
	}
}

// TestDiscovery_ListsEndpointsOfContract checks that the endpoints are those of the
// contract.
func TestDiscovery_ListsEndpointsOfContract(t *testing.T) {
	w := serve(t, &fakeBackend{})
	m, err := w.nc.Request("$SRV.INFO.aria-dispatcher", nil, testbed.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(m.Data, &info); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, e := range info.Endpoints {
		got = append(got, strings.TrimPrefix(e.Subject, wire.DefaultPrefix+".req."))
	}
	for role, verbs := range map[string]string{
		"task.*":   "submit get list cancel pause resume retry update delete",
		"query":    "task.get task.list worker.get worker.list status",
		"admin":    "task.cancel task.pause task.resume task.retry task.update task.delete worker.drain worker.resume worker.remove export import log_level dlq.list dlq.get dlq.resubmit dlq.delete",
		"worker.*": "heartbeat report",
	} {
		for _, verb := range strings.Fields(verbs) {
			want = append(want, role+"."+verb)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("served are\n%v, want\n%v", got, want)
	}
}

// TestVerbs_InvalidRequestNamesFieldAndID checks that a refusal names the field and the
// id.
func TestVerbs_InvalidRequestNamesFieldAndID(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for _, c := range []struct{ subject, body, code, id, says string }{
		{"task.alice.pause", `{"id":"none"}`, "404", "none", "there is no task none"},
		{"task.alice.resume", `{}`, "400", "", "id: is missing"},
		{"task.alice.retry", `{"id":"a.b"}`, "400", "", `id: "a.b"`},
		{"task.alice.retry", `{"id":"a","files":true}`, "400", "", `"files": there is no such field`},
		{"task.alice.delete", `{"id":"a","file":true}`, "400", "", `"file": there is no such field`},
		{"task.alice.delete", `{"id":"a","files":"yes"}`, "400", "", "files: must be true or false"},
		{"task.alice.delete", `{"ids":[],"files":true}`, "400", "", "ids: is empty"},
		{"task.alice.delete", `{"files":true}`, "400", "", "id: is missing"},
		{"task.alice.update", `{"id":"none","priority":"high"}`, "404", "none", "there is no task none"},
		{"task.alice.update", `{"id":"a"}`, "400", "a", "body: changes nothing"},
		{"task.alice.update", `{"id":"a","url":"gopher://h/f"}`, "400", "a", "url: the scheme"},
		{"task.alice.update", `{"ids":["a"],"priority":1}`, "400", "", `"ids": there is no such field`},
		{"task.alice.update", ``, "400", "", "body: is empty"},
		{"admin.worker.drain", `{"ids":["w1"]}`, "400", "", "ids: one worker at a time"},
		{"admin.worker.drain", `{"id":"nobody"}`, "404", "nobody", "there is no worker nobody"},
		{"admin.worker.resume", `{"id":"w1","force":true}`, "400", "", `"force": there is no such field`},
		{"admin.worker.remove", `{"id":"w1"}`, "409", "w1", "the worker w1 is online and cannot be removed"},
		{"admin.worker.remove", `{"id":"w1","force":1}`, "400", "", "force: must be true or false"},
		{"admin.worker.remove", `{"force":true}`, "400", "", "id: is missing"},
	} {
		got := w.ask(t, c.subject, c.body)
		var body struct{ Error model.Error }
		got.into(t, &body)
		if got.code != c.code || !strings.HasPrefix(got.text, c.says) || body.Error.ID != c.id {
			t.Errorf("%s %s: %q %q of %q, want %s %q of %q", c.subject, c.body, got.code, got.text, body.Error.ID, c.code, c.says, c.id)
		}
	}
}

// TestVerbs_ManyIDsAreAnsweredEach checks that each id of a list has its own answer.
func TestVerbs_ManyIDsAreAnsweredEach(t *testing.T) {
	w := serve(t, &fakeBackend{})
	got := w.ask(t, "task.alice.delete", `{"ids":["a","none","a.b"],"files":true}`)
	want := `^\{"tasks":\[\{"task":\{"id":"a","status":"failed"\}\},` +
		`\{"error":\{"code":404,"message":"there is no task none","id":"none"\}\},\{"error":\{"code":400,`
	if got.code != "" || !regexp.MustCompile(want).MatchString(got.body) {
		t.Errorf("got %q %s", got.text, got.body)
	}
	ops := []engine.Event{engine.Delete{Client: "alice", ID: "a", Files: true}, engine.Delete{Client: "alice", ID: "none", Files: true}}
	if taken := w.backend.taken(); !slices.Equal(taken, ops) {
		t.Errorf("handed over %+v, want %+v", taken, ops)
	}
}

// TestUpdate_AnswerHasNoSecrets checks that the answer of an update has no passwords.
func TestUpdate_AnswerHasNoSecrets(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for body, want := range map[string]string{
		`{"id":"a","priority":4}`:                            `"url":"https://xxxxx@example.com/f"`,
		`{"id":"a","url":"https://u:hunter2@h/f"}`:           `"url":"https://xxxxx@h/f"`,
		`{"id":"a","options":{"http-passwd":"hunter2"}}`:     `"http-passwd":"xxxxx"`,
		`{"id":"a","options":{"header":"Cookie: hunter2"}}`:  `"header":"Cookie: xxxxx"`,
		`{"id":"a","mirrors":["https://u:hunter2@mirror/"]}`: `"mirrors":\["https://xxxxx@mirror/"\]`,
	} {
		got := w.ask(t, "task.alice.update", body)
		if got.code != "" || !regexp.MustCompile(want).MatchString(got.body) || strings.Contains(got.body, "hunter2") {
			t.Errorf("%s: %q %s, want %s", body, got.text, got.body, want)
		}
	}
}

// TestClient_HasMethodForEachVerb checks the operation of each method of the Go client.
func TestClient_HasMethodForEachVerb(t *testing.T) {
	w := serve(t, &fakeBackend{})
	alice, err := client.New(w.nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testbed.Context(t)
	change := &model.TaskUpdate{Priority: ref(model.PriorityHigh), URL: ref("https://h/new"), Tags: ref(map[string]string{})}
	bounded := *change
	bounded.MaxSize = wire.MaxSpec(maxBody)
	for name, c := range map[string]struct {
		do   func() (*model.Task, error)
		want engine.Event
	}{
		"cancel": {func() (*model.Task, error) { return alice.Cancel(ctx, "a") }, engine.Cancel{Client: "alice", ID: "a"}},
		"pause":  {func() (*model.Task, error) { return alice.Pause(ctx, "a") }, engine.Pause{Client: "alice", ID: "a"}},
		"resume": {func() (*model.Task, error) { return alice.Resume(ctx, "a") }, engine.Resume{Client: "alice", ID: "a"}},
		"retry":  {func() (*model.Task, error) { return alice.Retry(ctx, "a") }, engine.Retry{Client: "alice", ID: "a", MaxSize: wire.MaxSpec(maxBody)}},
		"retry from elsewhere": {
			func() (*model.Task, error) { return alice.Retry(ctx, "a", client.FromURL("https://h/new")) },
			engine.Retry{Client: "alice", ID: "a", URL: "https://h/new", MaxSize: wire.MaxSpec(maxBody)},
		},
		"update": {func() (*model.Task, error) { return alice.Update(ctx, "a", change) }, engine.Update{Client: "alice", ID: "a", Change: &bounded}},
		"delete": {func() (*model.Task, error) { return alice.Delete(ctx, "a", client.WithFiles()) }, engine.Delete{Client: "alice", ID: "a", Files: true}},
	} {
		task, err := c.do()
		if err != nil || task.ID != "a" {
			t.Errorf("%s: %+v, %v", name, task, err)
		}
		if ops := w.backend.taken(); !reflect.DeepEqual(ops[len(ops)-1], c.want) {
			t.Errorf("%s: the dispatcher was asked for %+v", name, ops[len(ops)-1])
		}
	}
	if _, err := alice.Pause(ctx, "none"); model.AsError(err).Code != model.CodeNotFound {
		t.Errorf("pausing what is not there: %v", err)
	}
}

func ref[T any](v T) *T { return &v }
