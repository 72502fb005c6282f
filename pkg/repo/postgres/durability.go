package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// durability is what decides whether a committed row can vanish.
type durability struct {
	commit, standbys, fsync, fullPages string
	sync                               int64  // synchronous standbys that are connected, of those that can be seen
	hidden                             int64  // connected standbys with a sync_state that the role may not see
	same                               string // names that several of these, or of the candidates, have, with commas
	backend                            int64  // process id, as the server names it
}

// inspect logs how durable commits are, and refuses a server that is not as durable as
// the configuration requires. It notices a pooler.
func (s *Store) inspect(ctx context.Context, conn *pgx.Conn) error {
	var d durability
	err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		current_setting('fsync'), current_setting('full_page_writes'),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
		(SELECT coalesce(string_agg(name, ','), '') FROM (SELECT lower(application_name) AS name FROM pg_stat_replication
			WHERE sync_state <> 'async' GROUP BY 1 HAVING count(*) > 1) AS twice),
		pg_backend_pid()`).
		Scan(&d.commit, &d.standbys, &d.fsync, &d.fullPages, &d.sync, &d.hidden, &d.same, &d.backend)
	if err != nil {
		return err
	}
	s.log.Info("store: durability of commits", "synchronous_commit", d.commit, "synchronous_standby_names", d.standbys,
		"synchronous_standbys", d.countSync(), "fsync", d.fsync, "full_page_writes", d.fullPages)
	if weak := d.weakness(); weak != "" {
		if s.config.RequireSync {
			return model.Errorf(model.CodeConflict, "%s, and synchronous commits are required", weak)
		}
		s.log.Warn("store: acknowledged tasks can be lost when PostgreSQL fails", "reason", weak)
	}
	if d.hidden > 0 && d.standbys != "" {
		s.log.Info("store: the role may not see which standbys are synchronous; grant it pg_monitor, so that two standbys of one name are noticed")
	}
	if why := ambiguity(d.standbys, strings.Split(d.same, ",")); why != "" {
		s.log.Warn("store: what confirms commits may not be the standby: commits may wait for a backup, and be lost at a failover; name each standby by a cluster_name of its own in synchronous_standby_names",
			"reason", why)
	}
	if d.backend != int64(conn.PgConn().PID()) {
		s.log.Warn("store: a connection pooler is between the dispatcher and PostgreSQL; connect directly: one dispatcher needs few connections, and a pooler breaks the detection of dead sessions")
	}
	return nil
}

// countSync returns how many synchronous standbys are connected, "unknown" if the role may not
// see it: a wrong 0 would look like commits that nothing confirms.
func (d *durability) countSync() string {
	if d.hidden > 0 {
		return "unknown"
	}
	return strconv.FormatInt(d.sync, 10)
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
