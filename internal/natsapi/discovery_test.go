package natsapi

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// discover asks as the nats command does.
func discover(t *testing.T, nc *nats.Conn, subject string, into any) {
	t.Helper()
	m, err := nc.Request(subject, nil, testbed.Patience)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		t.Fatalf("%s: %s: %v", subject, m.Data, err)
	}
}

func statsOf(t *testing.T, nc *nats.Conn, endpoint string) *micro.EndpointStats {
	t.Helper()
	var stats micro.Stats
	discover(t, nc, "$SRV.STATS.aria-dispatcher", &stats)
	for _, e := range stats.Endpoints {
		if e.Name == endpoint {
			return e
		}
	}
	t.Fatalf("no statistics of %s in %+v", endpoint, stats)
	return nil
}

// TestDiscovery_AnswersPingInfoAndStats checks the answers of discovery for all
// services, by name and by id.
func TestDiscovery_AnswersPingInfoAndStats(t *testing.T) {
	w := serve(t, &fakeBackend{})
	var ping micro.Ping
	discover(t, w.nc, "$SRV.PING", &ping)
	if ping.Name != "aria-dispatcher" || ping.Type != micro.PingResponseType || ping.Version != "1.2.3" || ping.ID == "" {
		t.Errorf("ping %+v", ping)
	}
	started, err := time.Parse(time.RFC3339Nano, ping.Metadata["started"])
	if err != nil || time.Since(started) > time.Minute || ping.Metadata["prefix"] != wire.DefaultPrefix || ping.Metadata["dispatcher"] != "test" ||
		ping.Metadata["role"] != "leader" {
		t.Errorf("metadata %v (%v)", ping.Metadata, err)
	}
	for _, to := range []string{"", ".aria-dispatcher", ".aria-dispatcher." + ping.ID} {
		var info micro.Info
		discover(t, w.nc, "$SRV.INFO"+to, &info)
		if info.ID != ping.ID || info.Type != micro.InfoResponseType || len(info.Endpoints) != len(api.Endpoints()) || info.Description == "" {
			t.Errorf("$SRV.INFO%s: %+v", to, info)
		}
		var stats micro.Stats
		discover(t, w.nc, "$SRV.STATS"+to, &stats)
		if stats.ID != ping.ID || stats.Type != micro.StatsResponseType || len(stats.Endpoints) != len(api.Endpoints()) || stats.Started.IsZero() {
			t.Errorf("$SRV.STATS%s: %+v", to, stats)
		}
	}
	for _, to := range []string{wire.DefaultPrefix + ".cmd.worker.w1.drop", "$JS.API.STREAM.PURGE.ARIA_INTAKE"} {
		heard, err := w.nc.SubscribeSync(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.nc.PublishRequest("$SRV.INFO", to, nil); err != nil {
			t.Fatal(err)
		}
		discover(t, w.nc, "$SRV.PING", &ping) // its answer comes after the other's would
		if n, _, err := heard.Pending(); n != 0 || err != nil {
			t.Errorf("an answer went to %s, %v", to, err)
		}
	}
}

// TestDiscovery_StatsCountAnswersAndErrors checks that the statistics count each answer
// and error.
func TestDiscovery_StatsCountAnswersAndErrors(t *testing.T) {
	release := make(chan struct{})
	w := serve(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		if op := ops[0].(engine.Submit); op.Spec.ID == "full" {
			return model.Errorf(model.CodeUnavailable, "the inbox is full")
		}
		go func() { // answers come later, as those of a commit do
			<-release
			done([]engine.Answer{answerOp(ops[0])})
		}()
		return nil
	}})
	answered := make(chan error, 1)
	go func() {
		_, err := w.nc.Request(wire.DefaultPrefix+".req.task.a.submit", []byte(`{"id":"t",`+source+`}`), testbed.Patience)
		answered <- err
	}()
	testbed.Eventually(t, "it is taken in", func() bool { return len(w.backend.taken()) == 1 })
	if e := statsOf(t, w.nc, "task-submit"); e.NumRequests != 0 {
		t.Errorf("before the answer: %+v", e)
	}
	close(release)
	if err := testbed.Receive(t, answered); err != nil {
		t.Fatal(err)
	}
	w.ask(t, "task.a.submit", `{`+source+`}`)
	w.ask(t, "task.a.submit", `{"id":"full",`+source+`}`)
	e := statsOf(t, w.nc, "task-submit")
	if e.NumRequests != 3 || e.NumErrors != 1 || e.LastError != "503:the inbox is full" || e.ProcessingTime <= 0 ||
		e.AverageProcessingTime != e.ProcessingTime/3 || e.Subject != wire.DefaultPrefix+".req.task.*.submit" || e.QueueGroup != "q" {
		t.Errorf("after three answers: %+v", e)
	}
	w.ask(t, "task.a.get", `{"id":"none"}`)
	w.ask(t, "task.a.get", `oh`)
	if e := statsOf(t, w.nc, "task-get"); e.NumRequests != 2 || e.NumErrors != 2 || !strings.HasPrefix(e.LastError, "400:body: is not JSON") {
		t.Errorf("of get: %+v", e)
	}
}

