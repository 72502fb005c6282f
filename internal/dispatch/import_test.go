package dispatch

import (
	"errors"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

const heldBack = "is held back until its import is verified"

// pendingRecord is a task of another store, and its digest.
func pendingRecord(t *testing.T, id string) (records []repo.Record, digest repo.Digest) {
	t.Helper()
	task := &model.Task{
		TaskSpec: model.TaskSpec{ID: id, URL: "https://files.example/" + id, Priority: model.PriorityNormal, MaxAttempts: 4},
		Client:   "shop", Seq: 1, CreatedAt: 1000, TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: 1000},
	}
	records = []repo.Record{{Task: task}}
	if err := errors.Join(records[0].Encode(), digest.Add(&records[0])); err != nil {
		t.Fatal(err)
	}
	return records, digest
}

func (f *fixture) begin() *importSession {
	f.t.Helper()
	w, err := f.Begin(f.t.Context(), repo.CopyOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return w.(*importSession)
}

func (f *fixture) put(w *importSession, records []repo.Record) {
	f.t.Helper()
	if done, err := w.Put(f.t.Context(), records); err != nil || done.Written != 1 {
		f.t.Fatalf("put: %+v, %v", done, err)
	}
}

// failNext has the next commit fail: before it is written, or after.
func (s *gateStore) failNext(written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if written {
		s.after = errors.New("connection lost")
	} else {
		s.before = errors.New("disk on fire")
	}
}

// wantHeld asks that a task is not given to a worker with room, and says why.
func (f *fixture) wantHeld(id string) {
	f.t.Helper()
	f.untilDone(heartbeat(50))
	f.untilDone(heartbeat(50)) // what the first one has made possible is placed
	task, err := f.Task(f.t.Context(), "shop", id)
	if err != nil || task.Status != model.StatusPending || task.Reason != heldBack {
		f.t.Errorf("%s is %+v, %v; want it to be held back", id, task, err)
	}
}

func (f *fixture) wantPlaced(id string) {
	f.t.Helper()
	f.untilDone(heartbeat(50)) // after a refusal the turn behind it places
	testbed.Eventually(f.t, id+" is placed", func() bool {
		task, err := f.Task(f.t.Context(), "shop", id)
		return err == nil && task.Status == model.StatusQueued
	})
}

// TestImport_HoldSurvivesAReload: a commit that fails during an import drops the
// engine; the tasks that were imported before stay held back after the reload, and
// an import that is finished releases them.
func TestImport_HoldSurvivesAReload(t *testing.T) {
	for name, written := range map[string]bool{"nothing was written": false, "all was written": true} {
		t.Run(name, func(t *testing.T) {
			f := start(t, newStore())
			w := f.begin()
			records, digest := pendingRecord(t, "moved")
			f.put(w, records)
			f.store.failNext(written)
			f.do(submit("other"))
			f.untilDone(submit("other"))
			f.wantHeld("moved")
			f.wantPlaced("other")
			if got, err := w.Finish(t.Context(), digest); err != nil || !got.Equal(digest) {
				t.Fatalf("finish: %v, %v", got, err)
			}
			f.wantPlaced("moved")
		})
	}
}

// TestImport_AmbiguousPutIsHeldBack: the import's own commit fails and was written
// all the same; its tasks are held back after the reload. One that replaces a task
// and was not written leaves that task unchanged.
func TestImport_AmbiguousPutIsHeldBack(t *testing.T) {
	f := start(t, newStore())
	f.do(submit("own"))
	w, err := f.Begin(t.Context(), repo.CopyOptions{OnConflict: repo.Replace})
	if err != nil {
		t.Fatal(err)
	}
	own, _ := pendingRecord(t, "own")
	f.store.failNext(false)
	if _, err := w.Put(t.Context(), own); err == nil {
		t.Fatal("a put whose commit failed has no error")
	}
	f.wantPlaced("own")
	moved, _ := pendingRecord(t, "moved")
	f.store.failNext(true)
	if _, err := w.Put(t.Context(), moved); err == nil {
		t.Fatal("a put whose commit failed has no error")
	}
	f.wantHeld("moved")
}

// TestImport_FailedFinishHoldsAndRepeats: the commit of the release fails; nothing
// is placed, and the same finish may be repeated.
func TestImport_FailedFinishHoldsAndRepeats(t *testing.T) {
	f := start(t, newStore())
	f.do(heartbeat(50))
	w := f.begin()
	records, digest := pendingRecord(t, "moved")
	f.put(w, records)
	f.store.failNext(false)
	if _, err := w.Finish(t.Context(), digest); err == nil {
		t.Fatal("a finish whose commit failed has no error")
	}
	f.wantHeld("moved")
	if _, err := w.Finish(t.Context(), digest); err != nil {
		t.Fatal(err)
	}
	f.wantPlaced("moved")
}

// TestImport_AbortEndsDuringTheBackoff: an import is given up while writes are
// refused; it has ended all the same, and its tasks stay held back over reloads
// until an import of them is finished. An import of other tasks releases only those.
func TestImport_AbortEndsDuringTheBackoff(t *testing.T) {
	f := start(t, newStore())
	w := f.begin()
	records, digest := pendingRecord(t, "moved")
	f.put(w, records)
	f.store.failNext(false)
	f.do(submit("other"))
	if err := w.Abort(t.Context()); err != nil {
		t.Fatalf("abort during the backoff: %v", err)
	}
	f.untilDone(submit("other"))
	f.wantHeld("moved")
	if f.turn.hold.Active {
		t.Error("the import is still under way")
	}
	if _, err := w.Finish(t.Context(), digest); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("finish after the abort: %v, want that it is not there", err)
	}
	second := f.begin()
	others, otherDigest := pendingRecord(t, "elsewhere")
	f.put(second, others)
	if _, err := second.Finish(t.Context(), otherDigest); err != nil {
		t.Fatal(err)
	}
	f.wantPlaced("elsewhere")
	f.wantHeld("moved")
	third := f.begin()
	if done, err := third.Put(t.Context(), records); err != nil || done.Skipped != 1 {
		t.Fatalf("put again: %+v, %v", done, err)
	}
	if _, err := third.Finish(t.Context(), digest); err != nil {
		t.Fatal(err)
	}
	f.wantPlaced("moved")
}

