package postgres

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The names in synchronous_standby_names are found as PostgreSQL finds them.
func TestStandbyNames_EachFormIsRead(t *testing.T) {
	for value, want := range map[string][]string{
		"":                            nil,
		"*":                           {"*"},
		"db2":                         {"db2"},
		"DB2, db3":                    {"db2", "db3"},
		"1 (db2, db3)":                {"db2", "db3"},
		"FIRST 2 (db2,db3,*)":         {"db2", "db3", "*"},
		"any 1 ( db2 , \"a, b\" )":    {"db2", "a, b"},
		`"*"`:                         {"*"},
		`"first 1 (x)", "say ""hi"""`: {"first 1 (x)", `say "hi"`},
		"first, any":                  {"first", "any"},
	} {
		if have := standbyNames(value); !slices.Equal(have, want) {
			t.Errorf("%q: %q, want %q", value, have, want)
		}
	}
}

// durabilityServer is a server whose settings a test changes.
type durabilityServer struct {
	*testpostgres.Server
	dsn   string
	admin *pgx.Conn
}

func startDurabilityServer(t *testing.T) *durabilityServer {
	t.Helper()
	d := &durabilityServer{Server: testpostgres.Start(t)}
	d.dsn = d.DSN("postgres")       // no other one: dropping it at the end would wait for a standby
	mustOpen(t, Config{DSN: d.dsn}) // makes the tables while no commit waits
	var err error
	if d.admin, err = pgx.Connect(testbed.Context(t), d.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.admin.Close(testbed.Context(t)) }) // the server ends it too
	return d
}

// set changes a setting, and waits until new sessions have it.
func (d *durabilityServer) set(t *testing.T, name, value string) {
	t.Helper()
	for _, sql := range []string{"ALTER SYSTEM SET " + name + " = '" + value + "'", "SELECT pg_reload_conf()"} {
		if _, err := d.admin.Exec(testbed.Context(t), sql); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, name+" is "+value, func() bool {
		var have string
		err := d.admin.QueryRow(testbed.Context(t), "SELECT current_setting($1)", name).Scan(&have)
		return err == nil && have == value
	})
}

// warnings opens the store, and returns what it warns about.
func (d *durabilityServer) warnings(t *testing.T) string {
	t.Helper()
	var log testbed.Log
	mustOpen(t, Config{DSN: d.dsn, Logger: log.Logger()})
	var warned []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "WARN") {
			warned = append(warned, line)
		}
	}
	return strings.Join(warned, "")
}

// receive connects a standby that the server knows as db2.
func (d *durabilityServer) receive(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testpostgres.Program(t, "pg_receivewal"), "--synchronous", "-D", t.TempDir(), "-d", d.dsn+"&application_name=db2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test kills it
}

// The store warns at its start of standbys that a backup can be taken for, and of settings
// by which a commit can be lost; with the requirement of synchronous commits it refuses the
// latter.
func TestOpen_WeakDurabilityIsWarnedOf(t *testing.T) {
	d := startDurabilityServer(t)
	for _, c := range []struct {
		setting, value, warning string
		refused                 bool
	}{
		{"synchronous_standby_names", "db2", "", false},
		{"synchronous_standby_names", "ANY 1 (db2, db3)", "", false},
		{"synchronous_standby_names", "*", "has *", false},
		{"synchronous_standby_names", "FIRST 1 (db2, *)", "has *", false},
		{"synchronous_standby_names", "walreceiver", "has walreceiver", false},
		{"synchronous_standby_names", "db2, PG_receivewal", "has pg_receivewal", false},
		{"synchronous_standby_names", "", "synchronous_standby_names is empty", true},
		{"synchronous_standby_names", "db2", "", false},
		{"synchronous_commit", "local", "synchronous_commit is local", true},
		{"synchronous_commit", "on", "", false},
		{"full_page_writes", "off", "full_page_writes is off", true},
		{"full_page_writes", "on", "", false},
		{"fsync", "off", "fsync is off", true},
	} {
		d.set(t, c.setting, c.value)
		warned := d.warnings(t)
		if c.warning == "" && warned != "" || !strings.Contains(warned, c.warning) {
			t.Errorf("%s = %q: warned %q, want %q", c.setting, c.value, warned, c.warning)
		}
		s, err := Open(testbed.Context(t), Config{DSN: d.dsn, RequireSync: true})
		if refused := err != nil; refused != c.refused {
			t.Errorf("%s = %q with require_sync: %v", c.setting, c.value, err)
		}
		if err == nil {
			err = s.Close()
		} else if model.CodeOf(err) == model.CodeConflict && strings.Contains(err.Error(), c.warning) {
			err = nil
		}
		if err != nil {
			t.Errorf("%s = %q: %v", c.setting, c.value, err)
		}
	}
}

