package repotest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func tombstones(t testing.TB, s repo.Store, ids ...string) map[string]model.Tombstone {
	t.Helper()
	found, err := s.Tombstones(context.Background(), ids)
	if err != nil {
		t.Fatalf("Tombstones: %v", err)
	}
	return found
}

func tombstoneLifecycle(t *testing.T, s repo.Store) {
	same(t, "of no ids", tombstones(t, s), map[string]model.Tombstone{})
	b := &model.Batch{}
	for i := range int64(4) {
		c := task(fmt.Sprintf("t%d", i), i+1)
		c.SpecHash[0] = byte(i + 1)
		b.Tasks = append(b.Tasks, put(c))
	}
	mustCommit(t, s, b)
	gone := func(id string, until model.Time) model.TaskChange {
		return model.TaskChange{ID: id, From: model.StatusPending, Delete: true, Keep: until}
	}
	stone := func(n byte, until model.Time) model.Tombstone {
		return model.Tombstone{SpecHash: model.Hash{n}, Until: until}
	}
	keep := put(task("x", 9))
	keep.Keep = 5
	mustRefuse(t, s, batch(keep))
	mustRefuse(t, s, batch(gone("t0", 100), gone("nobody", 100))) // all or nothing
	same(t, "after a refusal", tombstones(t, s, "t0", "nobody"), map[string]model.Tombstone{})

	folded := become("t2", model.StatusPending, model.StatusFailed)
	later := gone("t2", 300)
	folded.Fold(&later)
	mustCommit(t, s, batch(gone("t0", 100), gone("t1", 200), folded, gone("t3", 0)))
	same(t, "after the deletions", tombstones(t, s, "t0", "t1", "t2", "t3", "nobody"),
		map[string]model.Tombstone{"t0": stone(1, 100), "t1": stone(2, 200), "t2": stone(3, 300)})

	// The id may come again, and go again: then the later one counts.
	again := task("t0", 10)
	again.SpecHash[0] = 7
	mustCommit(t, s, batch(put(again)))
	mustCommit(t, s, batch(gone("t0", 250)))
	mustCommit(t, s, &model.Batch{Forget: 200})
	same(t, "after 200", tombstones(t, s, "t0", "t1", "t2"), map[string]model.Tombstone{"t0": stone(7, 250), "t2": stone(3, 300)})
	mustCommit(t, s, &model.Batch{Forget: 299})
	mustCommit(t, s, &model.Batch{})
	same(t, "after 299", tombstones(t, s, "t0", "t2"), map[string]model.Tombstone{"t2": stone(3, 300)})

	many, end := &model.Batch{}, &model.Batch{}
	var ids []string
	for i := range model.MaxForget + 10 {
		id := fmt.Sprintf("m%05d", i)
		ids = append(ids, id)
		many.Tasks = append(many.Tasks, put(task(id, int64(100+i))))
		end.Tasks = append(end.Tasks, gone(id, 400))
	}
	slices.Reverse(end.Tasks)
	mustCommit(t, s, many)
	mustCommit(t, s, end)
	mustCommit(t, s, &model.Batch{Forget: 400}) // t2 and the first of the others
	if left := tombstones(t, s, ids...); len(left) != 11 || left[ids[model.MaxForget-1]].Until != 400 {
		t.Errorf("one commit left %d of %d tombstones", len(left), len(ids))
	}
}

func expiredInSteps(t *testing.T, s repo.Store) {
	ctx := context.Background()
	before := map[model.Status]model.Time{model.StatusCompleted: 100, model.StatusFailed: 50}
	want := commitExpirable(t, s)

	sweep := func(limit int) (found map[string]model.Status, calls int) {
		found = make(map[string]model.Status)
		for after := int64(0); ; {
			changes, next, err := s.Expired(ctx, before, after, limit)
			if err != nil || len(changes) > limit {
				t.Fatalf("Expired: %d changes, %v", len(changes), err)
			}
			if len(changes) > 0 {
				mustCommit(t, s, batch(changes...))
			}
			for _, c := range changes {
				found[c.ID] = c.From
			}
			if calls++; next == 0 {
				return found, calls
			}
			if next <= after || calls > 1000 {
				t.Fatalf("Expired goes from %d to %d in its call %d", after, next, calls)
			}
			after = next
		}
	}
	found, calls := sweep(7)
	same(t, "all that expired", found, want)
	if calls < len(want)/7 || calls > len(want)/7+4 {
		t.Errorf("it took %d calls", calls)
	}
	found, _ = sweep(7)
	same(t, "a second time", found, map[string]model.Status{})
	changes, next, err := s.Expired(ctx, nil, 0, 10)
	if len(changes) != 0 || err != nil {
		t.Errorf("without times %v expired, %d, %v", changes, next, err)
	}
}

// commitExpirable stores tasks in all states before and after their time. It returns the
// status of each completed one that finished before 100, and each failed one before 50.
func commitExpirable(t *testing.T, s repo.Store) map[string]model.Status {
	t.Helper()
	const rows = 3_500
	want := make(map[string]model.Status)
	for first := 0; first < rows; first += 1000 {
		b := &model.Batch{}
		for i := first; i < min(rows, first+1000); i++ {
			c := task(fmt.Sprintf("t%d", i), int64(10+i))
			switch i % 100 {
			case 3:
				c.Status, c.FinishedAt = model.StatusCompleted, 99
				want[c.ID] = c.Status
			case 4:
				c.Status, c.FinishedAt = model.StatusFailed, 49
				want[c.ID] = c.Status
			case 5:
				c.Status, c.FinishedAt = model.StatusFailed, 50 // not yet
			case 6:
				c.Status, c.FinishedAt = model.StatusCanceled, 1 // is never deleted
			case 7:
				c.FinishedAt = 1 // has not ended
			case 8:
				c.Status = model.StatusCompleted // unknown time
			}
			b.Tasks = append(b.Tasks, put(c))
		}
		mustCommit(t, s, b)
	}
	for id, seq := range map[string]int64{"far": 1 << 50, "last": math.MaxInt64 - 1} { // a gap is not walked through
		far := task(id, seq)
		far.Status, far.FinishedAt = model.StatusCompleted, 1
		mustCommit(t, s, batch(put(far)))
		want[id] = far.Status
	}
	return want
}