// TestImport_RefusedWhereOthersTakeOver: what an import holds back is in memory only, so a
// dispatcher with a lease begins none. It compares for a dry run.
func TestImport_RefusedWhereOthersTakeOver(t *testing.T) {
	f := newFixture(t, newStore(), nil)
	lease := &endingLease{}
	lease.looks.Store(1000)
	f.useLease(lease)
	f.run()
	_, err := f.Begin(t.Context(), repo.CopyOptions{})
	if model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "migrate --target postgres") {
		t.Errorf("an import: %v", err)
	}
	if _, err := f.Begin(t.Context(), repo.CopyOptions{DryRun: true}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
}

// TestImport_HoldSurvivesAFreeze: a final export that is given up during an import
// changes nothing of it.
func TestImport_HoldSurvivesAFreeze(t *testing.T) {
	f := start(t, newStore())
	w := f.begin()
	records, digest := pendingRecord(t, "moved")
	f.put(w, records)
	snap, err := f.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), digest); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("finish while frozen: %v, want 503", err)
	}
	if err := errors.Join(f.Thaw(t.Context()), snap.Close()); err != nil {
		t.Fatal(err)
	}
	f.wantHeld("moved")
	if _, err := w.Finish(t.Context(), digest); err != nil {
		t.Fatal(err)
	}
	f.wantPlaced("moved")
}

// TestImport_CanceledAndRetriedIsNotHeld: what ends for its client leaves the hold,
// also for the engines that are loaded later.
func TestImport_CanceledAndRetriedIsNotHeld(t *testing.T) {
	f := start(t, newStore())
	w := f.begin()
	records, _ := pendingRecord(t, "moved")
	f.put(w, records)
	f.do(cancelOf("moved"), retryOf("moved"))
	f.store.failNext(false)
	f.do(submit("other"))
	f.untilDone(submit("other"))
	f.wantPlaced("moved")
}
