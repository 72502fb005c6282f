package sqlite

import (
	"context"
	"net/url"

	"github.com/jmoiron/sqlx"
)

// fromDump reports whether a SQLite file without an application id is a store of
// ours all the same: "sqlite3 FILE .dump" writes everything but that id, so a
// file made from it has our tables only. It opens the file so that nothing can
// be written, not even beside it.
func fromDump(ctx context.Context, path string) (bool, error) {
	ours := 0
	err := openReader(path, url.Values{"mode": {"ro"}, "immutable": {"1"}}, func(db *sqlx.DB) error {
		return db.GetContext(ctx, &ours, `SELECT count(*) FROM sqlite_schema
			WHERE type = 'table' AND name IN ('goose_db_version', 'tasks', 'counters', 'workers')`)
	})
	return ours == 4, err
}
