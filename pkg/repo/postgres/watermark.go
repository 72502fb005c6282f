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
	seen   int64 // the last of them that this program has made or read
	lost   int64 // commits that vanished
}

// lastCommitSQL selects the number of the last commit.
const lastCommitSQL = "SELECT coalesce(max(at), 0) FROM counters"

// note notes a commit of this program.
func (w *watermark) note(commit int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit, w.seen = max(w.commit, commit), max(w.seen, commit)
}

// hear notes a commit that another program has announced.
func (w *watermark) hear(commit int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen > 0 && commit-w.seen <= maxAhead {
		w.commit = max(w.commit, commit)
	}
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
		w.commit, w.seen = max(w.commit, have), max(w.seen, have)
	case w.commit == before: // nothing was noted meanwhile
		missing = before - have
		w.commit, w.seen, w.lost = have, have, w.lost+missing
	}
	return missing
}

// maxAhead is how much further than the seen commits one that was heard of may be: more than
// a leader makes between two looks at its row. Forged numbers cost no more than that a look.
const maxAhead = 100_000

// LastCommit returns the number of the last commit that is known, 0 before the first one.
func (s *Store) LastCommit() int64 { return s.mark.known() }

// NoteCommit notes a commit that the leader has announced, so that it is missed if the
// database has it no longer. A number too far from what the database had is ignored, and so
// is each one before the first [Leader.Observe].
func (s *Store) NoteCommit(commit int64) { s.mark.hear(commit) }

// LostCommits counts the commits that the database was seen to have and has no longer. It
// sees what vanishes of this program's own commits, of those before the last
// [Leader.Observe], and of those of [Store.NoteCommit]; the numbers of a database have gaps, so
// it may count too many. A program that starts knows nothing of the time before.
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
