package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// No session keeps a lock for long when it or its client hangs. With synchronous normal only
// the commits of the writer are not waited for: a term is always durable.
func TestSession_SettingsBoundLocksAndDurability(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t), Synchronous: Normal})
	mustTake(t, s, "a")
	reader, err := s.r.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	version, err := checkServer(ctx, reader.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]*pgx.Conn{"the writer": s.w.conn, "the leader row": s.leader.conn, "a reader": reader.Conn()} {
		want := map[string]string{"idle_in_transaction_session_timeout": "5s", "lock_timeout": "2s", "client_connection_check_interval": "2s", "idle_session_timeout": "0"}
		if want["synchronous_commit"] = "on"; name == "the writer" {
			want["synchronous_commit"] = "off"
		}
		if version >= 170000 && name != "a reader" {
			want["transaction_timeout"] = "15s"
		}
		for setting, value := range want {
			var have string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&have); err != nil || have != value {
				t.Errorf("%s: %s is %q (%v), want %s", name, setting, have, err, value)
			}
		}
	}
}

// setDefault sets what the sessions at a database have unless they set it themselves.
func setDefault(t *testing.T, dsn, name, value string) {
	t.Helper()
	c, err := parseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, dsn, "ALTER DATABASE "+c.Database+" SET "+name+" = '"+value+"'")
}

// Defaults of a role or a database that are for other programs change nothing: the schema is
// made, tasks are stored and read, and a refused batch leaves the writer's session.
func TestSession_DefaultsOfTheDatabaseDoNotMatter(t *testing.T) {
	t.Parallel()
	ctx := testbed.Context(t)
	for name, value := range map[string]string{
		"statement_timeout": "30s", "default_transaction_isolation": "serializable", "exit_on_error": "on", "client_min_messages": "error",
	} {
		dsn := testpostgres.Database(t)
		setDefault(t, dsn, name, value)
		s := mustOpen(t, Config{DSN: dsn})
		if err := s.Commit(ctx, newTask(1)); err != nil {
			t.Errorf("%s = %s: a commit: %v", name, value, err)
		}
		backend := s.w.backend.Load()
		if err := s.Commit(ctx, newTask(1)); err == nil || model.CodeOf(err) == model.CodeUnavailable || s.w.backend.Load() != backend || s.w.conn == nil {
			t.Errorf("%s = %s: a batch that contradicts the store: %v", name, value, err)
		}
		if ids, err := live(ctx, s); len(ids) != 1 || err != nil {
			t.Errorf("%s = %s: %v is read, %v", name, value, ids, err)
		}
		reader, err := s.r.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for who, conn := range map[string]*pgx.Conn{"the writer": s.w.conn, "a reader": reader.Conn()} {
			var have string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&have); err != nil || have == value {
				t.Errorf("%s of %s is %s, %v", name, who, have, err)
			}
		}
		reader.Release()
	}
}

