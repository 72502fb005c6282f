package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SchemaVersion returns the newest schema that this program knows: the number of its last
// migration. The stores count their schemas apart.
func SchemaVersion() int64 {
	return rules.LastMigration(migrations)
}

// schemaOf returns the schema of a database, 0 of an empty one.
func schemaOf(ctx context.Context, conn *pgx.Conn) (have int64, err error) {
	var there bool
	err = conn.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version").Scan(&have)
	}
	return have, err
}

func newerSchemaError(op string, have, known int64) error {
	return model.Errorf(model.CodeConflict, "%s: the database has schema %d, this program knows only %d: use a newer version of it", op, have, known)
}

// migrationLock is the key of the lock of a migration: dispatchers that start at the same
// time migrate one after the other. Its connection is not that of goose: database/sql
// discards a connection that is returned within a transaction, and its locks with it.
const migrationLock = 0x61726961

// migrate brings the schema up to date, each migration in a transaction, or refuses one
// that is newer than this program. A dispatcher of the version before may be at work, and may
// take over, as long as it runs: only a start looks at the schema. So a migration adds what that
// version does without, and replaces only functions, by such that it can call.
func migrate(ctx context.Context, conn *pgx.Conn, all *servers, log *slog.Logger) (err error) {
	known := SchemaVersion()
	have, err := schemaOf(ctx, conn)
	if err != nil {
		return err
	}
	switch {
	case have > known:
		return newerSchemaError("migrate", have, known)
	case have == known:
		return nil
	}
	c, _ := all.connConfig()
	locked, err := all.connect(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locked.Close(context.WithoutCancel(ctx))) }()
	if err := lockMigrations(ctx, locked, log); err != nil {
		return err
	}
	err = runMigrations(ctx, all, log)
	var server *pgconn.PgError
	if have == 0 && errors.As(err, &server) && server.Code == "42P07" {
		return model.Errorf(model.CodeConflict, "migrate: the database belongs to another program: %s; use an empty one", server.Message)
	}
	if isLockTimeout(err) {
		return model.Errorf(model.CodeUnavailable, "migrate: a transaction of another program keeps a table locked; start again when it has ended (%v)", err)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationWait bounds the wait for a migration by another program.
const migrationWait = 30 * time.Second

// lockMigrations takes the lock of the migrations. The error names the session that has it.
func lockMigrations(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	for _, sql := range []string{"SET idle_session_timeout = 0", "SET statement_timeout = 0", fmt.Sprintf("SET lock_timeout = %d", migrationWait.Milliseconds())} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	var got bool
	var holder string
	err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1), coalesce((SELECT format('process id %s, application_name %s', a.pid, quote_literal(a.application_name))
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = $1 AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1), 'not known')`, int64(migrationLock)).Scan(&got, &holder)
	if err != nil || got {
		return err
	}
	log.Warn("store: another session has the lock of the migrations; waiting until it has migrated", "holder", holder, "left", migrationWait)
	_, err = conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock))
	if isLockTimeout(err) || err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return model.Errorf(model.CodeUnavailable, "migrate: another session has the lock of the migrations (%s); start again when it has ended", holder)
	}
	return err
}

// migrationLockTimeout bounds the wait of a migration for a lock. What waits for a table
// holds up every later statement on it, so also the commits of a leader of the version
// before.
const migrationLockTimeout = "2s"

// runMigrations runs those that the database lacks; another dispatcher may have run them
// meanwhile.
func runMigrations(ctx context.Context, all *servers, log *slog.Logger) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	bounded, _ := all.connConfig()
	setHosts(bounded, all.hosts(bounded)[0]) // that of the lock
	bounded.RuntimeParams["lock_timeout"] = migrationLockTimeout
	bounded.RuntimeParams["statement_timeout"] = "0" // a default of the role must not end it
	db := stdlib.OpenDB(*bounded)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	if err == nil && len(done) > 0 {
		log.Info("store: schema brought up to date", "to", SchemaVersion())
	}
	return err
}
