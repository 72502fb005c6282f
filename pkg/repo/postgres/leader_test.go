package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

// observe reads the leader row.
func observe(t *testing.T, s *Store) repo.LeaderRow {
	t.Helper()
	row, err := s.Leader().Observe(testbed.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// claim is that of a holder that asks for no time of its own.
func claim(holder string) repo.LeaderClaim { return repo.LeaderClaim{Holder: holder} }

// mustTake makes a holder the leader, and has the store write with its term.
func mustTake(t *testing.T, s *Store, holder string) int64 {
	t.Helper()
	term, err := s.Leader().Take(testbed.Context(t), observe(t, s), claim(holder))
	if err != nil {
		t.Fatal(err)
	}
	s.SetTerm(term)
	return term
}

// The holder of the row renews and resigns; nobody else can, and a row that has changed
// since it was seen is not taken.
func TestLeader_OnlyHolderRenewsAndResigns(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	l := s.Leader()
	empty := observe(t, s)
	if !empty.Free() || empty.Term != 0 {
		t.Errorf("a new database has %+v", empty)
	}
	before := time.Now()
	term := mustTake(t, s, "a")
	if term < before.UnixMilli() {
		t.Errorf("the term %d is less than the milliseconds of the clock, %d", term, before.UnixMilli())
	}
	if err := errors.Join(l.Renew(ctx, term, claim("a")), l.Renew(ctx, term, claim("a"))); err != nil {
		t.Fatal(err)
	}
	seen := observe(t, s)
	if want := (repo.LeaderRow{Term: term, Holder: "a", Renewals: 2, Backend: seen.Backend}); seen != want || seen.Backend == 0 {
		t.Errorf("after two renewals: %+v, want %+v", seen, want)
	}
	for name, err := range map[string]error{
		"renewal of another":       l.Renew(ctx, term, claim("b")),
		"renewal of another term":  l.Renew(ctx, term-1, claim("a")),
		"resignation of another":   l.Resign(ctx, term, "b"),
		"takeover of an older row": second(l.Take(ctx, empty, claim("b"))),
	} {
		if !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s: %v, want ErrNotLeader", name, err)
		}
	}
	next, err := l.Take(ctx, seen, claim("b"))
	if err != nil || next <= term {
		t.Errorf("Take = %d, %v after the term %d", next, err, term)
	}
	if err := l.Renew(ctx, term, claim("a")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a renewal after a takeover: %v, want ErrNotLeader", err)
	}
	if err := l.Resign(ctx, next, "b"); err != nil {
		t.Fatal(err)
	}
	if row := observe(t, s); !row.Free() || row.Term != next {
		t.Errorf("after the resignation: %+v", row)
	}
}

func second[T any](_ T, err error) error { return err }

// Who waits for the row waits for the time to live of its holder, if that is longer: an import
// does not depose a leader that renews rarely.
func TestLeader_LongerTimeToLiveIsWaitedFor(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	const ttl = time.Second
	s := mustOpen(t, Config{DSN: dsn})
	holder := repo.LeaderClaim{Holder: "a", TTL: ttl}
	term, err := s.Leader().Take(ctx, observe(t, s), holder)
	if err != nil {
		t.Fatal(err)
	}
	if row := observe(t, s); row.TTL != ttl {
		t.Errorf("after a takeover: %+v", row)
	}
	if _, err := s.r.Exec(ctx, "UPDATE leader SET ttl = 0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Leader().Renew(ctx, term, holder); err != nil {
		t.Fatal(err)
	}
	if row := observe(t, s); row.TTL != ttl {
		t.Errorf("after a renewal: %+v", row)
	}
	begin := time.Now()
	release, err := mustOpen(t, Config{DSN: dsn}).Hold(ctx, "import", time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if waited := time.Since(begin); waited < ttl {
		t.Errorf("the row was taken after %v, the time to live of its holder is %v", waited, ttl)
	}
	if row := observe(t, s); row.TTL != time.Millisecond {
		t.Errorf("of the import: %+v", row)
	}
}

// A database whose clock is behind its term gives a higher term all the same.
func TestLeader_TermRisesWithoutClock(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	const far = int64(1) << 50
	if _, err := s.r.Exec(ctx, "UPDATE leader SET term = $1", far); err != nil {
		t.Fatal(err)
	}
	if term := mustTake(t, s, "a"); term != far+1 {
		t.Errorf("the term is %d, want %d", term, far+1)
	}
}

// After a takeover nothing of the old leader commits, whatever its batch has.
func TestStore_FencedCommitWritesNothing(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	old := mustOpen(t, Config{DSN: dsn})
	mustTake(t, old, "old")
	next := repotest.NewGenerator(100)
	if err := old.Commit(ctx, next()); err != nil {
		t.Fatal(err)
	}
	young := mustOpen(t, Config{DSN: dsn})
	mustTake(t, young, "young")
	before, err := young.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := next()
	b.Workers = []model.WorkerChange{{ID: "w", Put: &model.Worker{ID: "w"}}}
	for range 2 {
		if err := old.Commit(ctx, b); !errors.Is(err, ErrFenced) || !errors.Is(err, repo.ErrFenced) {
			t.Fatalf("Commit of the old leader: %v, want ErrFenced", err)
		}
	}
	after, err := young.Counts(ctx)
	if err != nil || after.Total() != before.Total() {
		t.Errorf("the old leader wrote: %v, before %v (%v)", after, before, err)
	}
	if workers, err := young.Workers(ctx); err != nil || len(workers) != 0 {
		t.Errorf("the old leader wrote %d workers (%v)", len(workers), err)
	}
	if err := young.Commit(ctx, b); err != nil {
		t.Errorf("the same batch of the new leader: %v", err)
	}
}

// What PostgreSQL has ended before a synchronous standby had it is an error: a term may be
// lost, and so may tasks and a copy. It says so by a warning, which a default of the database
// cannot hide.
func TestCommit_UnconfirmedIsAnError(t *testing.T) {
	server := testpostgres.Start(t)
	for name, begin := range map[string]func(*testing.T, *Store) func(context.Context) error{
		"a takeover": func(t *testing.T, s *Store) func(context.Context) error {
			row := observe(t, s)
			return func(ctx context.Context) error { return second(s.Leader().Take(ctx, row, claim("a"))) }
		},
		"tasks": func(_ *testing.T, s *Store) func(context.Context) error {
			return func(ctx context.Context) error { return s.Commit(ctx, newTask(1)) }
		},
		"a copy": func(t *testing.T, s *Store) func(context.Context) error {
			w, err := Target(s, "migrate").Begin(testbed.Context(t), repo.CopyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			record := repo.Record{Task: newTask(1).Tasks[0].Put}
			digest := repo.Digest{}
			if err := errors.Join(second(w.Put(testbed.Context(t), []repo.Record{record})), digest.Add(&record)); err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error { return second(w.Finish(ctx, digest)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testbed.Context(t)
			dsn := server.Database(t)
			setDefault(t, dsn, "client_min_messages", "error")
			s := mustOpen(t, Config{DSN: dsn})
			commit := begin(t, s)
			alterSystem(t, dsn, "synchronous_standby_names = 'gone'")
			testbed.Eventually(t, "commits wait", func() bool { return hangs(t, dsn) })
			ended := make(chan error, 1)
			go func() { ended <- commit(ctx) }()
			var err error
			testbed.Eventually(t, "its waits are ended", func() bool {
				if _, failed := s.r.Exec(ctx, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); failed != nil {
					t.Fatal(failed)
				}
				select {
				case err = <-ended:
					return true
				default:
					return false
				}
			})
			if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "no synchronous standby has it") {
				t.Errorf("the error is %v", err)
			}
			alterSystem(t, dsn, "synchronous_standby_names = ''") // or the end of the test waits
		})
	}
}

// A transaction of the old leader that hangs does not keep its row: its session is ended,
// and what it had written is not there. A renewal does not wait for it.
func TestLeader_TakeEndsHungTransaction(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	s := mustOpen(t, Config{DSN: dsn})
	term := mustTake(t, s, "old")
	hung, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close(context.Background())
	tx, err := hung.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SELECT aria_fence(0)", "INSERT INTO tombstones VALUES ('x', '', 1)"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	dump, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close(context.Background())
	for _, sql := range []string{"BEGIN", "SELECT 1 FROM leader"} {
		if _, err := dump.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Leader().Renew(ctx, term, claim("old")); err != nil {
		t.Errorf("a renewal beside an open transaction: %v", err)
	}
	if _, err := tx.Exec(ctx, "SELECT 1"); err != nil { // it has not waited for the end of the transaction
		t.Errorf("the transaction after the renewal: %v", err)
	}
	mustTake(t, s, "young")
	if _, err := tx.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the session of the old leader is still there")
	}
	if _, err := dump.Exec(ctx, "SELECT 1"); err != nil {
		t.Errorf("a session that only reads the leader row was ended: %v", err)
	}
	if found, err := s.Tombstones(ctx, []string{"x"}); err != nil || len(found) != 0 {
		t.Errorf("the hung transaction has written %v (%v)", found, err)
	}
}

// A session that holds a row of the leadership, in whatever way, does not keep a takeover from
// it.
func TestLeader_TakeEndsSessionThatHoldsRow(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	s := mustOpen(t, Config{DSN: dsn})
	mustTake(t, s, "old")
	for _, sql := range []string{
		"SELECT 1 FROM leader FOR UPDATE", "SELECT 1 FROM fence FOR UPDATE",
		"UPDATE leader SET renewals = renewals", "UPDATE fence SET term = term", "DELETE FROM fence",
	} {
		hung, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hung.Exec(ctx, "BEGIN; "+sql); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Leader().Take(ctx, observe(t, s), claim("young")); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		_ = hung.Close(context.WithoutCancel(ctx)) // it was ended
	}
}

// A renewal that waits for a synchronous standby is not canceled when its time is over: it
// would be committed on this server alone. A later takeover does not wait for its session.
func TestLeader_RenewalIsNotCanceled(t *testing.T) {
	ctx := testbed.Context(t)
	server := testpostgres.Start(t)
	dsn := server.Database(t)
	s := mustOpen(t, Config{DSN: dsn})
	term := mustTake(t, s, "a")
	alterSystem(t, dsn, "synchronous_standby_names = 'gone'")
	testbed.Eventually(t, "commits wait", func() bool { return hangs(t, dsn) })
	conn := s.leader.conn.PgConn()
	renewing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.Leader().Renew(renewing, term, claim("a")); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("Renew: %v", err)
	}
	if err := conn.CancelRequest(ctx); !errors.Is(err, errNoCancel) {
		t.Errorf("its connection can be canceled: %v", err)
	}
	alterSystem(t, dsn, "synchronous_standby_names = ''")
	testbed.Eventually(t, "another one takes over", func() bool {
		err := second(s.Leader().Take(ctx, observe(t, s), claim("b")))
		if err != nil && !errors.Is(err, ErrNotLeader) { // the renewal is committed only now
			t.Fatal(err)
		}
		return err == nil
	})
}