// A password that was replaced, in the server and in the file that the connection string
// names, is used for the next connections.
func TestConnect_ReadsTheReplacedPassword(t *testing.T) {
	t.Parallel()
	ctx := testbed.Context(t)
	server := testpostgres.Start(t)
	admin := server.Database(t)
	var hba string
	conn, err := pgx.Connect(ctx, admin)
	if err == nil {
		err = errors.Join(conn.QueryRow(ctx, "SHOW hba_file").Scan(&hba), conn.Close(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	execute(t, admin, "CREATE ROLE app LOGIN", "GRANT ALL ON SCHEMA public TO app",
		"COPY (VALUES ('host all app all scram-sha-256'), ('host all all all trust')) TO '"+hba+"'", "SELECT pg_reload_conf()")
	file := filepath.Join(t.TempDir(), "password")
	replace := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("*:*:*:app:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		execute(t, admin, "ALTER ROLE app PASSWORD '"+password+"'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
	}
	replace("first")
	s := mustOpen(t, Config{DSN: strings.Replace(admin, "aria@", "app@", 1) + "&passfile=" + file})
	term := mustTake(t, s, "a")
	s.SetTerm(term)
	if _, err := s.Counts(ctx); err != nil {
		t.Fatal(err)
	}
	replace("second")
	for what, use := range map[string]func() error{
		"a commit":    func() error { return s.Commit(ctx, &model.Batch{}) },
		"a renewal":   func() error { return s.Leader().Renew(ctx, term, claim("a")) },
		"the reading": func() error { return second(s.Counts(ctx)) },
	} {
		var err error
		for range 2 + s.config.Readers { // the first one finds the session ended
			if err = use(); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// While the password file is missing, as in the moment of its replacement, the password of the
// start is used.
func TestConnect_KeepsThePasswordOfAMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("*:*:*:app:first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := newServers("postgres://app@127.0.0.1/aria?passfile="+file, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if c, _ := all.connConfig(); c.Password != "first" {
		t.Errorf("the password is %q", c.Password)
	}
}

// Each connection resolves the names of the hosts again: a name that moved to another server
// is followed.
func TestConnect_ResolvesNamesEachTime(t *testing.T) {
	server := testpostgres.Shared(t)
	_, port, err := net.SplitHostPort(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	all, err := newServers("postgres://aria@database.example:"+port+"/postgres", false)
	if err != nil {
		t.Fatal(err)
	}
	var now atomic.Value
	all.base.LookupFunc = func(context.Context, string) ([]string, error) { return []string{now.Load().(string)}, nil }
	for _, one := range []struct {
		address string
		listens bool
	}{{"127.0.0.2", false}, {"127.0.0.1", true}} {
		now.Store(one.address)
		c, _ := all.connConfig()
		conn, err := all.connect(testbed.Context(t), c)
		if (err == nil) != one.listens {
			t.Errorf("the name stands for %s: %v", one.address, err)
		}
		if err == nil {
			closeBroken(conn)
		}
	}
}

// A server that does not take writes gives no term, also where the connection string
// allows such a server.
func TestLeader_RowOfStandbyServerNotTaken(t *testing.T) {
	primary := testpostgres.Start(t)
	mustOpen(t, Config{DSN: primary.DSN("postgres")})
	standby := primary.StartStandby(t)
	s := mustOpen(t, Config{DSN: standby.DSN("postgres") + "&target_session_attrs=prefer-standby"})
	term, err := s.Leader().Take(testbed.Context(t), observe(t, s), claim("a"))
	if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "standby of PostgreSQL") {
		t.Errorf("Take = %d, %v", term, err)
	}
}

// poolBefore returns the address of what a pooler is to its clients: a server that names
// other process ids than PostgreSQL does.
func poolBefore(t *testing.T, server string) string {
	t.Helper()
	return testbed.Listen(t, "127.0.0.1:0", func(in net.Conn) {
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, in) // the end of the connection
			_ = out.Close()
		}()
		from := bufio.NewReader(out)
		for kind := byte(0); kind != 'K'; { // BackendKeyData
			head := make([]byte, 5)
			if _, err := io.ReadFull(from, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(from, body); err != nil {
				return
			}
			if kind = head[0]; kind == 'K' {
				binary.BigEndian.PutUint32(body, binary.BigEndian.Uint32(body)+1)
			}
			if _, err := in.Write(slices.Concat(head, body)); err != nil {
				return
			}
		}
		_, _ = io.Copy(in, from) // the end of the connection
	})
}

// A pooler between the dispatcher and PostgreSQL is noticed, and a direct connection is not
// taken for one.
func TestOpen_NoticesPooler(t *testing.T) {
	server := testpostgres.Shared(t)
	dsn := server.Database(t)
	for dsn, want := range map[string]bool{dsn: false, strings.Replace(dsn, server.Address(), poolBefore(t, server.Address()), 1): true} {
		var log testbed.Log
		s, err := Open(context.Background(), Config{DSN: dsn, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "a connection pooler is between") != want {
			t.Errorf("%s: the log has the pooler %v times\n%s", dsn, !want, &log)
		}
	}
}
