package postgres

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// slowWorkers makes each read of the workers take that long.
func slowWorkers(t *testing.T, dsn string, seconds int) {
	t.Helper()
	execute(t, dsn, "ALTER TABLE workers RENAME TO workers_kept",
		fmt.Sprintf("CREATE VIEW workers AS SELECT * FROM workers_kept WHERE (SELECT pg_sleep(%d)::text) IS NOT NULL", seconds))
}

// A start reads for longer than the timeout while PostgreSQL works on it, as on the dead rows
// that an old transaction keeps: else no dispatcher could ever lead.
func TestLoad_TakesLongWhileTheServerWorks(t *testing.T) {
	t.Parallel()
	dsn := testpostgres.Database(t)
	log := &testbed.Log{}
	s := mustOpen(t, Config{DSN: dsn, Timeout: time.Second, Logger: log.Logger()})
	slowWorkers(t, dsn, 3)
	if _, err := s.Workers(testbed.Context(t)); err != nil {
		t.Errorf("a read of three times the timeout: %v", err)
	}
	if !strings.Contains(log.String(), "a read takes long") || !strings.Contains(log.String(), "action=workers") {
		t.Errorf("the log does not say what takes long:\n%s", log)
	}
	ctx, cancel := context.WithTimeout(testbed.Context(t), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Workers(ctx); ctx.Err() == nil || err == nil {
		t.Errorf("after the end of its caller: %v", err)
	}
}

// A server that does not confirm that it works on a read has the timeout only.
func TestLoad_HangingServerIsGivenUp(t *testing.T) {
	t.Parallel()
	server := testpostgres.Start(t)
	dsn := server.Database(t)
	s := mustOpen(t, Config{DSN: dsn, Timeout: time.Second})
	slowWorkers(t, dsn, 600)
	server.Signal(t, syscall.SIGSTOP) // it accepts no connection
	defer server.Signal(t, syscall.SIGCONT)
	if _, err := s.Workers(testbed.Context(t)); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("a read of a server that hangs: %v", err)
	}
}
