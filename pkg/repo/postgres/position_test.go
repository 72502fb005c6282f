package postgres

import (
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// What a reader has found is the position only while none is known, and of the writer's
// server only.
func TestPosition_FoundOfTheSameServer(t *testing.T) {
	const server = 7
	for _, c := range []struct {
		name string
		do   func(p *position)
		want int64
	}{
		{"before the first connection", func(p *position) { p.found(server, 3) }, 0},
		{"a connection", func(p *position) { p.begin(server) }, 0},
		{"found", func(p *position) { p.begin(server); p.found(server, 3) }, 3},
		{"found at another server", func(p *position) { p.begin(server); p.found(server+1, 3) }, 0},
		{"folded", func(p *position) { p.begin(server); p.found(server, 3); p.fold(9) }, 9},
		{"found after a fold", func(p *position) { p.begin(server); p.fold(9); p.found(server, 3) }, 9},
		{"another connection", func(p *position) { p.begin(server); p.fold(9); p.begin(server) }, 0},
	} {
		var p position
		if c.do(&p); p.get() != c.want {
			t.Errorf("%s: %d, want %d", c.name, p.get(), c.want)
		}
	}
}

// A dispatcher that takes over knows where the counters begin before its first commit, which
// folds them: that commit, with its limit, need not walk past the dead rows of all before.
func TestCounts_FindsTheirBeginBeforeTheFirstCommit(t *testing.T) {
	t.Parallel()
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	before := mustOpen(t, Config{DSN: dsn})
	for seq := int64(1); seq <= 4; seq++ {
		if seq == 3 {
			before.w.folded = time.Time{} // the commit folds
		}
		if err := before.Commit(ctx, newTask(seq)); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, Config{DSN: dsn})
	counts, err := s.Counts(ctx)
	if err != nil || counts[model.StatusPending] != 4 {
		t.Errorf("the counts are %v, %v", counts, err)
	}
	if have, want := s.w.position.get(), before.w.position.get(); have != want || want == 0 {
		t.Errorf("the counters begin at %d, want %d", have, want)
	}
	if err := s.Commit(ctx, newTask(5)); err != nil { // it folds
		t.Fatal(err)
	}
	if counts, err = s.Counts(ctx); err != nil || counts[model.StatusPending] != 5 {
		t.Errorf("after a commit: %v, %v", counts, err)
	}
}
