package postgres

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// putWorker returns a batch with one worker.
func putWorker(drained bool) *model.Batch {
	w := &model.Worker{ID: "w", Drained: drained, Status: model.WorkerOnline}
	return &model.Batch{Workers: []model.WorkerChange{{ID: w.ID, Put: w}}}
}

// A commit of unknown outcome that the server begins only after the load writes nothing: not
// over what was acknowledged since, and no task that the engine does not know.
func TestFence_LateCommitWritesNothing(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Start(t).Database(t), Timeout: 4 * time.Second})
	mustTake(t, s, "a")
	for round := range int64(2) { // the generation rises each time
		put := func(seq int64) *model.Batch {
			b := putWorker(false)
			b.Tasks = newTask(2*round + seq).Tasks
			return b
		}
		if err := s.Commit(ctx, put(1)); err != nil { // also prepares the statements: the next one is sent at once
			t.Fatal(err)
		}
		late := int(s.w.backend.Load())
		if err := syscall.Kill(late, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(late, syscall.SIGCONT) }) // it may have ended
		if err := s.Commit(ctx, put(2)); model.CodeOf(err) != model.CodeUnavailable {
			t.Fatalf("a commit to a session that hangs: %v", err)
		}
		before, err := live(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(ctx, putWorker(true)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(late, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		testbed.Eventually(t, "the session has done what it was sent, and has ended", func() bool {
			var there bool
			err := s.r.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", late).Scan(&there)
			return err == nil && !there
		})
		workers, err := s.Workers(ctx)
		if err != nil || len(workers) != 1 || !workers[0].Drained {
			t.Errorf("the late commit has undone a drain that was acknowledged: %v, %v", workers, err)
		}
		if after, err := live(ctx, s); err != nil || !slices.Equal(after, before) {
			t.Errorf("the late commit has written: %v, before %v (%v)", after, before, err)
		}
	}
}

// A session that holds the fence does not keep a leader from waiting for its commit of unknown
// outcome: the session is ended.
func TestFence_HungSessionIsEndedByBarrier(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	s := mustOpen(t, Config{DSN: dsn})
	mustTake(t, s, "a")
	hung, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close(context.WithoutCancel(ctx))
	if _, err := hung.Exec(ctx, "BEGIN; UPDATE fence SET frozen = frozen"); err != nil {
		t.Fatal(err)
	}
	s.w.unsettled.Store(true)
	if _, err := live(ctx, s); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("Live while the fence is held: %v", err)
	}
	if _, err := live(ctx, s); err != nil {
		t.Errorf("Live after that: %v", err)
	}
	if _, err := hung.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the session that held the fence is still there")
	}
}

// A barrier of unknown outcome that comes late does not fence the leader itself.
func TestFence_LateBarrierChangesNothing(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	mustTake(t, s, "a")
	s.w.asked = 1 // that of the barrier, which is on its way
	s.w.unsettled.Store(true)
	if err := s.Commit(ctx, newTask(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.r.Exec(ctx, "UPDATE fence SET generation = greatest(generation, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, newTask(2)); err != nil {
		t.Error(err)
	}
	mustTake(t, s, "b")
	if err := s.Commit(ctx, newTask(3)); err != nil {
		t.Errorf("a commit in the next term: %v", err)
	}
}

// A freeze is there for each leader that follows, a deposed one does not change it, and a copy
// into the database ends it.
func TestFreeze_IsFencedAndEndsWithImport(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	old, young := mustOpen(t, Config{DSN: dsn}), mustOpen(t, Config{DSN: dsn})
	mustTake(t, old, "old")
	want := func(when string, want bool) {
		t.Helper()
		if frozen, err := young.Frozen(ctx); err != nil || frozen != want {
			t.Errorf("%s: frozen %v (%v)", when, frozen, err)
		}
	}
	want("at first", false)
	if err := old.SetFrozen(ctx, true); err != nil {
		t.Fatal(err)
	}
	mustTake(t, young, "young")
	want("after a takeover", true)
	if err := old.SetFrozen(ctx, false); !errors.Is(err, ErrFenced) {
		t.Errorf("a thaw of the old leader: %v, want ErrFenced", err)
	}
	want("after the thaw of the old leader", true)
	if err := young.Leader().Resign(ctx, young.term.Load(), "young"); err != nil {
		t.Fatal(err)
	}
	w, err := Target(young, "migrate").Begin(ctx, repo.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(ctx, repo.Digest{}); err != nil {
		t.Fatal(err)
	}
	want("after a copy into it", false)
}

// A dispatcher of the version before, which does not know the generation, leads with this
// schema.
func TestFence_VersionBeforeWrites(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	term := mustTake(t, s, "a")
	s.w.unsettled.Store(true) // the generation is not 0
	if err := s.Commit(ctx, newTask(1)); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"WITH next AS (UPDATE leader SET holder = 'b', backend_pid = 0, renewals = 0, term = term + 1 RETURNING term) UPDATE fence SET term = next.term FROM next",
		"UPDATE leader SET renewals = renewals + 1, backend_pid = 1 WHERE holder = 'b'",
		"SELECT aria_fence(term) FROM leader",
	} {
		if _, err := s.r.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := s.r.Exec(ctx, "SELECT aria_fence($1)", term); err == nil {
		t.Error("a term of before is not refused")
	}
	mustTake(t, s, "c")
	if err := s.Commit(context.WithoutCancel(ctx), newTask(2)); err != nil {
		t.Errorf("a commit after that of the version before: %v", err)
	}
}

// A dispatcher of the version before, which does not know the freeze, writes nothing while there
// is one. One of this version settles a commit and ends the freeze then.
func TestFreeze_VersionBeforeWritesNothing(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	mustTake(t, s, "a")
	for _, frozen := range []bool{false, true, false} {
		s.w.unsettled.Store(true) // the fence is asked while it is frozen, too
		if err := s.SetFrozen(ctx, frozen); err != nil {
			t.Fatal(err)
		}
		s.w.unsettled.Store(true)
		if got, err := s.Frozen(ctx); got != frozen || err != nil {
			t.Errorf("frozen: %v (%v), want %v", got, err, frozen)
		}
		_, err := s.r.Exec(ctx, "SELECT aria_fence(term) FROM leader")
		var server *pgconn.PgError
		if fenced := errors.As(err, &server) && server.Code == codeFenced; fenced != frozen || !fenced && err != nil {
			t.Errorf("the version before writes, frozen %v: %v", frozen, err)
		}
	}
}
