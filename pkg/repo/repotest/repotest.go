package repotest

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Run runs the suite. open returns a new, empty store each time and closes it at
// the end of the test.
func Run(t *testing.T, open func(t *testing.T) repo.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s repo.Store)
	}{
		{"an empty store answers", emptyStoreAnswers},
		{"every field of a task comes back", taskFieldsReturned},
		{"a task without optional fields comes back", bareTaskReturned},
		{"every field of a worker comes back", workerFieldsReturned},
		{"workers are replaced and removed", workersReplaced},
		{"each field of a Set changes what it says and nothing else", setChangesItsFields},
		{"folded changes are one", foldedChanges},
		{"a change that contradicts the store refuses the whole batch", contradictionRefusesBatch},
		{"a malformed batch is refused", malformedBatchRefused},
		{"values that were read never change", readValuesImmutable},
		{"a batch may be used again after its commit", batchReusable},
		{"big batches are written whole", bigBatchWritten},
		{"counters equal a scan after any history", countersEqualScan},
		{"live tasks come in the order of seq", liveInSeqOrder},
		{"a live task has what it has, whatever it lacks", liveFieldsReturned},
		{"live tasks come from among many that have ended", liveAmongTerminal},
		{"LastSeq is the highest that is there", lastSeqIsHighest},
		{"a context that is done stops what has not begun", doneContextStops},
		{"a closed store refuses", closedStoreRefuses},
		{"lists filter, order and page as a plain scan would", listsEqualScan},
		{"lists find tasks by the end of their id", listByIDSuffix},
		{"a list that changes between pages has no gaps and no doubles", listWhileChanging},
		{"a page examines a bounded number of rows", pagesBounded},
		{"a cursor that no page gave is invalid", invalidCursorRefused},
		{"the password of a url cannot be searched for", passwordNotSearchable},
		{"readers see whole commits only", readersSeeWholeCommits},
		{"a deleted task leaves a tombstone until it is forgotten", tombstoneLifecycle},
		{"what expired is found in small steps", expiredInSteps},
		{"a snapshot does not change while commits continue", snapshotIsConsistent},
		{"a snapshot ends with its Close or its store's", snapshotClosed},
		{"snapshots show whole commits only", snapshotsShowWholeCommits},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func mustCommit(t testing.TB, s repo.Store, b *model.Batch) {
	t.Helper()
	if err := s.Commit(context.Background(), b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func mustRefuse(t *testing.T, s repo.Store, b *model.Batch) {
	t.Helper()
	if err := s.Commit(context.Background(), b); model.CodeOf(err) != model.CodeInternal {
		t.Errorf("Commit = %v, want a refusal (CodeInternal)", err)
	}
}

// get returns the task with the id, nil if it is not there.
func get(t testing.TB, s repo.Store, id string) *model.Task {
	t.Helper()
	found, err := s.Tasks(context.Background(), []string{id})
	if err != nil {
		t.Fatalf("Tasks: %v", err)
	}
	return found[id]
}

// same fails unless the two are equal; it prints them as JSON.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func counts(t testing.TB, s repo.Store) model.Counts {
	t.Helper()
	c, err := s.Counts(context.Background())
	if err != nil {
		t.Fatalf("Counts: %v", err)
	}
	return c
}
