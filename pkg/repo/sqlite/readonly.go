package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	lib "modernc.org/sqlite/lib"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// ReadOnly reads a store's file, whether or not a dispatcher has it open. It takes no
// lock. It implements [repo.Snapshotter].
type ReadOnly struct {
	path    string
	options url.Values
}

var _ repo.Snapshotter = (*ReadOnly)(nil)

// OpenReadOnly opens the file at path for reading. A Snapshot contains everything that
// a dispatcher has committed before, including the content of its WAL. The file itself
// is never written; SQLite may leave an empty WAL beside it.
//
// A file that is not a store of ours is an error, one of another schema than
// this program's a *model.Error of CodeConflict.
func OpenReadOnly(ctx context.Context, path string) (*ReadOnly, error) {
	path, options, err := readable(ctx, path)
	if err != nil {
		return nil, err
	}
	have, known, err := schema(ctx, path, options)
	if err != nil {
		return nil, err
	}
	if have > known {
		return nil, newerSchemaError(path, have, known)
	} else if have < known {
		return nil, model.Errorf(model.CodeConflict,
			"open store: %s has schema %d, this program reads %d: bring it up to date first", path, have, known)
	}
	return &ReadOnly{path: path, options: options}, nil
}

// Snapshot implements [repo.Snapshotter]. While it is open, the WAL of a writing
// dispatcher grows with each commit.
func (r *ReadOnly) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	snap, err := newSnapshot(ctx, r.path, r.options)
	if err != nil {
		return nil, explainError("snapshot of "+r.path, err)
	}
	return snap, nil
}

// Schema returns the schema that the file at path has, 0 for a new file, and the newest
// that this program knows. It reads only.
func Schema(ctx context.Context, path string) (have, known int64, err error) {
	path, options, err := readable(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	return schema(ctx, path, options)
}

func schema(ctx context.Context, path string, options url.Values) (have, known int64, err error) {
	err = openReader(path, options, func(db *sqlx.DB) error {
		if have, err = schemaOf(ctx, db); err != nil || have > 0 {
			return err
		}
		return checkMigrated(ctx, db, path)
	})
	return have, SchemaVersion(), err
}

// schemaOf reads the schema of an open file, 0 of a new one.
func schemaOf(ctx context.Context, q sqlx.QueryerContext) (have int64, err error) {
	var tables int
	err = sqlx.GetContext(ctx, q, &tables, "SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'")
	if err != nil || tables == 0 {
		return 0, err
	}
	err = sqlx.GetContext(ctx, q, &have, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied")
	return have, err
}

// readable returns the one path of a store's file and how to open it for
// reading. It refuses what is not a store of ours.
func readable(ctx context.Context, path string) (string, url.Values, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", nil, fmt.Errorf("open store: %w", err)
	}
	if info, err := os.Stat(path); err != nil {
		return "", nil, fmt.Errorf("open store: %w", err)
	} else if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("open store: %s is not a file", path)
	}
	options := url.Values{"mode": {"ro"}}
	var id int64
	ask := func(db *sqlx.DB) error { return db.GetContext(ctx, &id, "PRAGMA application_id") }
	err = withReader(path, options, ask)
	if code := primaryCode(err); (code == lib.SQLITE_CANTOPEN || code == lib.SQLITE_READONLY) && isSettled(path) {
		// In a folder where no WAL can be created no process can write either.
		options.Set("immutable", "1")
		err = withReader(path, options, ask)
	}
	switch {
	case primaryCode(err) == lib.SQLITE_NOTADB:
		return "", nil, fmt.Errorf("open store: %s is not a SQLite file; it was left unchanged", path)
	case err != nil:
		return "", nil, explainError("read "+path, err)
	case id == applicationID:
		return path, options, nil
	case id == 0:
		if ours, err := fromDump(ctx, path); err == nil && ours {
			return path, options, nil
		}
	}
	return "", nil, fmt.Errorf("open store: %s is a SQLite file of another program; it was left unchanged", path)
}

// isSettled reports whether all of the store is in the file itself.
func isSettled(path string) bool {
	info, err := os.Stat(path + "-wal")
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// openReader runs f with one connection that can only read the file, and explains
// its error.
func openReader(path string, options url.Values, f func(db *sqlx.DB) error) error {
	return explainError("read "+path, withReader(path, options, f))
}

func withReader(path string, options url.Values, f func(db *sqlx.DB) error) error {
	options = maps.Clone(options)
	options.Set("_pragma", "busy_timeout(5000)") // VACUUM INTO minds query_only
	db, err := connect(path, options, 1)
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}
