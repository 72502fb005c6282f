package natsapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_AnswersGoodAndBadRequests sends a good and a bad request to each
// endpoint.
func TestService_AnswersGoodAndBadRequests(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for _, c := range []struct{ subject, body, code, answer string }{
		{"task.alice.submit", `{"id":"t1",` + source + `}`, "", `^\{"id":"t1","url":"https://example.com/f.iso",.*"client":"alice",.*"status":"pending"`},
		{"task.alice.submit", `{` + source + `}`, "", `^\{"id":"[0-9A-HJKMNP-TV-Z]{26}"`},
		{"task.alice.submit", `{"url":"https://u:p@example.com/f","options":{"http-passwd":"hunter2"}}`, "", `"url":"https://xxxxx@example.com/f".*"http-passwd":"xxxxx"`},
		{"task.alice.submit", `{"tasks":[{"id":"a",` + source + `},{"id":"b"}]}`, "",
			`^\{"tasks":\[\{"task":\{"id":"a","status":"pending"\}\},\{"error":\{"code":400,"message":"url: is missing.*","id":"b"\}\}\]\}$`},
		{"task.alice.submit", `{"tasks":[{"id":"b"}]}`, "", `^\{"tasks":\[\{"error":`},
		{"task.alice.submit", `not json`, "400", "body: is not JSON"},
		{"task.ä.submit", `{` + source + `}`, "400", "^client: "},
		{"task." + strings.Repeat("a", 65) + ".submit", `{` + source + `}`, "400", "^client: "},
		{"task.alice.get", `{"id":"t1"}`, "", `^\{"id":"t1",.*"client":"alice"`},
		{"task.alice.get", `{"id":"none"}`, "404", "there is no task none"},
		{"task.alice.submit", `{"id":"pf","url":"https://h/a","priority":1.5}`, "400", `^priority: .* \(id pf\)$`},
		{"task.alice.submit", `{"id":"pf","url":"https://h/a","timeout":-1}`, "400", `^timeout: .* \(id pf\)$`},
		{"task.alice.get", `{"id":"a b"}`, "400", "^id: "},
		{"task.alice.get", `{"ids":["t1","none","a.b"]}`, "", `^\{"tasks":\[\{"task":\{"id":"t1",.*\{"code":404,.*"id":"none"\}.*\{"code":400,`},
		{"task.alice.get", `{"ids":["t1"]}`, "", `^\{"tasks":\[\{"task":\{"id":"t1",.*"client":"alice".*"status".*\}\}\],"next":""\}$`},
		{"admin.log_level", ``, "", `^\{"level":"info"\}$`},
		{"admin.log_level", `{"level":"DEBUG"}`, "", `^\{"level":"debug"\}$`},
		{"admin.log_level", `{}`, "", `^\{"level":"debug"\}$`},
		{"admin.log_level", `{"level":"loud"}`, "400", `^level: "loud" is not allowed; use debug, info, warn or error$`},
		{"task.alice.list", ``, "", `^\{"tasks":\[\{"id":"t1","client":"alice".*\],"next":"c1"\}$`},
		{"task.alice.list", `{"client":"bob"}`, "403", "^client: "},
		{"task.alice.list", `{"limit":0.5}`, "400", "^limit: "},
		{"task.alice.list", `{"id_suffix":"abcdef"}`, "", `^\{"tasks":\[`},
		{"task.alice.list", `{"id_suffix":"abcde"}`, "400", "^id_suffix: .*the last 6 to 64 characters of an id"},
		{"query.task.list", `{"id_suffix":"abc.defg"}`, "400", "^id_suffix: "},
		{"task.alice.cancel", `{"id":"t1"}`, "", `"client":"alice".*"status":"canceled"`},
		{"task.alice.cancel", `{"id":"none"}`, "404", "there is no task none"},
		{"task.alice.cancel", `{"ids":["t1","none","a.b"]}`, "", `^\{"tasks":\[\{"task":\{"id":"t1","status":"canceled"\}\},\{"error":\{"code":404,"message":"there is no task none","id":"none"\}\},\{"error":\{"code":400,`},
		{"task.alice.cancel", `{"ids":["a.b"]}`, "", `^\{"tasks":\[\{"error":\{"code":400,`},
		{"task.alice.cancel", `{}`, "400", "^id: is missing"},
		{"query.task.get", `{"id":"t1"}`, "", `^\{"id":"t1"`},
		{"query.task.list", `{"client":"bob"}`, "", `"client":"bob"`},
		{"query.task.list", `{"nope":1}`, "400", `^"nope": `},
		{"query.worker.get", `{"id":"w1"}`, "", `^\{"id":"w1"`},
		{"query.worker.get", `{"id":"nobody"}`, "404", "there is no worker nobody"},
		{"query.worker.get", `{"ids":["w1"]}`, "400", "^ids: "},
		{"query.worker.list", `{"limit":5}`, "", `^\{"workers":\[\{"id":"w1".*\],"next":""\}$`},
		{"query.worker.list", `{"cursor":"a.b"}`, "400", "^cursor: "},
		{"query.status", ``, "", `"active_workers":3,.*"total_tasks":7`},
		{"query.status", `{"x":1}`, "400", `^"x": `},
		{"admin.task.cancel", `{"id":"t1"}`, "", `"client":"",.*"status":"canceled"`},
		{"worker.w1.heartbeat", `{` + beat + `}`, "", `^\{"heartbeat_interval":30\}$`},
		{"worker.w1.heartbeat", `{"worker_id":"w2"}`, "400", "^worker_id: "},
		{"worker.w1.report", `{"id":"t1","attempt":1,"status":"completed"}`, "", `^\{\}$`},
		{"worker.w1.report", `{"id":"t1"}`, "400", "^status: "},
		{"worker.w1.report", `{"id":"old","attempt":1,"status":"completed"}`, "409", "task old has a newer attempt"},
		{"worker.w1.report", `{"reports":[{"id":"t1","attempt":1,"status":"completed"},{"id":"t2"},{"id":"old","attempt":1,"status":"completed"}]}`, "",
			`^\{"results":\[\{\},\{"error":\{"code":400,.*"id":"t2"\}\},\{"error":\{"code":409,.*"id":"old"\}\}\],"drop":\[\{"id":"old","attempt":1,"reason":"superseded"\}\]\}$`},
		{"worker.w1.report", `{"reports":[]}`, "", `^\{"results":\[\]\}$`},
	} {
		t.Run(c.subject+" "+c.body[:min(len(c.body), 60)], func(t *testing.T) {
			got := w.ask(t, c.subject, c.body)
			said := got.body
			if c.code != "" {
				said = got.text
			}
			if got.code != c.code || !regexp.MustCompile(c.answer).MatchString(said) {
				t.Fatalf("got %q %q %s\nwant %q %s", got.code, got.text, got.body, c.code, c.answer)
			}
			if c.code == "" {
				return
			}
			var body struct{ Error model.Error }
			got.into(t, &body)
			if fmt.Sprint(int(body.Error.Code)) != c.code || body.Error.Message != got.text {
				t.Errorf("the body %s says something else than the headers: %s %s", got.body, got.code, got.text)
			}
			if strings.HasSuffix(c.subject, ".heartbeat") && body.Error.ID != "w1" {
				t.Errorf("the body %s does not name the worker", got.body)
			}
		})
	}
}

