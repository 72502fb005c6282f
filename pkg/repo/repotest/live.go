package repotest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// liveOf returns what Live yields, without what a store may leave out there.
func liveOf(t testing.TB, s repo.Store) []*model.Task {
	t.Helper()
	var tasks []*model.Task
	for task, err := range s.Live(context.Background()) {
		if err != nil {
			t.Fatalf("Live: %v", err)
		}
		kept := *task // the next one may come in its place
		tasks = append(tasks, &kept)
	}
	return asLive(tasks)
}

// asLive returns tasks with what Live must have of them: each field that is not declared
// with live=never.
func asLive(tasks []*model.Task) []*model.Task {
	var out []*model.Task
	there := func(b []byte) []byte { return bytes.Repeat([]byte{1}, min(len(b), 1)) }
	for _, t := range tasks {
		c := *t
		clearNotLive(&c)
		c.Torrent, c.Metalink = there(c.Torrent), there(c.Metalink)
		out = append(out, &c)
	}
	return out
}

func liveInSeqOrder(t *testing.T, s repo.Store) {
	h := newHistory(12)
	for range 40 {
		mustCommit(t, s, h.next(60))
	}
	var want []*model.Task
	for _, task := range h.tasks {
		if !task.Status.Terminal() {
			want = append(want, task)
		}
	}
	slices.SortFunc(want, func(a, b *model.Task) int { return int(a.Seq - b.Seq) })
	if len(want) < 250 {
		t.Fatalf("only %d live tasks", len(want))
	}
	same(t, "Live", liveOf(t, s), asLive(want))
	for task, err := range s.Live(context.Background()) { // may be left early
		if err != nil || task.Seq != want[0].Seq {
			t.Errorf("Live begins with %v, %v", task, err)
		}
		break
	}
}

// liveFieldsReturned has tasks with a single field, with all but one, and with values
// that a careless encoding would change, each next to a bare one: nothing of a
// task may be taken for the next one's.
func liveFieldsReturned(t *testing.T, s repo.Store) {
	var want []*model.Task
	add := func(change func(t *model.Task)) {
		seq := int64(len(want) + 1)
		row := task(fmt.Sprintf("t%d", seq), seq)
		change(row)
		want = append(want, row)
		seq++
		want = append(want, task(fmt.Sprintf("t%d", seq), seq))
	}
	key := []string{"ID", "Seq", "Status", "Reason", "Damage", "TaskSpec", "TaskState"}
	for _, part := range []func(*model.Task) any{
		func(t *model.Task) any { return t },
		func(t *model.Task) any { return &t.TaskSpec },
		func(t *model.Task) any { return &t.TaskState },
	} {
		kind := reflect.TypeOf(part(&model.Task{})).Elem()
		for i := range kind.NumField() {
			if slices.Contains(key, kind.Field(i).Name) {
				continue
			}
			add(func(t *model.Task) {
				n := t.Seq * 100
				fill(reflect.ValueOf(part(t)).Elem().Field(i), &n)
			})
			add(func(t *model.Task) {
				*t = *fullTask(t.ID, t.Seq, model.StatusPending)
				t.Reason = ""
				reflect.ValueOf(part(t)).Elem().Field(i).SetZero()
			})
		}
	}
	for _, gid := range []string{"\x1e", "a\x1e\x1eb\x1d", "\n", "2089b05ecca3d829", "ü\"'"} {
		add(func(t *model.Task) { t.GID = gid })
	}
	for _, progress := range []float64{1. / 3, 0.1 + 0.2, 99.99999999999999, 1e-300, math.Nextafter(100, 0), -1} {
		add(func(t *model.Task) { t.Progress = progress })
	}
	for _, n := range []int64{-1, math.MaxInt64, math.MinInt64} {
		add(func(t *model.Task) { t.CompletedLength = n })
	}
	if len(want) < 100 {
		t.Fatalf("only %d tasks", len(want))
	}
	b := &model.Batch{}
	for _, row := range want {
		b.Tasks = append(b.Tasks, put(row))
	}
	mustCommit(t, s, b)
	got, rows := liveOf(t, s), asLive(want)
	if len(got) != len(rows) {
		t.Fatalf("%d tasks, want %d", len(got), len(rows))
	}
	for i := range rows {
		same(t, "Live", got[i], rows[i])
	}
}

// liveAmongTerminal has live tasks first densely, then as one of many, as in an old
// store.
func liveAmongTerminal(t *testing.T, s repo.Store) {
	var want []int64
	b := &model.Batch{}
	for seq := int64(1); seq <= 10_000; seq++ {
		row := task(fmt.Sprintf("t%d", seq), seq)
		switch {
		case seq > 5_000 && seq%100 != 0, seq > 3_000 && seq%2 == 1:
			row.Status = []model.Status{model.StatusCompleted, model.StatusFailed, model.StatusCanceled}[seq%3]
		default:
			row.Status = []model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused}[seq%4]
			want = append(want, seq)
		}
		if b.Tasks = append(b.Tasks, put(row)); len(b.Tasks) == 1000 {
			mustCommit(t, s, b)
			b = &model.Batch{}
		}
	}
	var got []int64
	for _, row := range liveOf(t, s) {
		got = append(got, row.Seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d live tasks of %d", len(got), len(want))
	}
}
