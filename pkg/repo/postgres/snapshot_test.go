package postgres

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A page of a snapshot is bounded in bytes too, so that large torrents do not fill the memory;
// it has at least one task, and small tasks fill it. Together the pages have each task.
func TestSnapshot_PageIsBoundedInBytes(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	const small, large = 2100, 10
	b := &model.Batch{}
	for seq := int64(1); seq <= small; seq++ {
		b.Tasks = append(b.Tasks, newTask(seq).Tasks...)
	}
	batches := []*model.Batch{b}
	for i := range int64(large) { // one by one: a commit has 10 s
		b := newTask(small + 1 + i)
		put := b.Tasks[0].Put
		put.Torrent = bytes.Repeat([]byte("d4:info"), snapshotSize/7/3)
		if i == 0 {
			put.Torrent = append(put.Torrent, make([]byte, snapshotSize)...)
		}
		batches = append(batches, b)
	}
	for _, b := range batches {
		if err := s.Commit(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	snap := taken.(*snapshot)
	var pages []int
	last := int64(0)
	for {
		tasks, err := snap.page(ctx, last)
		if err != nil {
			t.Fatal(err)
		}
		if len(tasks) == 0 {
			break
		}
		size := 0
		for _, task := range tasks {
			if task.Seq != last+1 {
				t.Fatalf("seq %d follows %d", task.Seq, last)
			}
			last = task.Seq
			size += len(task.Torrent)
		}
		if size -= len(tasks[len(tasks)-1].Torrent); size > snapshotSize {
			t.Errorf("a page of %d tasks has %d bytes before its last task", len(tasks), size)
		}
		pages = append(pages, len(tasks))
	}
	if last != small+large || pages[0] != snapshotPage || pages[1] != small-snapshotPage+1 || len(pages) != 5 {
		t.Errorf("the pages have %d tasks, the last one has seq %d", pages, last)
	}
	var line, plan string
	sql := "EXPLAIN " + strings.NewReplacer("$1", "0", "$2", "2000", "$3", "1").Replace(snapshotSQL)
	rows, err := snap.conn.Query(ctx, sql)
	if err := scanValues(rows, err, []any{&line}, func() { plan += line + "\n" }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort  ") {
		t.Errorf("the plan:\n%s", plan)
	}
}
