package app_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// beginFinalCopy begins a final export as migrate --final does.
func beginFinalCopy(t *testing.T, url string) (*transfer.RemoteStore, repo.Snapshot) {
	t.Helper()
	ctx := testbed.Context(t)
	nc, err := bus.Connect(ctx, bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	r, err := transfer.NewRemoteStore(nc, "aria.v1", true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// finalCopy reads a final export as migrate --final does. It returns the store of the
// dispatcher.
func finalCopy(t *testing.T, url string) *transfer.RemoteStore {
	t.Helper()
	ctx := testbed.Context(t)
	r, s := beginFinalCopy(t, url)
	var err error
	for _, failed := range s.Tasks(ctx, 0) {
		err = errors.Join(err, failed)
	}
	_, failed := s.Workers(ctx)
	if err := errors.Join(err, failed, s.Close()); err != nil {
		t.Fatal(err)
	}
	return r
}

// refusesSubmits waits until the dispatcher refuses a submit because its tasks are moved, and
// fails if it accepts one.
func refusesSubmits(t *testing.T, m *member) {
	t.Helper()
	testbed.Eventually(t, "a submit is refused because the tasks are moved", func() bool {
		code, _, body := m.ask(t, "POST", "/api/v1/task/submit?client=shop", `{"url":"https://files.example/lost"}`)
		if code == 200 {
			t.Fatalf("a submit is accepted after the final copy: %s", body)
		}
		return strings.Contains(body, "are moved to another store")
	})
}

// After a final copy no dispatcher at the database accepts a write: not a standby that takes
// over, and not the process that leads in another term. A thaw ends that.
func TestFreeze_OutlivesTermAndLeader(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	a := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the first leads", func() bool { return a.role(t) == "leader" })
	r := finalCopy(t, nats.ClientURL())
	refusesSubmits(t, a)

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	before := a.status(t).Term
	if _, err := conn.Exec(ctx, "UPDATE leader SET holder = '', renewals = renewals + 1"); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it leads in another term", func() bool {
		code, _, body := a.ask(t, "POST", "/api/v1/query/status", "")
		var now model.ClusterStatus
		return code == 200 && json.Unmarshal([]byte(body), &now) == nil && now.Term > before
	})
	refusesSubmits(t, a)

	b := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the second stands by", func() bool { return b.role(t) == "standby" })
	a.stop(t)
	testbed.Eventually(t, "the second leads", func() bool { return b.role(t) == "leader" })
	refusesSubmits(t, b)
	if err := r.Thaw(ctx); err != nil {
		t.Fatal(err)
	}
	if code, _, body := b.ask(t, "POST", "/api/v1/task/submit?client=shop", `{"url":"https://files.example/x"}`); code != 200 {
		t.Errorf("a submit after the thaw: %d %s", code, body)
	}
}

// A leader that is stopped during a final copy leaves a database that accepts writes: the copy
// fails, and nothing else would end the refusal.
func TestFreeze_StopDuringCopyAcceptsWrites(t *testing.T) {
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	a := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the first leads", func() bool { return a.role(t) == "leader" })
	b := startMember(t, dsn, nats.ClientURL())
	testbed.Eventually(t, "the second stands by", func() bool { return b.role(t) == "standby" })
	_, snap := beginFinalCopy(t, nats.ClientURL())
	refusesSubmits(t, a)
	a.stop(t)
	testbed.Eventually(t, "the second leads and accepts a submit", func() bool {
		code, _, body := b.ask(t, "POST", "/api/v1/task/submit?client=shop", `{"url":"https://files.example/x"}`)
		if strings.Contains(body, "are moved to another store") {
			t.Fatalf("the next leader refuses submits: %s", body)
		}
		return code == 200
	})
	if err := snap.Close(); err == nil {
		t.Error("the copy has not failed")
	}
}
