//go:build linux

package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestStore_FullMountRefusesWritesOnly: a full mount refuses writes only, and writes succeed when it has space again.
func TestStore_FullMountRefusesWritesOnly(t *testing.T) {
	testbed.OnASmallDisk(t, 8, func(t *testing.T, dir string) {
		ctx := context.Background()
		s := mustOpen(t, Config{Path: filepath.Join(dir, "d.db")})
		commit := func(seq int64) error {
			c := pending(fmt.Sprintf("t%d", seq), seq)
			c.Put.Torrent = bytes.Repeat([]byte{byte(seq)}, 100<<10)
			return s.Commit(ctx, &model.Batch{Tasks: []model.TaskChange{c}})
		}
		seq := int64(1)
		for ; seq <= 5; seq++ {
			if err := commit(seq); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 3 {
			filler := filepath.Join(dir, "filler")
			f, err := os.Create(filler)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			f.Close()
			before := seq - 1
			refused := 0
			for range 200 { // what the WAL has room for is still taken
				err := commit(seq)
				if err == nil {
					seq++
					continue
				}
				if refused++; model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "disk") {
					t.Fatalf("round %d: Commit = %v, want CodeUnavailable that speaks of the disk", round, err)
				}
				page, err := s.List(ctx, &model.ListQuery{Limit: 1000})
				if err != nil || int64(len(page.Tasks)) != seq-1 || total(t, s) != seq-1 {
					t.Fatalf("round %d: reads while the disk is full: %d tasks of %d, %v", round, len(page.Tasks), seq-1, err)
				}
			}
			if refused < 100 {
				t.Fatalf("round %d: the disk was never full: %d commits refused, %d taken", round, refused, seq-1-before)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if err := commit(seq); err != nil {
				t.Fatalf("round %d: there is room again, and Commit = %v", round, err)
			}
			seq++
		}
		report, err := Verify(ctx, s.path)
		if err != nil || !report.OK() || report.Tasks != seq-1 {
			t.Errorf("at the end: %+v, %v", report, err)
		}
	})
}

// TestStore_ReadOnlyFolder: a read only folder.
func TestStore_ReadOnlyFolder(t *testing.T) {
	testbed.OnASmallDisk(t, 8, func(t *testing.T, dir string) {
		ctx := context.Background()
		path := filepath.Join(dir, "d.db")
		s := mustOpen(t, Config{Path: path})
		mustCommit(t, s, pending("a", 1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		_, err := Open(ctx, Config{Path: path})
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "read-only file system") {
			t.Errorf("Open = %v, want an error that names the folder and says why", err)
		}
		r, err := OpenReadOnly(ctx, path)
		if err != nil {
			t.Fatalf("reading needs no right to write: %v", err)
		}
		if got := idsOf(t, r); len(got) != 1 {
			t.Errorf("a snapshot shows %v", got)
		}
		if report, err := Verify(ctx, path); err != nil || !report.OK() {
			t.Errorf("Verify: %+v, %v", report, err)
		}
	})
}
