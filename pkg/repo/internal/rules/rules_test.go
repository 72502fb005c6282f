package rules

import (
	"math"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestCursor_ReadBack: a cursor is read back.
func TestCursor_ReadBack(t *testing.T) {
	for _, seq := range []int64{1, 9, 1 << 40, math.MaxInt64} {
		if got, err := Seq(Cursor(seq)); err != nil || got != seq {
			t.Errorf("Seq(Cursor(%d)) = %d, %v", seq, got, err)
		}
	}
	if got, err := Seq(""); got != 0 || err != nil {
		t.Errorf("the empty cursor is %d, %v; want 0", got, err)
	}
}

// FuzzCursor_OwnOrInvalid: a cursor is one of ours or invalid.
func FuzzCursor_OwnOrInvalid(f *testing.F) {
	for _, s := range []string{"", "x", "czE", "cze", "czAx", "czA", "cy0x", "cysx", "MQ", "czk5OTk5OTk5OTk5OTk5OTk5OTk5", "czE=", "czE\n", "cz\nE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		seq, err := Seq(cursor)
		switch {
		case err != nil && model.CodeOf(err) != model.CodeInvalid:
			t.Errorf("Seq(%q): %v is not CodeInvalid", cursor, err)
		case err == nil && cursor != "" && Cursor(seq) != cursor:
			t.Errorf("Seq(%q) = %d, whose cursor is %q", cursor, seq, Cursor(seq))
		}
	})
}

// TestLower_FoldsASCIIOnly: lower folds ASCII only.
func TestLower_FoldsASCIIOnly(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "HtTp://X": "http://x", "ÄZ": "Äz"} {
		if got := Lower(in); got != want {
			t.Errorf("Lower(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestCheckBatch_MalformedBatchRefused: a malformed batch is refused.
func TestCheckBatch_MalformedBatchRefused(t *testing.T) {
	task := func(id string, seq int64, s model.Status) *model.Task {
		return &model.Task{TaskSpec: model.TaskSpec{ID: id}, Seq: seq, TaskState: model.TaskState{Status: s}}
	}
	put := model.TaskChange{ID: "a", Put: task("a", 1, model.StatusPending)}
	for name, b := range map[string]model.Batch{
		"two changes for a task": {Tasks: []model.TaskChange{put, put}},
		"no id":                  {Tasks: []model.TaskChange{{Put: task("", 1, model.StatusPending)}}},
		"nothing to do":          {Tasks: []model.TaskChange{{ID: "a", From: model.StatusPending}}},
		"two things to do":       {Tasks: []model.TaskChange{{ID: "a", From: model.StatusPending, Set: model.SetGID, Delete: true}}},
		"another id in the row":  {Tasks: []model.TaskChange{{ID: "b", Put: put.Put}}},
		"no seq":                 {Tasks: []model.TaskChange{{ID: "a", Put: task("a", 0, model.StatusPending)}}},
		"no status":              {Tasks: []model.TaskChange{{ID: "a", Put: task("a", 1, "")}}},
		"an unknown From":        {Tasks: []model.TaskChange{{ID: "a", From: "odd", Set: model.SetGID}}},
		"an unknown status":      {Tasks: []model.TaskChange{{ID: "a", From: model.StatusPending, Set: model.SetStatus}}},
		"fields of no task":      {Tasks: []model.TaskChange{{ID: "a", Set: model.SetGID}}},
		"a worker without id":    {Workers: []model.WorkerChange{{}}},
		"another worker's row":   {Workers: []model.WorkerChange{{ID: "w", Put: &model.Worker{ID: "v"}}}},
	} {
		if err := CheckBatch(&b); model.CodeOf(err) != model.CodeInternal {
			t.Errorf("%s: CheckBatch = %v, want a refusal", name, err)
		}
	}
	if err := CheckBatch(&model.Batch{Tasks: []model.TaskChange{put}}); err != nil {
		t.Errorf("a good batch is refused: %v", err)
	}
}
