package deploy_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/postgresbin"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// postgresHost is what a container of the image postgres is to its server, on this machine.
type postgresHost struct {
	dir, bin, port string
	account        *syscall.Credential
}

func newPostgresHost(t *testing.T) *postgresHost {
	t.Helper()
	path, err := postgresbin.Find("initdb")
	if err != nil {
		testbed.Missing(t, "postgresql", err)
	}
	account, err := postgresbin.Account()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "aria-ha-") //nolint:usetesting // the account may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The image makes the folder of the data with this mode, and a volume copies it.
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, one := range []string{dir, data} {
		if err := os.Chmod(one, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		if account != nil {
			if err := os.Chown(one, int(account.Uid), int(account.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, port, err := net.SplitHostPort(freeport.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	return &postgresHost{dir, filepath.Dir(path), port, account}
}

// command returns a command in the container.
func (h *postgresHost) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if path := filepath.Join(h.bin, args[0]); !strings.Contains(args[0], "/") && exists(path) {
		cmd = exec.CommandContext(ctx, path, args[1:]...)
	}
	cmd.Dir, cmd.SysProcAttr = h.dir, &syscall.SysProcAttr{Credential: h.account}
	cmd.Env = []string{"PATH=" + h.bin + ":" + os.Getenv("PATH"), "PGDATA=" + filepath.Join(h.dir, "data"), "PGPORT=" + h.port, "PGPASSWORD=" + haPassword}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs a command to its end.
func (h *postgresHost) run(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testbed.Patience)
	defer cancel()
	if out, err := h.command(ctx, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// start runs a server until the returned function is called, at the latest until the end of
// the test.
func (h *postgresHost) start(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd, log := h.command(ctx, args...), &testbed.Log{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log says more
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%v:\n%s", args, log)
		}
	})
	return stop
}

func (h *postgresHost) address() string { return net.JoinHostPort("127.0.0.1", h.port) }

const haPassword = "secret"

// The two PostgreSQL servers of the example start as their images start them: the first one
// creates its database before a standby exists, the second one copies it and follows
// synchronously. A dispatcher with the connection string of the example accepts them.
// Docker is not needed: the commands and the script run with the installed PostgreSQL.
func TestHA_PostgresServersStartAndReplicate(t *testing.T) {
	c := readHA(t)
	primary, standby := newPostgresHost(t), newPostgresHost(t)

	// What the image's docker-entrypoint.sh does at the first start.
	password := filepath.Join(primary.dir, "password")
	if err := os.WriteFile(password, []byte(haPassword+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	primary.run(t, "initdb", "-U", "aria", "--pwfile", password, "--auth-host", "scram-sha-256", "--auth-local", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	command := c.Services["postgres-1"].Command
	if len(command) == 0 {
		command = []string{"postgres"} // that of the image
	}
	stop := primary.start(t, append(slices.Clone(command), "-k", primary.dir, "-c", "listen_addresses=")...)
	testbed.Eventually(t, "the server of the first start answers", func() bool {
		return primary.command(t.Context(), "pg_isready", "-h", primary.dir, "-U", "aria").Run() == nil
	})
	primary.run(t, "psql", "-h", primary.dir, "-U", "aria", "-d", "postgres", "-c", "CREATE DATABASE aria")
	script := strings.ReplaceAll(c.Configs["replication"].Content, "$$", "$")
	primary.run(t, "bash", "-Eeo", "pipefail", "-c", script)
	stop()

	primary.start(t, append(slices.Clone(command), "-k", primary.dir, "-c", "listen_addresses=127.0.0.1")...)
	testbed.Eventually(t, "the first server answers", func() bool {
		return primary.command(t.Context(), "pg_isready", "-h", "127.0.0.1", "-U", "aria").Run() == nil
	})
	second := slices.Clone(c.Services["postgres-2"].Command)
	last := len(second) - 1
	second[last] = strings.NewReplacer("$$", "$", "-h postgres-1", "-h 127.0.0.1 -p "+primary.port,
		"exec postgres", "exec postgres -k "+standby.dir+" -c listen_addresses=127.0.0.1").Replace(second[last])
	standby.start(t, second...)

	dsn := strings.NewReplacer("${POSTGRES_PASSWORD:?}", haPassword, "postgres-1:5432", primary.address(), "postgres-2:5432", standby.address()).
		Replace(c.Services["dispatcher-1"].Environment["DISPATCHER_DB_DSN"])
	ctx := testbed.Context(t)
	testbed.Eventually(t, "the second server is a synchronous standby", func() bool {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return false
		}
		defer conn.Close(ctx)
		var n int
		err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND application_name = 'postgres_2'").Scan(&n)
		return err == nil && n == 1
	})
	s, err := postgres.Open(ctx, postgres.Config{DSN: dsn, RequireSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// After a promotion it takes commits without a standby.
	standby.run(t, "pg_ctl", "promote")
	first, err := pgx.Connect(ctx, strings.Replace(dsn, primary.address()+",", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(ctx)
	limited, end := context.WithTimeout(ctx, 10*time.Second)
	defer end()
	if _, err := first.Exec(limited, "CREATE TABLE promoted ()"); err != nil {
		t.Errorf("a commit after the promotion: %v", err)
	}
}