// The durability of a server is looked at again when the writer connects again, as after a
// failover: each change to a weaker one is warned of once. Where synchronous commits are
// required, commits are refused, except by a server that only lacks a standby: one that was
// promoted must take writes.
func TestCommit_WeakerServerAfterReconnect(t *testing.T) {
	ctx := testbed.Context(t)
	d := startDurabilityServer(t)
	d.set(t, "synchronous_standby_names", "db2")
	var log testbed.Log
	s, strict := mustOpen(t, Config{DSN: d.dsn, Logger: log.Logger()}), mustOpen(t, Config{DSN: d.dsn, RequireSync: true, Logger: log.Logger()})
	commit := func(s *Store) error {
		s.w.mu.Lock()
		s.w.disconnect()
		s.w.mu.Unlock()
		return s.Commit(ctx, &model.Batch{})
	}
	for _, c := range []struct {
		setting, value, warning string
		refused                 bool
	}{
		{"synchronous_standby_names", "", "synchronous_standby_names is empty", false},
		{"synchronous_commit", "local", "synchronous_commit is local", true},
		{"synchronous_commit", "on", "synchronous_standby_names is empty", false},
		{"full_page_writes", "off", "full_page_writes is off", true},
		{"full_page_writes", "on", "synchronous_standby_names is empty", false},
	} {
		d.set(t, c.setting, c.value)
		testbed.Eventually(t, "a session that is open has it", func() bool {
			return strict.InspectDurability(ctx) == nil && strings.Contains(strict.UnmetSync(), c.warning)
		})
		if unmet := s.UnmetSync(); unmet != "" {
			t.Errorf("%s = %q without require_sync: %s", c.setting, c.value, unmet)
		}
		before := log.String()
		for range 2 {
			if err := commit(s); err != nil {
				t.Errorf("%s = %q: %v", c.setting, c.value, err)
			}
			err := commit(strict)
			if c.refused != (err != nil) || c.refused && (model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), c.warning)) {
				t.Errorf("%s = %q with require_sync: %v", c.setting, c.value, err)
			}
		}
		if unmet := strict.UnmetSync(); !strings.Contains(unmet, c.warning) {
			t.Errorf("%s = %q: unmet is %q", c.setting, c.value, unmet)
		}
		after := strings.TrimPrefix(log.String(), before)
		if strings.Count(after, "acknowledged tasks can be lost") != 2 || strings.Count(after, c.warning) != 2 {
			t.Errorf("%s = %q: the log is\n%s", c.setting, c.value, after)
		}
	}
}

// Two connections have the name of the synchronous standby: it cannot be told which one
// confirms commits.
func TestOpen_TwoStandbysOfOneNameAreWarnedOf(t *testing.T) {
	d := startDurabilityServer(t)
	d.set(t, "synchronous_standby_names", "DB2")
	count := func(n int) {
		t.Helper()
		testbed.Eventually(t, "the standbys are connected", func() bool {
			var have int
			err := d.admin.QueryRow(testbed.Context(t), "SELECT count(*) FROM pg_stat_replication WHERE sync_state <> 'async'").Scan(&have)
			return err == nil && have == n
		})
	}
	d.receive(t)
	count(1)
	if warned := d.warnings(t); warned != "" {
		t.Errorf("one standby: %s", warned)
	}
	d.receive(t)
	count(2)
	if warned := d.warnings(t); !strings.Contains(warned, "several connections have the name db2") {
		t.Errorf("two standbys: %q", warned)
	}
}

// The log has the number of connected synchronous standbys only if the role may see it: without
// pg_monitor PostgreSQL shows that a standby is connected, and nothing about it.
func TestOpen_HiddenStandbysAreUnknown(t *testing.T) {
	d := startDurabilityServer(t)
	for _, sql := range []string{"CREATE ROLE plain LOGIN", "CREATE ROLE monitor LOGIN IN ROLE pg_monitor", "CREATE DATABASE plain OWNER plain", "CREATE DATABASE monitor OWNER monitor"} {
		if _, err := d.admin.Exec(testbed.Context(t), sql); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(role string) string {
		t.Helper()
		var log testbed.Log
		_, server, _ := strings.Cut(d.DSN(role), "@")
		mustOpen(t, Config{DSN: "postgres://" + role + "@" + server, Logger: log.Logger()})
		for _, field := range strings.Fields(log.String()) {
			if n, ok := strings.CutPrefix(field, "synchronous_standbys="); ok {
				return n
			}
		}
		return log.String()
	}
	want := func(when, plain, monitor string) {
		t.Helper()
		if havePlain, haveMonitor := logged("plain"), logged("monitor"); havePlain != plain || haveMonitor != monitor {
			t.Errorf("%s: %q and with pg_monitor %q, want %q and %q", when, havePlain, haveMonitor, plain, monitor)
		}
	}
	want("no standby is connected", "0", "0")
	d.set(t, "synchronous_standby_names", "db2")
	d.receive(t)
	testbed.Eventually(t, "the standby is synchronous", func() bool {
		var is bool
		err := d.admin.QueryRow(testbed.Context(t), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')").Scan(&is)
		return err == nil && is
	})
	want("a standby is connected", "unknown", "1")
}
