package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A standby of PostgreSQL that lacks confirmed commits is promoted. The leader and a standby
// dispatcher count them and log an error, the leader's next commit fails so that it reads its
// state again, and then it can commit.
func TestCommit_PromotionWithoutLastCommitsIsCounted(t *testing.T) {
	primary := testpostgres.Start(t)
	second := primary.StartStandby(t)
	dsn := strings.Replace(primary.DSN("postgres"), primary.Address(), primary.Address()+","+second.Address(), 1) + "&target_session_attrs=read-write"
	var log testbed.Log
	leader := mustOpen(t, Config{DSN: dsn, Logger: log.Logger()})
	other := mustOpen(t, Config{DSN: dsn})
	ctx := testbed.Context(t)
	leader.SetTerm(mustTake(t, leader, "a"))
	commit := func(seq int64) error { return leader.Commit(ctx, newTask(seq)) }
	if err := commit(1); err != nil {
		t.Fatal(err)
	}
	second.Stop(t)
	admin, err := pgx.Connect(ctx, primary.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	const lost = 3
	for seq := int64(2); seq < 2+lost; seq++ {
		if err := commit(seq); err != nil {
			t.Fatal(err)
		}
	}
	observe(t, other)
	primary.Kill(t)
	second.Run(t)
	second.Promote(t)
	testbed.Eventually(t, "the other dispatcher sees the promoted server", func() bool {
		_, err := other.Leader().Observe(ctx)
		return err == nil
	})
	testbed.Eventually(t, "a commit is refused for the lost ones", func() bool {
		err := commit(9)
		if err == nil {
			t.Fatal("a commit after the promotion was accepted without a reload")
		}
		return model.CodeOf(err) == model.CodeUnavailable && strings.Contains(err.Error(), fmt.Sprintf("lost %d commits", lost))
	})
	if err := commit(9); err != nil {
		t.Errorf("the next commit: %v", err)
	}
	for name, s := range map[string]*Store{"the leader": leader, "the other dispatcher": other} {
		if n := s.LostCommits(); n != lost {
			t.Errorf("%s counts %d lost commits, want %d", name, n, lost)
		}
	}
	if !strings.Contains(log.String(), "PostgreSQL has lost commits") {
		t.Errorf("the log:\n%s", &log)
	}
}
