package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// Dispatchers that start at the same time on an empty database migrate it once, and all
// of them start.
func TestOpen_SimultaneousStartsMigrateOnce(t *testing.T) {
	for range 5 {
		dsn := testpostgres.Database(t)
		errs := make(chan error)
		const starts = 4
		for range starts {
			go func() {
				s, err := postgres.Open(testbed.Context(t), postgres.Config{DSN: dsn})
				if err == nil {
					err = s.Close()
				}
				errs <- err
			}()
		}
		for range starts {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}

// A migration does not wait for the lock of another transaction for long, so that it does
// not hold up a leader; when the lock is free, the next start migrates.
func TestOpen_LockedTableRefusesMigrationSoon(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	other, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	for _, sql := range []string{"BEGIN", "CREATE TABLE workers (id text)"} {
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err = postgres.Open(ctx, postgres.Config{DSN: dsn})
	if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "keeps a table locked") {
		t.Errorf("Open beside a transaction that has the table: %v", err)
	}
	if _, err := other.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(ctx, postgres.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// endedBy is a context with a deadline that has passed when the channel is closed.
type endedBy struct {
	context.Context
	passed <-chan struct{}
}

func (e endedBy) Done() <-chan struct{} { return e.passed }

func (e endedBy) Err() error {
	select {
	case <-e.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A start that waits for a migration by another session says so, and its error names that
// session.
func TestOpen_HeldMigrationLockIsNamed(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	other, err := pgx.Connect(ctx, dsn+"&application_name=forgotten")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	if _, err := other.Exec(ctx, "SELECT pg_advisory_lock(1634888033)"); err != nil {
		t.Fatal(err)
	}
	var log testbed.Log
	want := fmt.Sprintf("process id %d, application_name 'forgotten'", other.PgConn().PID())
	passed, opened := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := postgres.Open(endedBy{ctx, passed}, postgres.Config{DSN: dsn, Logger: log.Logger()})
		opened <- err
	}()
	testbed.Eventually(t, "it says that it waits", func() bool { return strings.Contains(log.String(), want) })
	close(passed)
	if err := testbed.Receive(t, opened); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), want) {
		t.Errorf("Open beside a session that has the lock: %v; the log:\n%s", err, &log)
	}
}
