package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Report is what [Verify] found in a database.
type Report struct {
	Schema   int64
	Tasks    int64
	Workers  int64
	ByStatus model.Counts
	Problems []string // one sentence each; empty if all is well
}

// maxNamed is how many rows a problem names at most.
const maxNamed = 10

// invariants are what must hold between the rows: a query of the ids for which it does
// not, and what to say of them.
var invariants = []struct{ sentence, query string }{
	{"tasks are active and no worker holds them",
		"SELECT id FROM tasks WHERE status IN ('queued', 'downloading') AND worker_id = ''"},
	{"tasks are held by a worker that does not exist",
		"SELECT id || ' (' || worker_id || ')' FROM tasks t WHERE worker_id <> '' AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = t.worker_id)"},
	{"tasks are held by a worker and not active",
		"SELECT id FROM tasks WHERE worker_id <> '' AND status NOT IN ('queued', 'downloading')"},
	{"tasks are active and were never assigned",
		"SELECT id FROM tasks WHERE status IN ('queued', 'downloading') AND attempt < 1"},
	{"tasks have an unknown status, or are in the wrong partition",
		"SELECT id FROM tasks WHERE (ended AND status NOT IN (" + rules.Quoted(endedStatuses(true)) + ")) OR (NOT ended AND status NOT IN (" + rules.Quoted(endedStatuses(false)) + "))"},
	{"ids or seqs are in both partitions",
		"SELECT d.id FROM tasks_live l JOIN tasks_done d ON d.id = l.id OR d.seq = l.seq"},
	{"tasks have no id, or a seq below 1",
		"SELECT id || ' (seq ' || seq || ')' FROM tasks WHERE id = '' OR seq < 1"},
	{"tasks have a spec_hash of the wrong length",
		"SELECT id FROM tasks WHERE octet_length(spec_hash) <> 32"},
}

// parts are the indexes and functions of the schema. Without an index a commit is slow, or
// accepts an id twice; without a function none succeeds.
var (
	indexes = []string{
		"counters_pkey", "fence_pkey", "fence_term_key", "leader_pkey", "tasks_done_active", "tasks_done_client", "tasks_done_id",
		"tasks_done_seq", "tasks_done_status", "tasks_live_active", "tasks_live_client", "tasks_live_id", "tasks_live_seq",
		"tombstones_pkey", "tombstones_until", "workers_pkey",
	}
	functions = []string{"aria_expect(bigint,bigint)", "aria_fence(bigint)", "aria_fence(bigint,bigint)"}
)

// partsSQL selects what is missing of them, and the indexes that PostgreSQL does not use.
const partsSQL = `SELECT 'index ' || name FROM unnest($1::text[]) AS name
		WHERE NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)
	UNION ALL SELECT 'function ' || name FROM unnest($2::text[]) AS name WHERE to_regprocedure(name) IS NULL`

// checkParts finds what is missing of the schema.
func (r *Report) checkParts(ctx context.Context, conn *pgx.Conn) error {
	var missing []string
	var name string
	rows, err := conn.Query(ctx, partsSQL, indexes, functions)
	err = scanValues(rows, err, []any{&name}, func() { missing = append(missing, name) })
	if len(missing) > 0 {
		r.addProblem("of its schema these are missing: %s", strings.Join(missing, ", "))
	}
	return err
}

func endedStatuses(ended bool) (list []model.Status) {
	for _, s := range model.Statuses {
		if s.Terminal() == ended {
			list = append(list, s)
		}
	}
	return list
}

// Verify checks a database, whether or not a dispatcher uses it: the schema, the counters
// against a scan, each row, and the invariants between tasks and workers, all at one
// moment. An error means that it could not be checked; the report lists its problems.
func Verify(ctx context.Context, dsn string) (*Report, error) {
	r := &Report{Problems: []string{}, ByStatus: model.Counts{}}
	err := inspectDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return err
		}
		var err error
		if r.Schema, err = schemaOf(ctx, conn); err != nil {
			return err
		}
		if known := SchemaVersion(); r.Schema != known {
			r.addProblem("it has schema %d, the newest that this program knows is %d", r.Schema, known)
			return nil
		}
		return r.check(ctx, conn)
	})
	if err != nil {
		return nil, explainError("verify", err)
	}
	return r, nil
}

