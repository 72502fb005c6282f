package testpostgres

import (
	"os"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// StartStandby starts a synchronous standby of s: from then on s answers a commit when the
// standby has it on its disk too. It ends with the test.
func (s *Server) StartStandby(t testing.TB) *Server {
	t.Helper()
	standby := newServer(t, s.settings)
	t.Cleanup(standby.remove)
	standby.Follow(t, s)
	return standby
}

// Follow makes a server that does not run a synchronous standby of another one, as
// StartStandby does. It keeps its address and loses its data.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	if err := os.RemoveAll(s.data()); err != nil {
		t.Fatal(err)
	}
	out, err := s.command("pg_basebackup", "-D", s.data(), "-d", primary.DSN("postgres"), "-R", "-c", "fast", "--no-sync").CombinedOutput()
	if err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	s.Run(t)
	primary.exec(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.exec(t, "SELECT pg_reload_conf()")
	testbed.Eventually(t, "the standby is synchronous", func() bool {
		return primary.holds(t, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	})
}

// Promote makes a standby take writes, by pg_ctl promote.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if out, err := s.command("pg_ctl", "promote", "-D", s.data()).CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl promote: %v\n%s", err, out)
	}
}
