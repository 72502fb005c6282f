package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// copyOf makes a database that has the id of another one, as a copy of it has, with a term
// that is further by more.
func copyOf(t *testing.T, dsn string, more time.Duration) (twin string) {
	t.Helper()
	ctx := testbed.Context(t)
	twin = testpostgres.Database(t)
	s, err := postgres.Open(ctx, postgres.Config{DSN: twin})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var id string
	var term int64
	at(t, dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT store_id, term FROM leader").Scan(&id, &term)
	})
	for _, sql := range []string{"UPDATE leader SET store_id = $1, term = $2, holder = 'the leader before'", "UPDATE fence SET term = $2 WHERE $1 <> ''"} {
		at(t, twin, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql, id, term+more.Milliseconds())
			return err
		})
	}
	return twin
}

// at calls f with a connection to a database.
func at(t *testing.T, dsn string, f func(*pgx.Conn) error) {
	t.Helper()
	ctx := testbed.Context(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := f(conn); err != nil {
		t.Fatal(err)
	}
}

// conflict reports whether a dispatcher says that it does not lead because of another
// database.
func (m *member) conflict(t *testing.T) bool {
	code, _, body := m.ask(t, http.MethodGet, "/readyz", "")
	_, _, metrics := m.ask(t, http.MethodGet, "/metrics", "")
	return code == http.StatusServiceUnavailable && strings.Contains(body, "two databases with one store_id") &&
		strings.Contains(metrics, "aria_leader_conflict 1") && strings.Contains(metrics, "aria_leader 0")
}

// A dispatcher at a copy of the database, beside a leader at the original, does not lead. It
// says why, also when the leader is gone, and leads when it is started again then.
func TestLeaderConflict_CopyBesideTheOriginalIsRefused(t *testing.T) {
	t.Parallel()
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()}).ClientURL()
	a := startMember(t, dsn, nats)
	testbed.Eventually(t, "the first leads", func() bool { return a.leads(t) })
	exact := startMember(t, copyOf(t, dsn, 0), nats) // as of last night
	twin := copyOf(t, dsn, -time.Hour)
	b := startMember(t, twin, nats)
	testbed.Eventually(t, "the others are refused", func() bool { return b.conflict(t) && exact.conflict(t) })
	if !a.leads(t) {
		t.Error("the first leads no longer")
	}
	a.stop(t)
	if !b.conflict(t) || !exact.conflict(t) {
		t.Error("the others forget the other database")
	}
	exact.stop(t)
	b.stop(t)
	again := startMember(t, twin, nats)
	testbed.Eventually(t, "it leads when it is started alone", func() bool { return again.leads(t) })
}

// Of two leaders at two databases with one id, that with the lower term stops leading, and so
// do the standbys of its database: none of them takes over.
func TestLeaderConflict_LowerTermStepsDown(t *testing.T) {
	t.Parallel()
	dsn := testpostgres.Database(t)
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()}).ClientURL()
	a := startMember(t, dsn, nats)
	testbed.Eventually(t, "the first leads", func() bool { return a.leads(t) })
	standby := startMember(t, dsn, nats)
	testbed.Eventually(t, "a second one stands by", func() bool { return standby.role(t) == "standby" })
	b := startMember(t, copyOf(t, dsn, time.Hour), nats) // as after the promotion of a standby of PostgreSQL
	testbed.Eventually(t, "the third leads", func() bool { return b.leads(t) })
	testbed.Eventually(t, "the first two do not lead", func() bool { return a.conflict(t) && standby.conflict(t) })
	if !b.leads(t) {
		t.Error("the third leads no longer")
	}
	if !strings.Contains(a.log.String(), "another dispatcher leads another database with this store_id") {
		t.Error("the first does not say why it leads no longer")
	}
}

// A standby of PostgreSQL is promoted while the old primary still takes the writes of the
// leader. A dispatcher at the new one does not depose it, because it cannot tell its database
// from an outdated copy. When the old primary has stopped, the first dispatcher leads at the new
// one, without a restart, and the second stands by.
func TestLeaderConflict_OldPrimaryRunsAfterPromotion(t *testing.T) {
	t.Parallel()
	primary := testpostgres.Start(t)
	standby := primary.StartStandby(t)
	at(t, primary.DSN("postgres"), func(conn *pgx.Conn) error {
		for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"} {
			if _, err := conn.Exec(testbed.Context(t), sql); err != nil {
				return err
			}
		}
		return nil
	})
	nats := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()}).ClientURL()
	a := startMember(t, strings.Replace(primary.DSN("postgres"), primary.Address(), primary.Address()+","+standby.Address(), 1), nats)
	testbed.Eventually(t, "the first leads", func() bool { return a.leads(t) })
	before := a.status(t)
	testbed.Eventually(t, "the standby has its term", func() bool {
		same := false
		at(t, standby.DSN("postgres"), func(conn *pgx.Conn) error {
			return conn.QueryRow(testbed.Context(t), "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'leader')").Scan(&same)
		})
		if same {
			at(t, standby.DSN("postgres"), func(conn *pgx.Conn) error {
				return conn.QueryRow(testbed.Context(t), "SELECT term = $1 FROM leader", before.Term).Scan(&same)
			})
		}
		return same
	})
	standby.Promote(t)
	b := startMember(t, standby.DSN("postgres"), nats)
	testbed.Eventually(t, "the second says why it does not lead", func() bool { return b.conflict(t) })
	if !a.leads(t) || a.status(t).Term != before.Term {
		t.Errorf("the first leads no longer: %+v", a.status(t))
	}
	primary.Stop(t)
	testbed.Eventually(t, "the first leads at the new primary, and the second stands by there", func() bool {
		return a.leads(t) && b.role(t) == "standby" && !b.conflict(t)
	})
}