// TestSubmit_KeepsValidTraceparentOfHeader checks that the trace of a request reaches
// the backend, and that one that is not valid is ignored.
func TestSubmit_KeepsValidTraceparentOfHeader(t *testing.T) {
	w := serve(t, &fakeBackend{})
	const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for header, want := range map[string]string{valid: valid, strings.ToUpper(valid): "", valid + "-": ""} {
		for _, name := range []string{"traceparent", "Traceparent"} {
			m := &nats.Msg{Subject: wire.DefaultPrefix + ".req.task.alice.submit", Header: nats.Header{name: {header}}, Data: []byte(`{` + source + `}`)}
			if _, err := w.nc.RequestMsgWithContext(testbed.Context(t), m); err != nil {
				t.Fatal(err)
			}
			ops := w.backend.taken()
			if got := ops[len(ops)-1].(engine.Submit).Traceparent; got != want {
				t.Errorf("%s %q: the backend got %q", name, header, got)
			}
		}
	}
}

// TestReport_RefusedNamesWhatToDrop checks that a refused report is answered with the
// attempt to drop.
func TestReport_RefusedNamesWhatToDrop(t *testing.T) {
	w := serve(t, &fakeBackend{})
	got := w.ask(t, "worker.w1.report", `{"id":"old-1","attempt":4,"status":"downloading"}`)
	var body struct {
		Error model.Error
		Drop  []model.Drop
	}
	got.into(t, &body)
	if got.code != "409" || body.Error.ID != "old-1" || len(body.Drop) != 1 || body.Drop[0].Attempt != 4 {
		t.Errorf("got %+v", got)
	}
}

