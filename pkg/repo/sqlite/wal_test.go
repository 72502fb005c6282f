package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func walSize(t testing.TB, s *Store) int64 {
	t.Helper()
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// rewrite changes a row of 300 kB, all of it: SQLite leaves out pages that stay
// as they are.
func rewrite(t testing.TB, s *Store, n int) {
	t.Helper()
	c := pending("big", 1)
	c.Put.Torrent = bytes.Repeat([]byte{byte(n)}, 300<<10)
	if total(t, s) > 0 {
		c.From = model.StatusPending
	}
	mustCommit(t, s, c)
}

// TestWAL_RestartsUnderLoad: the WAL restarts from its beginning under load.
func TestWAL_RestartsUnderLoad(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	for i := range 200 { // 60 MB of changes
		rewrite(t, s, i)
	}
	if n := walSize(t, s); n > 24<<20 {
		t.Errorf("the WAL has %d bytes", n)
	}
}

// Each reader here begins before the one before it ends, as they do under a
// constant load: SQLite's own checkpoints never find the WAL without one.
func TestWAL_OverlappingReadersKeepItSmall(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	s.w.walLimit = 32 << 20
	rewrite(t, s, 600)
	next := func() *sqlx.Rows {
		rows, err := s.r.Queryx("SELECT id FROM tasks UNION ALL SELECT id FROM tasks")
		if err != nil || !rows.Next() { // it stands in the WAL until it is closed
			t.Fatal("no row", err)
		}
		return rows
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		reader := next()
		for range time.Tick(5 * time.Millisecond) { // some commits later
			after := next()
			reader.Close()
			if reader = after; isClosed(stop) {
				reader.Close()
				return
			}
		}
	}()
	var top int64
	for i := range 600 { // 180 MB
		rewrite(t, s, i)
		top = max(top, walSize(t, s))
	}
	close(stop)
	<-stopped
	if top > 64<<20 {
		t.Errorf("the WAL grew to %d MB", top>>20)
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestWAL_TruncatedAfterLongSnapshot: the WAL is truncated after a long snapshot.
func TestWAL_TruncatedAfterLongSnapshot(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	s.w.walLimit, s.w.walRetry = 8<<20, 20*time.Millisecond
	rewrite(t, s, 150)
	snap, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 { // 45 MB
		rewrite(t, s, i)
	}
	if n := walSize(t, s); n < 40<<20 {
		t.Fatalf("the WAL has %d bytes: this tests nothing", n)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		rewrite(t, s, i)
	}
	if n := walSize(t, s); n > 9<<20 {
		t.Errorf("after the snapshot the WAL has %d bytes", n)
	}
	if got := pragma(t, s, "busy_timeout"); got != 5000 {
		t.Errorf("the writer's busy_timeout is left at %d", got)
	}
}

// A commit that waited for a reader would wait as long as the test, and fail
// after five seconds.
func TestCommit_WaitsForNoReader(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	fillStore(t, s, 1, 500)
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	rows, err := s.r.QueryContext(t.Context(), "SELECT id FROM tasks")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seq, read := int64(500), 0
	for _, err := range snap.Tasks(t.Context(), 0) { // in the middle of a walk
		if err != nil || !rows.Next() { // and of a query
			t.Fatal(err, rows.Err())
		}
		seq++
		read++
		mustCommit(t, s, pending(fmt.Sprintf("new-%d", seq), seq))
	}
	if read != 500 {
		t.Errorf("the snapshot has %d tasks, want the 500 of before", read)
	}
}
