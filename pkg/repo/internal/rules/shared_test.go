package rules

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Close ends the snapshots that are open, each once, and none is added afterwards.
func TestSnapshots_CloseEndsOpenOnes(t *testing.T) {
	var s Snapshots
	ended, failed := 0, errors.New("broken")
	removed := s.Add(func() error { t.Error("a removed one was ended"); return nil })
	for range 2 {
		if s.Add(func() error { ended++; return failed }) == nil {
			t.Error("not added")
		}
	}
	removed()
	if err := s.Close(); !errors.Is(err, failed) || ended != 2 {
		t.Errorf("Close: %v, %d were ended", err, ended)
	}
	if s.Add(func() error { return nil }) != nil {
		t.Error("added after Close")
	}
	if err := s.Close(); err != nil || ended != 2 {
		t.Errorf("a second Close: %v, %d were ended", err, ended)
	}
}

// Chunks are read until one is empty, each after the last task of the one before; an error
// is the last thing that is yielded.
func TestChunks_EndAtEmptyOneOrError(t *testing.T) {
	failed := errors.New("broken")
	for _, want := range []error{nil, failed} {
		var asked []int64
		n := 0
		var last error
		for _, err := range Chunks(3, func(after int64) ([]*model.Task, error) {
			asked = append(asked, after)
			if after > 6 {
				return nil, want
			}
			return []*model.Task{{Seq: after + 1}, {Seq: after + 2}}, nil
		}) {
			if last = err; err == nil {
				n++
			}
		}
		if n != 4 || len(asked) != 3 || asked[1] != 5 || !errors.Is(last, want) {
			t.Errorf("%d tasks, asked after %v, the last error is %v", n, asked, last)
		}
	}
}

// The number of the last migration is the schema.
func TestLastMigration_HighestNumber(t *testing.T) {
	files := fstest.MapFS{"migrations/00002_b.sql": {}, "migrations/00010_c.sql": {}, "migrations/notes.txt": {}}
	if n := LastMigration(files); n != 10 {
		t.Errorf("the last one is %d", n)
	}
	if n := LastMigration(fstest.MapFS{}); n != 0 {
		t.Errorf("without files: %d", n)
	}
}