// TestService_BackendGetsClientOfSubject checks that an operation carries the client of
// the subject.
func TestService_BackendGetsClientOfSubject(t *testing.T) {
	w := serve(t, &fakeBackend{})
	w.ask(t, "task.alice.submit", `{"id":"mine",`+source+`}`)
	w.ask(t, "task.alice.submit", `{`+source+`}`)
	w.ask(t, "task.bob.cancel", `{"id":"mine"}`)
	w.ask(t, "admin.task.cancel", `{"id":"mine"}`)
	w.ask(t, "worker.w1.report", `{"id":"mine","attempt":1,"status":"downloading"}`)
	w.ask(t, "worker.w1.heartbeat", `{`+beat+`}`)
	ops := w.backend.taken()
	chosen, made := ops[0].(engine.Submit), ops[1].(engine.Submit)
	if chosen.Client != "alice" || !chosen.Chosen || made.Chosen || made.Spec.ID == "" || chosen.Hash != made.Hash || chosen.Hash == (model.Hash{}) {
		t.Errorf("submits: %+v, %+v", chosen, made)
	}
	want := []engine.Event{engine.Cancel{Client: "bob", ID: "mine"}, engine.Cancel{Client: "", ID: "mine"}}
	if !slices.Equal(ops[2:4], want) {
		t.Errorf("cancels: %+v, want %+v", ops[2:4], want)
	}
	if r := ops[4].(engine.Report); r.Worker != "w1" || r.ID != "mine" {
		t.Errorf("report: %+v", r)
	}
	if h := ops[5].(engine.Heartbeat); h.WorkerID != "w1" {
		t.Errorf("heartbeat: %+v", h)
	}
}

// TestSubmit_BadSpecsNeverReachBackend checks that invalid specs are refused before the
// backend.
func TestSubmit_BadSpecsNeverReachBackend(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for _, c := range wiretest.BadSpecs {
		if len(c.Body) > 1_000_000 {
			continue // NATS itself refuses it
		}
		got := w.ask(t, "task.alice.submit", c.Body)
		if got.code != fmt.Sprint(int(c.Code)) || !strings.HasPrefix(got.text, c.Begins) {
			t.Errorf("%s: %q %q, want %d %q", c.Name, got.code, got.text, c.Code, c.Begins)
		}
	}
	if ops := w.backend.taken(); len(ops) != 0 {
		t.Errorf("the backend was given %d operations", len(ops))
	}
}

