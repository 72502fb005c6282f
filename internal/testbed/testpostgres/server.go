// Package testpostgres starts private PostgreSQL servers for tests, from the binaries that
// are installed. Only tests may import it.
package testpostgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/postgresbin"
)

// Server is a PostgreSQL server on a port of 127.0.0.1, with the defaults of PostgreSQL:
// a commit is on the disk before it is answered.
type Server struct {
	dir      string
	port     string
	account  *syscall.Credential // nil: that of this process
	settings []string            // NAME=VALUE
	log      *testbed.Log
	stdin    io.Closer // its end ends the server, whatever ends this process
	done     chan struct{}
	last     atomic.Int64 // number of databases
}

// user is the superuser of each server. Connections need no password.
const superuser = "aria"

// Start starts a server of its own for a test, with settings as NAME=VALUE. It ends with
// the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := create(t, settings)
	t.Cleanup(s.remove)
	s.Run(t)
	return s
}

// create makes the data of a server.
func create(t testing.TB, settings []string) *Server {
	t.Helper()
	s := newServer(t, settings)
	out, err := s.command("initdb", "-D", s.data(), "-U", superuser, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput()
	if err != nil {
		s.remove()
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	return s
}

func newServer(t testing.TB, settings []string) *Server {
	t.Helper()
	Program(t, "initdb")
	Program(t, "postgres")
	// Not t.TempDir: PostgreSQL runs as another user than root, who may not enter it.
	dir, err := os.MkdirTemp("", "aria-postgres-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	who, err := postgresbin.Account()
	if err == nil && who != nil {
		err = os.Chown(dir, int(who.Uid), int(who.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(freeport.Address(t))
	return &Server{dir: dir, port: port, account: who, settings: settings}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Run starts a server that was stopped, and waits until it takes connections.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	// The shell ends the server when its input ends: also where the test process is
	// killed and runs no cleanup.
	const script = `exec 3<&0; "$@" </dev/null & pid=$!
		(cat <&3 >/dev/null; kill -QUIT $pid 2>/dev/null) & wait $pid`
	path, err := postgresbin.Find("postgres")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", script, "sh", path, "-D", s.data(), "-k", s.dir, "-h", "127.0.0.1", "-p", s.port,
		"-c", "shared_buffers=64MB", "-c", "max_connections=50"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.CommandContext(context.Background(), "/bin/sh", args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.account}
	s.log, s.done = &testbed.Log{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = s.log, s.log
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	s.stdin = input
	go func() {
		_ = cmd.Wait() // the log says more
		close(s.done)
	}()
	testbed.Eventually(t, "PostgreSQL takes connections", func() bool {
		select {
		case <-s.done:
			t.Fatalf("postgres ended:\n%s", s.log)
		default:
		}
		conn, err := pgx.Connect(testbed.Context(t), s.DSN("postgres"))
		if err == nil {
			_ = conn.Close(testbed.Context(t))
		}
		return err == nil
	})
}

// Signal sends a signal to the postmaster.
func (s *Server) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.PID(t), signal); err != nil {
		t.Fatal(err)
	}
}

// PID returns the process id of the postmaster.
func (s *Server) PID(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// Stop ends the server at once, as a failure does: clients are cut off, and the next Run
// recovers from the WAL.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	_ = s.stdin.Close() // the shell sends SIGQUIT
	testbed.Receive(t, s.done)
}

// Log returns what the server has logged since its last Run.
func (s *Server) Log() string { return s.log.String() }

// DSN returns the connection string of a database.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", superuser, s.port, database)
}

// Address returns host and port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", s.port) }

// Database makes an empty database, which is dropped at the end of the test, and returns
// its connection string.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.last.Add(1))
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return s.DSN(name)
}

func (s *Server) exec(t testing.TB, sql string) {
	t.Helper()
	ctx := testbed.Context(t)
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err == nil {
		_, err = conn.Exec(ctx, sql)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}

// holds returns the answer of a question.
func (s *Server) holds(t testing.TB, sql string) (yes bool) {
	t.Helper()
	ctx := testbed.Context(t)
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err == nil {
		err = errors.Join(conn.QueryRow(ctx, sql).Scan(&yes), conn.Close(ctx))
	}
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return yes
}

// Kill is kill -9 of the postmaster; its other processes end with it.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGKILL)
	_ = s.stdin.Close() // a part of the shell waits for that
	testbed.Receive(t, s.done)
}

// remove ends the server and removes its data.
func (s *Server) remove() {
	if s.stdin != nil {
		_ = s.stdin.Close()
		<-s.done
	}
	if err := os.RemoveAll(s.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// command returns a command that runs as the user of the server.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	path, err := postgresbin.Find(program)
	if err != nil {
		path = program // its start says the rest
	}
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.account}
	return cmd
}

// Program returns the path of a program of PostgreSQL, such as pg_dump.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := postgresbin.Find(name)
	if err != nil {
		testbed.Missing(t, "postgresql", err)
	}
	return path
}