// Schema returns the schema of a database, and the newest that this program knows.
func Schema(ctx context.Context, dsn string) (have, known int64, err error) {
	err = inspectDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		have, err = schemaOf(ctx, conn)
		return err
	})
	return have, SchemaVersion(), explainError("schema", err)
}

// inspectDatabase runs f with a connection to a database.
func inspectDatabase(ctx context.Context, dsn string, f func(*pgx.Conn) error) error {
	all, err := newServers(dsn, true)
	if err != nil {
		return err
	}
	c, _ := all.connConfig()
	conn, err := all.connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))                           //nolint:errcheck // it only reads
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0"); err != nil { // the default of a role is for short statements
		return err
	}
	return f(conn)
}

func (r *Report) addProblem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Report) check(ctx context.Context, conn *pgx.Conn) error {
	if err := r.checkParts(ctx, conn); err != nil {
		return err
	}
	counted, err := selectCounts(ctx, conn, 0)
	if err != nil {
		return err
	}
	var status string
	var n int64
	rows, err := conn.Query(ctx, "SELECT status, count(*) FROM tasks GROUP BY status")
	err = scanValues(rows, err, []any{&status, &n}, func() {
		r.ByStatus[model.Status(status)] = n
		r.Tasks += n
	})
	if err != nil {
		return err
	}
	r.Problems = append(r.Problems, rules.CompareCounts(counted, r.ByStatus)...)
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM workers").Scan(&r.Workers); err != nil {
		return err
	}
	for _, inv := range invariants {
		var ids []string
		var id string
		rows, err := conn.Query(ctx, fmt.Sprintf("SELECT * FROM (%s) AS bad LIMIT %d", inv.query, maxNamed+1))
		if err := scanValues(rows, err, []any{&id}, func() { ids = append(ids, id) }); err != nil {
			return err
		}
		if n := len(ids); n > maxNamed {
			r.addProblem("more than %d %s: %s, …", maxNamed, inv.sentence, strings.Join(ids[:maxNamed], ", "))
		} else if n > 0 {
			r.addProblem("%d %s: %s", n, inv.sentence, strings.Join(ids, ", "))
		}
	}
	return r.readAll(ctx, conn)
}

// readAll reads each row as a dispatcher does.
func (r *Report) readAll(ctx context.Context, conn *pgx.Conn) error {
	snap := &snapshot{conn: conn}
	for _, err := range snap.Tasks(ctx, 0) {
		if err != nil {
			r.addProblem("a task cannot be read: %v", err)
			if server := (*pgconn.PgError)(nil); errors.As(err, &server) { // it has ended the transaction
				return ctx.Err()
			}
			break
		}
	}
	if _, err := selectWorkers(ctx, conn); err != nil {
		r.addProblem("a worker cannot be read: %v", err)
	}
	return ctx.Err()
}

// OpenReadOnly opens a database as the source of a copy: it migrates nothing and writes
// nothing, so a standby of PostgreSQL or a role without the right to write will do. A schema
// other than the newest is an error.
func OpenReadOnly(ctx context.Context, c Config) (*Store, error) {
	have, known, err := Schema(ctx, c.DSN)
	switch {
	case err != nil:
		return nil, err
	case have == 0:
		return nil, model.Errorf(model.CodeNotFound, "open store: the database has no tasks: it was never used by a dispatcher")
	case have > known:
		return nil, newerSchemaError("open store", have, known)
	case have != known:
		return nil, model.Errorf(model.CodeConflict, "open store: the database has schema %d, not %d: bring it up to date with migrate schema up", have, known)
	}
	c.readOnly = true
	return Open(ctx, c)
}

// passwordSetting finds a password among the words of a connection string.
var passwordSetting = regexp.MustCompile(`(?i)(^|\s)(ssl)?password\s*=`)

// HasPassword reports whether a connection string has a password in it, where a process
// list would show it.
func HasPassword(dsn string) bool {
	if !strings.Contains(dsn, "://") {
		return passwordSetting.MatchString(dsn)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return strings.Contains(dsn, "@") // it cannot be told
	}
	_, given := u.User.Password()
	return given || u.Query().Has("password") || u.Query().Has("sslpassword")
}
