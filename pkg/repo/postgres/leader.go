package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// takeLockTimeout bounds how long a takeover waits for a transaction of the leader before.
const takeLockTimeout = 500 * time.Millisecond

// Leader is the leader row of a database: which dispatcher writes, and its term. It has a
// connection of its own, so that it waits for no commit. It decides nothing: the caller
// measures whether the holder is alive, and stops when a renewal fails. After an error the
// outcome of a Take or Resign is unknown, and Observe tells it. Safe for concurrent use;
// calls run one after the other.
type Leader struct {
	store *Store
	mu    sync.Mutex
	conn  *pgx.Conn // nil after a failure
	// unconfirmed is set by the server's warning that a commit is on this server alone.
	unconfirmed atomic.Bool
}

// Leader returns the leader row of the store.
func (s *Store) Leader() *Leader {
	s.leader.store = s
	return &s.leader
}

// Observe reads the row, and looks whether the database has lost commits.
func (l *Leader) Observe(ctx context.Context) (row repo.LeaderRow, err error) {
	err = l.do(ctx, "observe the leader", func(conn *pgx.Conn) error {
		if row, err = selectLeader(ctx, conn, ""); err != nil {
			return err
		}
		var lost *model.Error
		if err := l.store.checkCommits(ctx, conn); !errors.As(err, &lost) {
			return err
		}
		return nil // it is logged and counted; nothing is held in memory that it could contradict
	})
	return row, err
}

// Take makes the holder of the claim the leader if the row is unchanged since it was seen, and returns its
// term: higher than each one before, and at least the milliseconds of the database's clock,
// so that it rises over a restored or replaced database too. A row that has changed is
// [ErrNotLeader]. A session of the leader before that hangs in a transaction is ended.
// Writes of the new leader need [Store.SetTerm] with the term.
func (l *Leader) Take(ctx context.Context, seen repo.LeaderRow, claim repo.LeaderClaim) (term int64, err error) {
	if claim.Holder == "" {
		return 0, errors.New("take: no holder is given")
	}
	err = l.do(ctx, "take the leader row", func(conn *pgx.Conn) error {
		term, err = take(ctx, conn, seen, claim)
		if !isLockTimeout(err) {
			return err
		}
		l.store.log.Warn("store: a transaction of the leader before hangs; its session is ended", "holder", seen.Holder)
		ended := terminateHung(ctx, conn, "{fence,leader}")
		if term, err = take(ctx, conn, seen, claim); err != nil {
			err = errors.Join(err, ended)
		}
		return err
	})
	return term, err
}

func take(ctx context.Context, conn *pgx.Conn, seen repo.LeaderRow, claim repo.LeaderClaim) (term int64, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", takeLockTimeout.Milliseconds())); err != nil {
			return err
		}
		var recovering bool
		if err := tx.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering); err != nil {
			return err
		}
		if recovering {
			return model.Errorf(model.CodeUnavailable, "the server is a standby of PostgreSQL")
		}
		row, err := selectLeader(ctx, tx, " FOR UPDATE")
		switch {
		case err != nil:
			return err
		case row.Term != seen.Term || row.Renewals != seen.Renewals || row.Holder != seen.Holder:
			return fmt.Errorf("%w: it has term %d of %q now", repo.ErrNotLeader, row.Term, row.Holder)
		}
		return tx.QueryRow(ctx, `WITH next AS (UPDATE leader SET holder = $1, ttl = $2, backend_pid = 0, renewals = 0,
			term = greatest(term + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) RETURNING term)
			UPDATE fence SET term = next.term, generation = 0 FROM next RETURNING fence.term`, claim.Holder, claim.TTL.Milliseconds()).Scan(&term)
	})
	return term, err
}

// Renew tells the other dispatchers that the holder is alive. [ErrNotLeader] means that the
// row has another term or holder.
func (l *Leader) Renew(ctx context.Context, term int64, claim repo.LeaderClaim) error {
	return l.update(ctx, "renew the leader row",
		"UPDATE leader SET renewals = renewals + 1, backend_pid = $3, ttl = $4 WHERE term = $1 AND holder = $2",
		term, claim.Holder, l.store.w.backend.Load(), claim.TTL.Milliseconds())
}

// Resign frees the row: another dispatcher may take it at once. The holder must have made
// its last commit. [ErrNotLeader] is as for Renew.
func (l *Leader) Resign(ctx context.Context, term int64, holder string) error {
	return l.update(ctx, "resign",
		"UPDATE leader SET holder = '', backend_pid = 0, renewals = renewals + 1 WHERE term = $1 AND holder = $2", term, holder)
}

// update runs a statement that must find the row of the term and the holder.
func (l *Leader) update(ctx context.Context, op, sql string, args ...any) error {
	return l.do(ctx, op, func(conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() != 1 {
			return repo.ErrNotLeader
		}
		return err
	})
}

// queryer is a connection or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func selectLeader(ctx context.Context, q queryer, lock string) (row repo.LeaderRow, err error) {
	var millis int64
	err = q.QueryRow(ctx, "SELECT term, holder, renewals, backend_pid, ttl FROM leader"+lock).
		Scan(&row.Term, &row.Holder, &row.Renewals, &row.Backend, &millis)
	row.TTL = time.Duration(millis) * time.Millisecond
	return row, err
}

// do runs f with the connection of the row. After an error other than a refusal the
// connection is thrown away, so that the next call may reach another server.
func (l *Leader) do(ctx context.Context, op string, f func(*pgx.Conn) error) error {
	if l.store.closed.Load() {
		return rules.ClosedError(op)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.conn.IsClosed() {
		c, d := l.store.connConfig()
		c.OnNotice = noteUnconfirmed(&l.unconfirmed)
		conn, err := l.store.connect(ctx, c)
		if err != nil {
			return explainError(op, err)
		}
		l.conn = conn
		if err := l.store.prepareSession(ctx, conn, transactionTimeout); err != nil {
			l.disconnect()
			return explainError(op, err)
		}
		d.lock()
	}
	l.unconfirmed.Store(false)
	err := f(l.conn)
	if err == nil && l.unconfirmed.Load() {
		err = errUnconfirmed
	}
	if err != nil && !errors.Is(err, repo.ErrNotLeader) {
		l.disconnect()
	}
	return explainError(op, err)
}

func (l *Leader) disconnect() {
	if l.conn != nil {
		closeBroken(l.conn)
	}
	l.conn = nil
}

func (l *Leader) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disconnect()
}