// second starts a second dispatcher on the server of w, past the check that it
// would make.
func second(t *testing.T, w *world, prefix string) *Service {
	t.Helper()
	s, err := New(testbed.Context(t), testbus.Open(t, w.server.ClientURL()), api.New(&fakeBackend{}, api.Options{}), Options{Prefix: prefix, Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Run(t, s.Run)
	return s
}

// TestWatchSingleton_YoungerOfTwoStops checks that of two dispatchers on one prefix the
// younger one stops.
func TestWatchSingleton_YoungerOfTwoStops(t *testing.T) {
	w := serve(t, &fakeBackend{})
	ctx, cancel := context.WithCancel(testbed.Context(t))
	older := make(chan error, 1)
	go func() { older <- w.service.watchSingleton(ctx, 10*time.Millisecond) }()
	younger := second(t, w, wire.DefaultPrefix)
	if err := younger.watchSingleton(testbed.Context(t), 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "another dispatcher (test, version 1.2.3") {
		t.Errorf("the younger: %v, want the older one's name", err)
	}
	cancel()
	if err := testbed.Receive(t, older); err != nil {
		t.Errorf("the older: %v", err)
	}
}

// TestIsAlone_NeedsOwnAnswerAndNoStandby: a leader is alone while its own ping comes back
// and no standby was ever seen. A connection that carries nothing proves nothing.
func TestIsAlone_NeedsOwnAnswerAndNoStandby(t *testing.T) {
	server := testbus.StartServer(t)
	start := func(name string) (*Service, *testbed.Running) {
		s, err := New(testbed.Context(t), testbus.Open(t, server.ClientURL()), nil, Options{Prefix: wire.DefaultPrefix, Name: name, StoreID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		return s, testbed.Run(t, s.Run)
	}
	leader, _ := start("leader")
	// An answer that takes longer than the question waits counts as none.
	testbed.Eventually(t, "it is alone at first", func() bool { return leader.IsAlone(testbed.Context(t)) })
	silent, running := start("silent")
	if err := running.Stop(t); err != nil {
		t.Fatal(err)
	}
	if silent.IsAlone(testbed.Context(t)) {
		t.Error("alone without its own answer")
	}
	_, running = start("standby")
	testbed.Eventually(t, "it is not alone with a standby", func() bool { return !leader.IsAlone(testbed.Context(t)) && leader.HasStandby() })
	if err := running.Stop(t); err != nil {
		t.Fatal(err)
	}
	if leader.IsAlone(testbed.Context(t)) {
		t.Error("it is alone after the standby has stopped")
	}
}

// TestWatchSingleton_NamesOtherLeaders: of dispatchers with one store id, which may have two
// databases, those that lead are named, to leaders, to standbys and at a start.
func TestWatchSingleton_NamesOtherLeaders(t *testing.T) {
	w := serveOptions(t, &fakeBackend{}, api.Options{})
	type leader struct {
		term int64
		name string
	}
	heard := make(chan leader, 1)
	note := func(term int64, name string) { heard <- leader{term, name} }
	start := func(requests *api.Service, o Options) *Service {
		o.Prefix, o.StoreID = "lab.v2", "one"
		s, err := New(testbed.Context(t), testbus.Open(t, w.server.ClientURL()), requests, o)
		if err != nil {
			t.Fatal(err)
		}
		testbed.Run(t, s.Run)
		return s
	}
	start(api.New(&fakeBackend{}, api.Options{}), Options{Name: "leader", Term: 5})
	for name, o := range map[string]Options{"leader": {Name: "other", Term: 4, OnLeader: note}, "standby": {Name: "standby", OnLeader: note}} {
		requests := api.New(&fakeBackend{}, api.Options{})
		if name == "standby" {
			requests = nil
		}
		s := start(requests, o)
		ctx, cancel := context.WithCancel(testbed.Context(t))
		ended := make(chan error, 1)
		go func() { ended <- s.watchSingleton(ctx, time.Hour) }()
		for got := range heard {
			if got == (leader{5, "leader"}) { // the standby hears both
				break
			}
		}
		cancel()
		if err := testbed.Receive(t, ended); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen := make(map[string]bool)
	if err := CheckSingleton(testbed.Context(t), w.nc, "lab.v2", "one", func(_ int64, name string) { seen[name] = true }); err != nil {
		t.Error(err)
	}
	if !seen["leader"] || !seen["other"] || seen["standby"] {
		t.Errorf("at a start these leaders were heard: %v", seen)
	}
}

// endedLease is that of a leader that was deposed.
type endedLease struct{}

func (endedLease) Term() int64 { return 1 }
func (endedLease) Held() bool  { return false }

// TestService_DeposedLeaderAnswersNothing: a leader that was suspended still has its
// subscriptions when it continues. Its refusals must not be quicker than the answers of the
// next leader.
func TestService_DeposedLeaderAnswersNothing(t *testing.T) {
	w := serveOptions(t, &fakeBackend{}, api.Options{Lease: endedLease{}})
	var ping micro.Ping // discovery names it no leader, so that nobody waits for it
	if discover(t, w.nc, "$SRV.PING", &ping); ping.Metadata["role"] != "standby" {
		t.Errorf("metadata %v", ping.Metadata)
	}
	next, err := New(testbed.Context(t), testbus.Open(t, w.server.ClientURL()), api.New(&fakeBackend{}, api.Options{}), Options{Prefix: wire.DefaultPrefix, Name: "next", Term: 2})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Run(t, next.Run)
	for range 20 {
		if got := w.ask(t, "task.shop.get", `{"id":"t1"}`); got.code != "" {
			t.Fatalf("answered %+v", got)
		}
	}
}

// TestWatchSingleton_IgnoresOtherPrefixes checks that dispatchers of two clusters run
// side by side.
func TestWatchSingleton_IgnoresOtherPrefixes(t *testing.T) {
	w := serve(t, &fakeBackend{})
	other := second(t, w, "lab.v2")
	ctx, cancel := context.WithTimeout(testbed.Context(t), singletonWait+500*time.Millisecond)
	defer cancel()
	if err := other.watchSingleton(ctx, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
}

// TestOlderThan_ExactlyOneOfTwo checks that of two dispatchers exactly one is the
// older.
func TestOlderThan_ExactlyOneOfTwo(t *testing.T) {
	identity := func(id, started string) micro.ServiceIdentity {
		return micro.ServiceIdentity{ID: id, Metadata: map[string]string{"started": started}}
	}
	for _, c := range []struct{ older, younger micro.ServiceIdentity }{
		{identity("b", "2026-11-22T12:00:00Z"), identity("a", "2026-11-22T12:00:00.000000001Z")},
		{identity("a", "2026-11-22T12:00:00Z"), identity("b", "2026-11-22T12:00:00Z")},
		{identity("b", "2026-11-22T13:00:00+02:00"), identity("a", "2026-11-22T12:00:00Z")},
		{identity("b", ""), identity("a", "2026-11-22T12:00:00Z")},
	} {
		if !olderThan(c.older, c.younger) || olderThan(c.younger, c.older) {
			t.Errorf("%v and %v", c.older, c.younger)
		}
	}
}