// TestSubmit_AcceptsNineHundredKilobytes checks that a message of 900 kB is accepted.
func TestSubmit_AcceptsNineHundredKilobytes(t *testing.T) {
	w := serve(t, &fakeBackend{})
	one := `{"url":"https://example.com/` + strings.Repeat("a", 850) + `"}`
	got := w.ask(t, "task.alice.submit", `{"tasks":[`+strings.Repeat(one+",", 999)+one+`]}`)
	var body struct {
		Tasks []struct {
			Task  *struct{ ID string }
			Error *model.Error
		}
	}
	got.into(t, &body)
	if got.code != "" || len(body.Tasks) != 1000 || body.Tasks[999].Task == nil {
		t.Fatalf("%q %q, %d entries", got.code, got.text, len(body.Tasks))
	}
	ids := make(map[string]bool)
	for _, o := range body.Tasks {
		ids[o.Task.ID] = true
	}
	if len(ids) != 1000 {
		t.Errorf("%d different ids for 1000 tasks", len(ids))
	}
}

// TestService_FullInboxIsAnsweredAtOnce checks that a full inbox is answered 503 at
// once.
func TestService_FullInboxIsAnsweredAtOnce(t *testing.T) {
	w := serve(t, &fakeBackend{do: func([]engine.Event, func([]engine.Answer)) *model.Error {
		return model.Errorf(model.CodeUnavailable, "the inbox is full; try again")
	}})
	for subject, body := range map[string]string{
		"task.alice.submit":   `{` + source + `}`,
		"task.alice.cancel":   `{"ids":["a","b"]}`,
		"worker.w1.heartbeat": `{` + beat + `}`,
		"worker.w1.report":    `{"id":"a","attempt":1,"status":"failed","error":{"class":"retryable"}}`,
	} {
		if got := w.ask(t, subject, body); got.code != "503" || got.text != "the inbox is full; try again" {
			t.Errorf("%s: %+v", subject, got)
		}
	}
}

// TestService_AnswersMayComeOutOfOrder checks that answers reach their requests in any
// order.
func TestService_AnswersMayComeOutOfOrder(t *testing.T) {
	type held struct {
		ops  []engine.Event
		done func([]engine.Answer)
	}
	inbox := make(chan held, 3)
	w := serve(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		inbox <- held{ops, done}
		return nil
	}})
	ids := []string{"a", "b", "c"}
	answers := make(map[string]chan *nats.Msg)
	for _, id := range ids {
		ch := make(chan *nats.Msg, 1)
		answers[id] = ch
		go func() {
			m, err := w.nc.Request(wire.DefaultPrefix+".req.task.alice.submit", []byte(`{"id":"`+id+`",`+source+`}`), testbed.Patience)
			if err != nil {
				t.Error(err)
			}
			ch <- m
		}()
	}
	waiting := make(map[string]held)
	for range ids {
		h := testbed.Receive(t, inbox)
		waiting[h.ops[0].(engine.Submit).Spec.ID] = h
	}
	for _, id := range []string{"c", "a", "b"} {
		waiting[id].done([]engine.Answer{answerOp(waiting[id].ops[0])})
		m := testbed.Receive(t, answers[id])
		var task model.Task
		if err := json.Unmarshal(m.Data, &task); err != nil || task.ID != id {
			t.Errorf("asked for %s, got %s (%v)", id, m.Data, err)
		}
	}
}

