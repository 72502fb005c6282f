package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// writer is the one connection that writes.
type writer struct {
	mu      sync.Mutex
	conn    *pgx.Conn                // nil after a failure that left its state unknown
	running atomic.Pointer[net.Conn] // of the commit under way; see Interrupt
	backend atomic.Int64             // process id of its session, also of the last one
	// unsettled is set by a commit of unknown outcome, which the server may still
	// complete: nothing is loaded and nothing written before it has been waited for.
	unsettled atomic.Bool
	// generation is that of the fence for this writer. Only a settle raises it, to one more
	// than asked, which is the highest that a settle has tried to set.
	generation atomic.Int64
	asked      int64
	// unconfirmed is set by the server's warning that a commit is on this server alone.
	unconfirmed atomic.Bool

	inspected durability // of the last connection

	folded   time.Time // when the counters were last replaced by their sum
	position position
	forms    map[updateKey]*updateForm

	inserted int // rows since the plans were made
	replanAt int // how many of these make them obsolete; see mayReplan
}

// The bounds of writer.replanAt.
const (
	firstReplan = 64
	lastReplan  = 4096
)

// mayReplan reports whether the plans of the statements were made for a much smaller table.
// PostgreSQL keeps a plan until the table is analyzed: one that was made while the table was
// empty, and that scans it, would be used for the first minute of a load.
func (w *writer) mayReplan(inserted int) bool {
	if w.inserted += inserted; w.inserted < w.replanAt {
		return false
	}
	w.inserted, w.replanAt = 0, min(2*w.replanAt, lastReplan)
	return true
}

// connect opens a connection unless the writer has one.
func (w *writer) connect(ctx context.Context, s *Store) error {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	c, d := s.connConfig()
	c.OnNotice = noteUnconfirmed(&w.unconfirmed)
	conn, err := s.connect(ctx, c)
	if err != nil {
		return err
	}
	more := []string{transactionTimeout, "plan_cache_mode = force_generic_plan"}
	if s.config.Synchronous == Normal {
		more = append(more, "synchronous_commit = off")
	}
	if err := s.prepareSession(ctx, conn, more...); err != nil {
		_ = conn.Close(ctx) // the first error says more
		return err
	}
	registerArrays(conn.TypeMap())
	if err := s.inspect(ctx, conn); err != nil {
		_ = conn.Close(ctx) // the first error says more
		return err
	}
	if s.mark.known() > 0 { // not before the first migration
		if err := s.checkCommits(ctx, conn); err != nil {
			_ = conn.Close(ctx) // the first error says more
			return err
		}
	}
	d.lock()
	w.conn, w.inserted, w.replanAt = conn, 0, firstReplan
	w.backend.Store(int64(conn.PgConn().PID()))
	w.position.begin(w.inspected.started)
	return nil
}

// errUnconfirmed is the error of a commit that no synchronous standby has.
var errUnconfirmed = model.Errorf(model.CodeUnavailable, "PostgreSQL has not confirmed the commit: no synchronous standby has it")

// noteUnconfirmed returns a handler of notices. It sets the flag when the wait of a commit
// for a synchronous standby was ended: by a cancel (01000) or by the end of the session.
func noteUnconfirmed(flag *atomic.Bool) pgconn.NoticeHandler {
	return func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" && (n.Code == "01000" || n.Code == "57P01") {
			flag.Store(true)
		}
	}
}

// disconnect throws the connection away; the next commit opens another one.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	closeBroken(w.conn)
	w.conn = nil
}

// run sends a batch, which is one transaction, and waits for its commit, at most for the
// limit. Then it closes the connection instead of canceling: see dialer.
func (w *writer) run(ctx context.Context, b *pgx.Batch, limit time.Duration) error {
	w.unconfirmed.Store(false)
	network := w.conn.PgConn().Conn()
	w.running.Store(&network)
	defer w.running.Store(nil)
	expired := atomic.Bool{}
	timer := time.AfterFunc(limit, func() {
		expired.Store(true)
		w.interrupt()
	})
	err := w.conn.SendBatch(context.WithoutCancel(ctx), b).Close()
	timer.Stop()
	if expired.Load() && err != nil {
		err = model.Errorf(model.CodeUnavailable, "PostgreSQL has not confirmed the commit within %v", limit)
	}
	if err == nil && w.unconfirmed.Load() {
		err = errUnconfirmed
		w.disconnect()
	}
	return w.note(err)
}

// interrupt ends the wait for the commit under way, which fails.
func (w *writer) interrupt() {
	if network := w.running.Load(); network != nil {
		_ = (*network).Close() // ends the wait with an error
	}
}

// note decides what the error of a transaction means for the connection.
func (w *writer) note(err error) error {
	var server *pgconn.PgError
	switch {
	case err == nil:
	case errors.As(err, &server) && server.SeverityUnlocalized == "ERROR" && !w.conn.IsClosed():
		// It was rolled back, and the connection is clean. After a failover a new one may
		// reach the server that takes writes.
		if server.Code == "25006" {
			w.disconnect()
		}
		if server.Code == codeFenced {
			return fmt.Errorf("%w (%s)", repo.ErrFenced, server.Message)
		}
	default:
		w.unsettled.Store(true)
		w.disconnect()
	}
	return err
}

// settle waits until the server has completed or dropped a commit of unknown outcome, and
// commits a barrier after it: then whatever is read afterwards is as durable as an
// acknowledged commit. The barrier raises the generation of the fence, so that the server
// also refuses a commit that it has not begun, because it is still on its way. A settle of
// unknown outcome that comes late changes nothing: the one after it asks for more. Callers
// hold mu.
func (w *writer) settle(ctx context.Context, s *Store) error {
	if !w.unsettled.Load() {
		return nil
	}
	if err := w.connect(ctx, s); err != nil {
		return err
	}
	b := &pgx.Batch{}
	w.asked++
	b.Queue("SELECT aria_fence($1, NULL)", s.term.Load())
	// A transaction that still runs has a share lock on the row.
	b.Queue("SELECT 1 FROM fence FOR UPDATE")
	b.Queue("UPDATE fence SET generation = greatest(generation, $1)", w.asked)
	b.Queue(countersSQL, 0, 0, 0, 0, 0, 0, 0)
	err := w.run(ctx, b, s.config.Timeout)
	if err == nil {
		w.generation.Store(w.asked)
		w.unsettled.Store(false)
		return nil
	}
	if isLockTimeout(err) {
		return errors.Join(err, terminateHung(ctx, w.conn, "{fence}"))
	}
	return err
}

func isLockTimeout(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "55P03"
}

// terminateHung ends sessions of this user that hang in a transaction that has locked or
// changed a row of the tables. A session that waits for a lock itself, such as the takeover of
// another dispatcher, is not the cause, nor is one that only reads, such as pg_dump. tables is an
// array as PostgreSQL writes it, such as {fence,leader}: the writer's connection takes no lists.
func terminateHung(ctx context.Context, conn *pgx.Conn, tables string) error {
	_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
		WHERE l.locktype = 'relation' AND l.relation = ANY($2::text::regclass[]) AND l.mode IN ('RowShareLock', 'RowExclusiveLock') AND l.granted
		AND a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
		AND a.wait_event_type IS DISTINCT FROM 'Lock' AND a.xact_start < clock_timestamp() - $1::bigint * interval '1 millisecond'`,
		takeLockTimeout.Milliseconds(), tables)
	return err
}
