package postgres

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// sweep deletes the completed tasks step by step, as retention does, and returns their seqs.
func sweep(t *testing.T, s *Store) (deleted []string) {
	t.Helper()
	for after := int64(0); ; {
		changes, next, err := s.Expired(testbed.Context(t), map[model.Status]model.Time{model.StatusCompleted: 1000}, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			deleted = append(deleted, c.ID)
		}
		if err := s.Commit(testbed.Context(t), &model.Batch{Tasks: changes}); err != nil {
			t.Fatal(err)
		}
		if after = next; next == 0 {
			return deleted
		}
	}
}

// A sweep does not walk again through the rows that it has deleted, which PostgreSQL keeps
// while an old transaction may see them. Tasks that come before them later are found: those
// of an import, and those that another program has written in a term of its own.
func TestExpired_SkipsDeletedRowsOnly(t *testing.T) {
	dsn := testpostgres.Database(t)
	s, other := mustOpen(t, Config{DSN: dsn}), mustOpen(t, Config{DSN: dsn})
	put := func(by *Store, first, last int64) {
		t.Helper()
		for seq := first; seq <= last; seq++ {
			b := newTask(seq)
			b.Tasks[0].Put.Status, b.Tasks[0].Put.FinishedAt = model.StatusCompleted, 5
			if err := by.Commit(testbed.Context(t), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(what string, n int, lowest int64) {
		t.Helper()
		if found := sweep(t, s); len(found) != n {
			t.Errorf("%s: %v are found, want %d", what, found, n)
		}
		if found := sweep(t, s); len(found) != 0 {
			t.Errorf("%s: %v are found again", what, found)
		}
		if low, _ := s.low.get(); low != lowest {
			t.Errorf("%s: the lowest seq is %d, want %d", what, low, lowest)
		}
	}
	put(s, 100, 120)
	if err := s.Commit(testbed.Context(t), newTask(500)); err != nil { // it stays
		t.Fatal(err)
	}
	expect("at first", 21, 500)
	put(s, 501, 510)
	expect("new tasks", 10, 500)
	put(s, 30, 34)
	expect("an import", 5, 500)
	put(other, 10, 14)
	s.SetTerm(0)
	expect("another program", 5, 500)
}

// Within a long sweep the lowest seq is looked up now and then, so that the next one does not
// walk through all that this one has deleted.
func TestLowest_IsLookedUpInTime(t *testing.T) {
	var l lowest
	if !l.isDue(0) {
		t.Error("it is not looked up at first")
	}
	l.set(10, 0)
	due := 0
	for after := int64(10); after < 10+3*lookEvery; after++ {
		if l.isDue(after) {
			due++
		}
	}
	if due != 3 {
		t.Errorf("it is looked up %d times in %d steps", due, 3*lookEvery)
	}
	_, round := l.get()
	l.inserting(4)
	if l.set(20, round); l.seq != 0 {
		t.Error("what was looked up before an insert is believed")
	}
}
