package postgres

import (
	"context"
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// watermark is the last commit that the database is known to have had, by the number that
// each commit gets (counters.at). A database that has a lower one than it had before was
// restored from a backup, or is a standby of PostgreSQL that was promoted without the last
// commits.
type watermark struct {
	mu     sync.Mutex
	commit int64
	lost   int64 // commits that vanished
}

// lastCommitSQL selects the number of the last commit.
const lastCommitSQL = "SELECT coalesce(max(at), 0) FROM counters"

// note notes a commit.
func (w *watermark) note(commit int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit = max(w.commit, commit)
}

// known returns the last commit that is known now.
func (w *watermark) known() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit
}

// check compares the last commit of a database with what was known before it was asked, and
// returns how many are missing. A difference is reported once.
func (w *watermark) check(before, have int64) (missing int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case have >= before:
		w.commit = max(w.commit, have)
	case w.commit == before: // nothing was noted meanwhile
		missing = before - have
		w.commit, w.lost = have, w.lost+missing
	}
	return missing
}

// LostCommits counts the commits that the database was seen to have and has no longer. It
// sees what vanishes of this program's own commits and of those before the last
// [Leader.Observe]; the numbers of a database have gaps, so it may count too many. A program
// that starts knows nothing of the time before.
func (s *Store) LostCommits() int64 {
	s.mark.mu.Lock()
	defer s.mark.mu.Unlock()
	return s.mark.lost
}

// checkCommits looks whether a server still has the commits that are known. A difference is
// logged, and returned as an error once.
func (s *Store) checkCommits(ctx context.Context, q queryer) error {
	before := s.mark.known()
	var have int64
	var standby bool
	if err := q.QueryRow(ctx, "SELECT pg_is_in_recovery(), ("+lastCommitSQL+")").Scan(&standby, &have); err != nil {
		return err
	}
	if standby { // it may be behind
		return nil
	}
	missing := s.mark.check(before, have)
	if missing == 0 {
		return nil
	}
	s.log.Error("store: PostgreSQL has lost commits that it had confirmed: a standby without them was promoted, or a backup was restored; tasks of these commits may be missing, and may be downloaded again",
		"dropped", missing, "before", before, "after", have)
	return model.Errorf(model.CodeUnavailable, "PostgreSQL has lost %d commits that it had confirmed (a failover without a synchronous standby, or a restored backup); the dispatcher reads its state again", missing)
}
