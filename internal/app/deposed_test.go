package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// leads reports whether a dispatcher says that it leads.
func (m *member) leads(t *testing.T) bool {
	code, _, _ := m.ask(t, http.MethodGet, "/readyz?role=leader", "")
	return code == http.StatusOK
}

// newBehind starts a dispatcher with breakers before its servers.
func newBehind(t *testing.T, database, nats string) (m *member, toDatabase, toNATS *breaker) {
	toDatabase, database2 := startBreaker(t, testpostgres.Shared(t).Address())
	toNATS, nats2 := startBreaker(t, strings.TrimPrefix(nats, "nats://"))
	m = startMember(t, strings.Replace(database, testpostgres.Shared(t).Address(), database2, 1), "nats://"+nats2)
	return m, toDatabase, toNATS
}

// A leader from whose servers nothing comes any more, without an error, does not take
// itself for the only dispatcher: it stops leading before the standby takes over, although a
// commit hangs. When the network works again it stands by, without the figures of its term.
func TestStandby_SilentNetworkDeposesLeader(t *testing.T) {
	t.Parallel()
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()}).ClientURL()
	a, toDatabase, toNATS := newBehind(t, dsn, nats)
	testbed.Eventually(t, "the first leads", func() bool { return a.leads(t) })
	b := startMember(t, dsn, nats)
	testbed.Eventually(t, "the second stands by", func() bool { return b.role(t) == "standby" })
	const task = `{"url":"https://files.example/f"}`
	if code, _, body := a.ask(t, http.MethodPost, "/api/v1/task/submit", task); code != http.StatusOK {
		t.Fatalf("submit: %d %s", code, body)
	}
	toDatabase.stalled.Lock()
	toNATS.stalled.Lock()
	hung := make(chan int, 1)
	go func() {
		code, _, _ := a.ask(t, http.MethodPost, "/api/v1/task/submit", task)
		hung <- code
	}()
	testbed.Eventually(t, "the second leads", func() bool { return b.leads(t) })
	if a.leads(t) {
		t.Error("two dispatchers say that they lead")
	}
	if code := testbed.Receive(t, hung); code != http.StatusServiceUnavailable {
		t.Errorf("a submit whose commit hangs is answered %d", code)
	}
	toNATS.stalled.Unlock()
	toDatabase.stalled.Unlock()
	testbed.Eventually(t, "the first stands by", func() bool { return a.role(t) == "standby" })
	if _, _, body := a.ask(t, http.MethodGet, "/metrics", ""); !strings.Contains(body, `aria_tasks{status="pending"} 0`) {
		t.Error("a standby exports the figures of its former term")
	}
	select {
	case err := <-a.ended:
		t.Fatalf("the former leader ended: %v", err)
	default:
	}
}

// A leader that loses NATS and keeps PostgreSQL cannot serve: it resigns, and the standby
// that has both leads. It does not take the row again before it has NATS.
func TestStandby_LeaderWithoutNATSResigns(t *testing.T) {
	t.Parallel()
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()}).ClientURL()
	a, _, toNATS := newBehind(t, dsn, nats)
	testbed.Eventually(t, "the first leads", func() bool { return a.leads(t) })
	b := startMember(t, dsn, nats)
	testbed.Eventually(t, "the second stands by", func() bool { return b.role(t) == "standby" })
	before := a.status(t)
	testbed.Eventually(t, "the leader has seen the standby", func() bool { return a.HasStandby() })
	toNATS.set(true)
	testbed.Eventually(t, "the second leads", func() bool { return b.leads(t) })
	if a.leads(t) {
		t.Error("two dispatchers say that they lead")
	}
	if after := b.status(t); after.Term <= before.Term {
		t.Errorf("the term is %d after %d", after.Term, before.Term)
	}
	toNATS.set(false)
	testbed.Eventually(t, "the first stands by", func() bool { return a.role(t) == "standby" })
}
