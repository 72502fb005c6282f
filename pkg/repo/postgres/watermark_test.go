package postgres

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A standby of PostgreSQL that lacks confirmed commits is promoted. The leader, a standby
// dispatcher that saw them in the database and one that heard of them count them. An error is
// logged, the leader's next commit fails so that it reads its state again, and then it can
// commit.
func TestCommit_PromotionWithoutLastCommitsIsCounted(t *testing.T) {
	primary := testpostgres.Start(t)
	second := primary.StartStandby(t)
	dsn := strings.Replace(primary.DSN("postgres"), primary.Address(), primary.Address()+","+second.Address(), 1) + "&target_session_attrs=read-write"
	var log testbed.Log
	leader := mustOpen(t, Config{DSN: dsn, Logger: log.Logger()})
	other, hearing := mustOpen(t, Config{DSN: dsn}), mustOpen(t, Config{DSN: dsn})
	ctx := testbed.Context(t)
	leader.SetTerm(mustTake(t, leader, "a"))
	commit := func(seq int64) error { return leader.Commit(ctx, newTask(seq)) }
	if err := commit(1); err != nil {
		t.Fatal(err)
	}
	observe(t, hearing)
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
	hearing.NoteCommit(leader.LastCommit())
	primary.Kill(t)
	second.Run(t)
	second.Promote(t)
	for name, s := range map[string]*Store{"other": other, "hearing": hearing} {
		testbed.Eventually(t, "the "+name+" dispatcher sees the promoted server", func() bool {
			_, err := s.Leader().Observe(ctx)
			return err == nil
		})
	}
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
	for name, s := range map[string]*Store{"the leader": leader, "the other dispatcher": other, "the one that heard of them": hearing} {
		if n := s.LostCommits(); n != lost {
			t.Errorf("%s counts %d lost commits, want %d", name, n, lost)
		}
	}
	if !strings.Contains(log.String(), "PostgreSQL has lost commits") {
		t.Errorf("the log:\n%s", &log)
	}
}

// Which announced commits are missed when the database has 100.
func TestNoteCommit_ImpossibleNumberIsIgnored(t *testing.T) {
	for _, c := range []struct {
		name               string
		known, heard, miss int64
	}{
		{"before the first look", 0, 105, 0},
		{"older than what the database had", 100, 40, 0},
		{"the last one", 100, 100, 0},
		{"newer", 100, 105, 5},
		{"the newest that is possible", 100, 100 + maxAhead, maxAhead},
		{"forged", 100, 101 + maxAhead, 0},
		{"forged, the largest number", 100, math.MaxInt64, 0},
		{"forged, the least number", 100, math.MinInt64, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Store
			s.mark.note(c.known)
			s.NoteCommit(c.heard)
			if s.mark.check(s.mark.known(), 100); s.LostCommits() != c.miss {
				t.Errorf("%d commits are missed, want %d", s.LostCommits(), c.miss)
			}
		})
	}
}

// A forged number makes no higher one possible.
func TestNoteCommit_ForgedNumbersDoNotAddUp(t *testing.T) {
	var s Store
	s.mark.note(100)
	for n := range int64(1000) {
		s.NoteCommit(100 + (n+1)*maxAhead)
	}
	if s.mark.check(s.mark.known(), 100); s.LostCommits() != maxAhead {
		t.Errorf("%d commits are missed, want %d", s.LostCommits(), maxAhead)
	}
}
