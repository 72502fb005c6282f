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
	started                            int64  // when the server was, in microseconds since 1970
}

// inspect refuses a server that is not as durable as the configuration requires. It logs how
// durable commits are, and a pooler, if that differs from the connection before. The
// writer calls it for each of its connections: after a failover the server is another one.
func (s *Store) inspect(ctx context.Context, conn *pgx.Conn) error {
	d, err := readDurability(ctx, conn)
	if err != nil {
		return err
	}
	first := s.w.inspected == durability{}
	changed := d.differs(&s.w.inspected)
	s.w.inspected = d
	s.noteUnmet(d.weakness())
	if changed {
		s.logDurability(&d, int64(conn.PgConn().PID()))
	}
	switch {
	case !s.config.RequireSync:
	case first && d.weakness() != "":
		return model.Errorf(model.CodeConflict, "%s, and synchronous commits are required", d.weakness())
	case d.weakSetting() != "":
		return model.Errorf(model.CodeUnavailable, "PostgreSQL is less durable than before: %s, and synchronous commits are required", d.weakSetting())
	}
	return nil // a standby that was promoted has no standby of its own yet, and must take writes
}

// InspectDurability looks whether the server is as durable as Config.RequireSync wants: its
// settings may change while the dispatcher is connected. [Store.UnmetSync] has the result. Without
// it there is nothing to look at.
func (s *Store) InspectDurability(ctx context.Context) error {
	if !s.config.RequireSync {
		return nil
	}
	return s.read(ctx, "inspect durability", func(ctx context.Context) error {
		d, err := readDurability(ctx, s.r)
		if err == nil && s.noteUnmet(d.weakness()) {
			s.log.Warn("store: PostgreSQL is less durable than before: acknowledged tasks can be lost when it fails", "reason", d.weakness())
		}
		return err
	})
}

// UnmetSync returns why the server, at the last look, is less durable than Config.RequireSync
// wants, so that a start would be refused; "" if it is not.
func (s *Store) UnmetSync() string {
	if unmet := s.unmet.Load(); unmet != nil {
		return *unmet
	}
	return ""
}

// noteUnmet notes the weakness of the server, and returns true if it is a new one.
func (s *Store) noteUnmet(weak string) (worse bool) {
	if !s.config.RequireSync {
		return false
	}
	before := s.unmet.Swap(&weak)
	return weak != "" && before != nil && *before != weak
}

func readDurability(ctx context.Context, q queryer) (d durability, err error) {
	err = q.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		current_setting('fsync'), current_setting('full_page_writes'),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
		(SELECT coalesce(string_agg(name, ','), '') FROM (SELECT lower(application_name) AS name FROM pg_stat_replication
			WHERE sync_state <> 'async' GROUP BY 1 HAVING count(*) > 1) AS twice),
		pg_backend_pid(), `+startedSQL).
		Scan(&d.commit, &d.standbys, &d.fsync, &d.fullPages, &d.sync, &d.hidden, &d.same, &d.backend, &d.started)
	return d, err
}

// differs reports whether d has other settings. Which standbys are connected is no setting.
func (d *durability) differs(before *durability) bool {
	return d.commit != before.commit || d.standbys != before.standbys || d.fsync != before.fsync ||
		d.fullPages != before.fullPages || d.same != before.same
}

// logDurability logs how durable commits are, and warns of what makes them less so. pid is the
// process id of the session, as the other end of the connection names it.
func (s *Store) logDurability(d *durability, pid int64) {
	s.log.Info("store: durability of commits", "synchronous_commit", d.commit, "synchronous_standby_names", d.standbys,
		"synchronous_standbys", d.countSync(), "fsync", d.fsync, "full_page_writes", d.fullPages)
	if weak := d.weakness(); weak != "" {
		s.log.Warn("store: acknowledged tasks can be lost when PostgreSQL fails", "reason", weak)
	}
	if d.hidden > 0 && d.standbys != "" {
		s.log.Info("store: the role may not see which standbys are synchronous; grant it pg_monitor, so that two standbys of one name are noticed")
	}
	if why := ambiguity(d.standbys, strings.Split(d.same, ",")); why != "" {
		s.log.Warn("store: what confirms commits may not be the standby: commits may wait for a backup, and be lost at a failover; name each standby by a cluster_name of its own in synchronous_standby_names",
			"reason", why)
	}
	if d.backend != pid {
		s.log.Warn("store: a connection pooler is between the dispatcher and PostgreSQL; connect directly: one dispatcher needs few connections, and a pooler breaks the detection of dead sessions")
	}
}

// countSync returns how many synchronous standbys are connected, "unknown" if the role may not
// see it: a wrong 0 would look like commits that nothing confirms.
func (d *durability) countSync() string {
	if d.hidden > 0 {
		return "unknown"
	}
	return strconv.FormatInt(d.sync, 10)
}

// weakness returns the first reason for which a commit can be lost, "" without one.
func (d *durability) weakness() string {
	if weak := d.weakSetting(); weak != "" {
		return weak
	}
	if d.standbys == "" {
		return "synchronous_standby_names is empty: a failover to a standby may lose the last commits"
	}
	return ""
}

// weakSetting returns the first setting by which this server loses commits even without a
// failover, or does not wait for its standby; "" without one.
func (d *durability) weakSetting() string {
	switch {
	case d.fsync != "on":
		return "fsync is " + d.fsync
	case d.fullPages != "on":
		return "full_page_writes is " + d.fullPages
	case d.commit == "off" || d.commit == "local":
		return "synchronous_commit is " + d.commit
	}
	return ""
}
