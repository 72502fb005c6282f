package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/app"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// member is a dispatcher of several at one database.
type member struct {
	*app.Daemon
	log    *testbed.Log
	cancel context.CancelFunc
	ended  chan error
}

// startMember starts a dispatcher at a database and a NATS server.
func startMember(t *testing.T, dsn, nats string) *member {
	t.Helper()
	c := config.DefaultDispatcher()
	onPostgres(dsn)(c)
	c.NATS.URL, c.HTTP.Listen, c.HTTP.OpenRole = config.URLs(nats), "127.0.0.1:0", "operator"
	m := &member{log: &testbed.Log{}, ended: make(chan error, 1)}
	d, err := app.New(testbed.Context(t), c, "v1.2.3", m.log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	m.Daemon = d
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	m.cancel = cancel
	go func() { m.ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		m.stop(t)
		if t.Failed() {
			t.Logf("it logged:\n%s", m.log)
		}
	})
	return m
}

// stop ends it as SIGTERM does.
func (m *member) stop(t *testing.T) {
	if m.cancel == nil {
		return
	}
	m.cancel()
	m.cancel = nil
	if err := <-m.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// ask performs a request over HTTP.
func (m *member) ask(t *testing.T, method, path, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testbed.Context(t), method, "http://"+m.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// role is what /readyz says.
func (m *member) role(t *testing.T) string {
	t.Helper()
	_, _, body := m.ask(t, "GET", "/readyz", "")
	var ready struct{ Status, Role string }
	if json.Unmarshal([]byte(body), &ready) != nil || ready.Status != "ready" {
		return ""
	}
	return ready.Role
}

// timeToLive is what the leader row says of its holder, to those who wait for it.
func timeToLive(t *testing.T, dsn string) time.Duration {
	t.Helper()
	var ms int64
	at(t, dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(testbed.Context(t), "SELECT ttl FROM leader").Scan(&ms)
	})
	return time.Duration(ms) * time.Millisecond
}

// Two dispatchers at one database: the second stands by, and says so on /readyz, in the
// metrics, in its service and to each request. When the first is stopped, the second leads
// within a second, with a higher term and everything that was acknowledged; the first, when
// it is started again, stands by.
func TestStandby_TakesOverWhenTheLeaderStops(t *testing.T) {
	dsn := strings.Replace(testpostgres.Database(t), "aria@", "aria:hunter2@", 1)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	a := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the first leads", func() bool { return a.role(t) == "leader" })
	if got, want := timeToLive(t, dsn), config.DefaultDispatcher().Database.LeaderTTL.Std(); got != want {
		t.Errorf("the leader row has the time to live %v, want %v", got, want)
	}
	b := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the second stands by and knows the leader", func() bool {
		_, h, _ := b.ask(t, "POST", "/api/v1/query/status", "")
		return b.role(t) == "standby" && h.Get("Aria-Leader") != ""
	})
	submit := func(m *member, id string) (int, string) {
		code, _, body := m.ask(t, "POST", "/api/v1/task/submit?client=shop", `{"id":"`+id+`","url":"https://files.example/`+id+`"}`)
		return code, body
	}
	if code, body := submit(a, "first"); code != 200 {
		t.Fatalf("a submit at the leader: %d %s", code, body)
	}
	for _, path := range []string{"/", "/api/v1/query/status", "/api/v1/task/submit"} {
		if code, h, body := b.ask(t, "POST", path, "{}"); code != 503 || !strings.Contains(h.Get("Aria-Leader"), "pid") || !strings.Contains(body, "stands by; the leader is") {
			t.Errorf("%s of a standby: %d %s %s", path, code, h.Get("Aria-Leader"), body)
		}
	}
	if code, _, _ := b.ask(t, "GET", "/readyz?role=leader", ""); code != 503 {
		t.Errorf("/readyz?role=leader of a standby: %d", code)
	}
	if code, _, _ := a.ask(t, "GET", "/readyz?role=leader", ""); code != 200 {
		t.Errorf("/readyz?role=leader of the leader: %d", code)
	}
	roles := discover(t, nats.ClientURL())
	if roles["leader"] == 0 || roles["standby"] != 0 || len(roles) != 2 {
		t.Errorf("the services have these roles and numbers of endpoints: %v", roles)
	}
	before := a.status(t)
	began := time.Now()
	a.stop(t)
	testbed.Eventually(t, "the second answers", func() bool { code, _ := submit(b, "second"); return code == 200 })
	t.Logf("the second answered %v after the begin of the stop", time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
	after := b.status(t)
	if before.Role != "leader" || after.Role != "leader" || after.Term <= before.Term || after.TotalTasks != 2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, _, body := b.ask(t, "GET", "/metrics", ""); !strings.Contains(body, "aria_leader 1") {
		t.Error("the metrics do not say that it leads")
	}
	again := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the first stands by", func() bool { return again.role(t) == "standby" })
	if _, _, body := again.ask(t, "GET", "/metrics", ""); !strings.Contains(body, "aria_leader 0") || !strings.Contains(body, "aria_term 0") {
		t.Error("the metrics do not say that it stands by")
	}
	for _, m := range []*member{a, b, again} {
		if strings.Contains(m.log.String(), "hunter2") {
			t.Error("the log has the password")
		}
	}
}

func (m *member) status(t *testing.T) (s model.ClusterStatus) {
	t.Helper()
	code, _, body := m.ask(t, "POST", "/api/v1/query/status", "")
	if code != 200 || json.Unmarshal([]byte(body), &s) != nil {
		t.Errorf("status: %d %s", code, body)
	}
	return s
}

// discover returns the roles of the services, with their numbers of endpoints.
func discover(t *testing.T, url string) map[string]int {
	t.Helper()
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$SRV.INFO.aria-dispatcher", inbox, nil); err != nil {
		t.Fatal(err)
	}
	roles := make(map[string]int)
	for len(roles) < 2 {
		m, err := sub.NextMsg(testbed.Patience)
		if err != nil {
			t.Fatalf("only %v answered: %v", roles, err)
		}
		var info micro.Info
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		roles[info.Metadata["role"]] = len(info.Endpoints)
	}
	return roles
}
