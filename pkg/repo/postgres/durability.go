package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// durability is what decides whether a committed row can vanish.
type durability struct {
	commit, standbys, fsync, fullPages string
	sync                               int64 // synchronous standbys that are connected
	backend                            int64 // process id, as the server names it
}

// inspect logs how durable commits are, and refuses a server that is not as durable as
// the configuration requires. It notices a pooler.
func (s *Store) inspect(ctx context.Context, conn *pgx.Conn) error {
	var d durability
	err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		current_setting('fsync'), current_setting('full_page_writes'),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')), pg_backend_pid()`).
		Scan(&d.commit, &d.standbys, &d.fsync, &d.fullPages, &d.sync, &d.backend)
	if err != nil {
		return err
	}
	s.log.Info("store: durability of commits", "synchronous_commit", d.commit, "synchronous_standby_names", d.standbys,
		"synchronous_standbys", d.sync, "fsync", d.fsync, "full_page_writes", d.fullPages)
	if weak := d.weakness(); weak != "" {
		if s.config.RequireSync {
			return model.Errorf(model.CodeConflict, "%s, and synchronous commits are required", weak)
		}
		s.log.Warn("store: acknowledged tasks can be lost when PostgreSQL fails", "reason", weak)
	}
	if d.backend != int64(conn.PgConn().PID()) {
		s.log.Warn("store: a connection pooler is between the dispatcher and PostgreSQL; connect directly: one dispatcher needs few connections, and a pooler breaks the detection of dead sessions")
	}
	return nil
}

// weakness returns the first setting by which a commit can be lost, "" without one.
func (d *durability) weakness() string {
	switch {
	case d.fsync != "on":
		return "fsync is " + d.fsync
	case d.fullPages != "on":
		return "full_page_writes is " + d.fullPages
	case d.commit == "off" || d.commit == "local":
		return "synchronous_commit is " + d.commit
	case d.standbys == "":
		return "synchronous_standby_names is empty: a failover to a standby may lose the last commits"
	}
	return ""
}
