package repotest

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Compare takes two stores through the same random histories and asks both the
// same questions: the answers must be the same.
func Compare(t *testing.T, openA, openB func(t *testing.T) repo.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := openA(t), openB(t)
		defer a.Close()
		defer b.Close()
		h := newHistory(rapid.Uint64().Draw(rt, "seed"))
		size := rapid.IntRange(1, 30).Draw(rt, "changes of a batch")
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			batch := h.next(size)
			if spoil := rapid.IntRange(0, 5).Draw(rt, "spoil"); spoil == 0 && len(h.ids) > 0 {
				bad := *batch
				bad.Tasks = append(bad.Tasks[:len(bad.Tasks):len(bad.Tasks)], become("nobody", "queued", "failed"))
				if errA, errB := a.Commit(context.Background(), &bad), b.Commit(context.Background(), &bad); errA == nil || errB == nil || errA.Error() != errB.Error() {
					rt.Fatalf("a bad batch: %v, %v", errA, errB)
				}
			}
			mustCommit(t, a, batch)
			mustCommit(t, b, batch)
			same(t, "Counts", counts(t, a), counts(t, b))
			for range 2 {
				q := h.query()
				idsA, _ := listAll(t, a, *q)
				idsB, _ := listAll(t, b, *q)
				same(t, "List", idsA, idsB)
			}
		}
		leftA, errA := a.Tombstones(context.Background(), h.seen)
		leftB, errB := b.Tombstones(context.Background(), h.seen)
		same(t, "Tombstones", leftA, leftB)
		before := map[model.Status]model.Time{model.StatusCompleted: 500, model.StatusFailed: 700}
		oldA, nextA, _ := a.Expired(context.Background(), before, 0, 1000)
		oldB, nextB, _ := b.Expired(context.Background(), before, 0, 1000)
		same(t, "Expired", oldA, oldB)
		if errA != nil || errB != nil || nextA != 0 || nextB != 0 {
			rt.Fatalf("Tombstones: %v, %v; Expired next %d, %d", errA, errB, nextA, nextB)
		}
		same(t, "Snapshot", readSnapshot(t, mustSnapshot(t, a), 0), readSnapshot(t, mustSnapshot(t, b), 0))
		same(t, "Live", liveOf(t, a), liveOf(t, b))
		seqA, _ := a.LastSeq(context.Background())
		seqB, _ := b.LastSeq(context.Background())
		if seqA != seqB || t.Failed() {
			rt.Fatalf("LastSeq: %d, %d; or an answer above differs", seqA, seqB)
		}
	})
}
