package sqlite

import (
	"context"
	"os"
	"time"
)

const (
	// walLimit is the size in bytes from which on the WAL is cut back to nothing.
	walLimit = 64 << 20
	// walRetry is how long a reader in the way leaves the commits in peace.
	walRetry = 5 * time.Second
)

// truncateWAL cuts the WAL back where it has grown past its limit. SQLite's own
// checkpoint after a commit does not wait for readers, so where one reader always
// begins before another ends, the WAL would never restart. This one waits, but
// for a moment only: readers that begin meanwhile need no WAL, and those that are
// in it read one page of a list. A snapshot or backup takes longer; while it
// lasts the WAL grows, and one commit in five seconds waits without effect.
func (w *writer) truncateWAL(ctx context.Context) {
	info, err := os.Stat(w.wal)
	if err != nil || info.Size() < w.walLimit || time.Since(w.walTried) < w.walRetry {
		return
	}
	var result struct{ Busy, Log, Checkpointed int64 }
	_, err = w.conn.ExecContext(ctx, "PRAGMA busy_timeout = 100")
	if err == nil {
		err = w.conn.GetContext(ctx, &result, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	if _, failed := w.conn.ExecContext(ctx, "PRAGMA busy_timeout = 5000"); err == nil {
		err = failed
	}
	if err != nil || result.Busy != 0 {
		// The commit is durable; the next attempt may succeed.
		w.walTried = time.Now()
		w.log.Debug("store: the WAL is not shortened yet", "bytes", info.Size(), "error", err)
	}
}