// TestService_MissingAnswerOfBackendIs500 checks that a backend without an answer is a
// 500.
func TestService_MissingAnswerOfBackendIs500(t *testing.T) {
	for name, do := range map[string]func([]engine.Event, func([]engine.Answer)) *model.Error{
		"too few answers": func(_ []engine.Event, done func([]engine.Answer)) *model.Error { done(nil); return nil },
		"an empty answer": func(_ []engine.Event, done func([]engine.Answer)) *model.Error {
			done(make([]engine.Answer, 1))
			return nil
		},
		"a panic":          func([]engine.Event, func([]engine.Answer)) *model.Error { panic("oh") },
		"twice, and panic": func(_ []engine.Event, done func([]engine.Answer)) *model.Error { done(nil); done(nil); panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, &fakeBackend{do: do})
			if got := w.ask(t, "task.alice.submit", `{`+source+`}`); got.code != "500" || got.text == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestHeartbeat_MayComeWithoutReplySubject checks that a heartbeat without a reply
// subject is applied.
func TestHeartbeat_MayComeWithoutReplySubject(t *testing.T) {
	w := serve(t, &fakeBackend{})
	for _, body := range []string{`{"broken`, `{` + beat + `}`} {
		if err := w.nc.Publish(wire.DefaultPrefix+".req.worker.w1.heartbeat", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "the heartbeat is taken in", func() bool { return len(w.backend.taken()) == 1 })
}

// TestService_ConcurrentRequestsAreAnsweredOnce checks that each of many concurrent
// requests has one answer.
func TestService_ConcurrentRequestsAreAnsweredOnce(t *testing.T) {
	w := serve(t, &fakeBackend{})
	var group sync.WaitGroup
	var wrong atomic.Int64
	for g := range 16 {
		group.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("t-%d-%d", g, i)
				for subject, body := range map[string]string{
					"task.alice.submit":   `{"id":"` + id + `",` + source + `}`,
					"task.alice.get":      `{"id":"` + id + `"}`,
					"task.alice.cancel":   `{"id":"` + id + `"}`,
					"worker.w1.heartbeat": `{` + beat + `}`,
				} {
					m, err := w.nc.Request(wire.DefaultPrefix+".req."+subject, []byte(body), testbed.Patience)
					if err != nil || strings.HasPrefix(subject, "task") && !strings.Contains(string(m.Data), `"id":"`+id+`"`) {
						wrong.Add(1)
					}
				}
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d requests got no answer or another's", n)
	}
	if n := len(w.backend.taken()); n != 16*50*3 {
		t.Errorf("the backend was given %d operations, want %d", n, 16*50*3)
	}
}

// TestService_IsFoundByMicroClient checks that a client of nats.go/micro finds the
// service.
func TestService_IsFoundByMicroClient(t *testing.T) {
	w := serve(t, &fakeBackend{})
	m, err := w.nc.Request("$SRV.INFO.aria-dispatcher", nil, testbed.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(m.Data, &info); err != nil {
		t.Fatal(err)
	}
	if info.Version != "1.2.3" || info.Metadata["prefix"] != wire.DefaultPrefix || len(info.Endpoints) != len(api.Endpoints()) {
		t.Errorf("got %+v", info)
	}
}

// TestCheckSingleton_RefusesSecondDispatcher checks that a second dispatcher on the
// prefix is refused.
func TestCheckSingleton_RefusesSecondDispatcher(t *testing.T) {
	w := serve(t, &fakeBackend{})
	err := CheckSingleton(testbed.Context(t), w.nc, wire.DefaultPrefix, "", nil)
	if err == nil || !strings.Contains(err.Error(), "another dispatcher (test, version 1.2.3") {
		t.Errorf("got %v, want the other's name", err)
	}
	if err := CheckSingleton(testbed.Context(t), w.nc, "other.v1", "", nil); err != nil {
		t.Errorf("on another prefix: %v", err)
	}
	if err := w.run.Stop(t); err != nil {
		t.Fatal(err)
	}
	if err := CheckSingleton(testbed.Context(t), w.nc, wire.DefaultPrefix, "", nil); err != nil {
		t.Errorf("after it stopped: %v", err)
	}
}

// TestStart_AcceptsAnyVersion checks that a version that is not semantic is accepted.
func TestStart_AcceptsAnyVersion(t *testing.T) {
	for in, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3-rc.1+abc": "1.2.3-rc.1+abc", "(devel)": "0.0.0-dev", "": "0.0.0-dev",
		"01.2.3": "0.0.0-dev", "v0.0.0-20261122090000-abcdef123456+dirty": "0.0.0-20261122090000-abcdef123456+dirty",
	} {
		if got := semantic(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
