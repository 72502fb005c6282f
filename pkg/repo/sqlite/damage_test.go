package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

// files returns the store's file and its WAL, as a killed process leaves them.
func files(t *testing.T, n int64) (file, wal []byte) {
	t.Helper()
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	fillStore(t, s, 1, n)
	if _, err := s.w.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, pending("last", n+1))
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		file, wal = wal, b
	}
	return file, wal
}

func place(t *testing.T, file, wal []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.db")
	for suffix, b := range map[string][]byte{"": file, "-wal": wal} {
		if b == nil {
			continue
		}
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// mustLeave fails unless Open refuses the file with a sentence that says want,
// and leaves it as it is.
func mustLeave(t *testing.T, file, wal []byte, want string) {
	t.Helper()
	path := place(t, file, wal)
	s, err := Open(context.Background(), Config{Path: path})
	if err == nil {
		s.Close()
		t.Errorf("it was opened, want a refusal that says %q", want)
		return
	}
	if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, path) || strings.Contains(text, "\n") {
		t.Errorf("Open = %q, want one sentence that names the file and says %q", text, want)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, file) {
		t.Error("the file was touched")
	}
	if now, _ := os.ReadFile(path + "-wal"); !bytes.Equal(now, wal) {
		t.Error("the WAL was touched")
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("the lock was left behind")
	}
}

// TestOpen_TruncatedFileRefusedUnchanged: a truncated file is refused and stays unchanged.
func TestOpen_TruncatedFileRefusedUnchanged(t *testing.T) {
	file, wal := files(t, 500)
	for _, n := range []int{1, 100, 2000, 4096, len(file) / 2 / 4096 * 4096, len(file) - 4096, len(file) - 1} {
		want := "is cut off"
		if n < 100 {
			want = "is not a SQLite file"
		}
		mustLeave(t, file[:n], nil, want)
	}
	mustLeave(t, file[:len(file)/2/4096*4096], wal, "is damaged")
	path := place(t, file[:len(file)/2/4096*4096], nil)
	if report, err := Verify(context.Background(), path); err != nil || report.OK() {
		t.Errorf("Verify of half a file: %+v, %v", report, err)
	}
}

// SQLite keeps no checksums, so a bit that flips within a value is not seen by
// anybody; one in the structure of a page is.
func TestOpen_FlippedBitFoundAfterKill(t *testing.T) {
	file, wal := files(t, 500)
	rnd := rand.New(rand.NewPCG(5, 6))
	pages := len(file) / 4096
	flips := 0
	for flips < 12 {
		page := 1 + rnd.IntN(pages-1)
		bad := slices.Clone(file)
		head := bad[page*4096:]
		if kind := head[0]; kind != 2 && kind != 5 && kind != 10 && kind != 13 {
			continue // the page is no part of a tree
		}
		if bytes.Contains(wal, head[:64]) || inWAL(wal, uint32(page+1)) {
			continue // the WAL has a newer one
		}
		flips++
		at := []int{0, 3, 4, 8, 9}[rnd.IntN(5)] // kind, number of cells, the first one's place
		head[at] ^= 1 << (4 + rnd.IntN(3))
		mustLeave(t, bad, wal, "is damaged")
		report, err := Verify(context.Background(), place(t, bad, nil))
		if err != nil || report.OK() {
			t.Errorf("Verify of page %d with byte %d changed: %+v, %v", page+1, at, report, err)
		}
	}
}

// inWAL reports whether the WAL has the page; see the file format.
func inWAL(wal []byte, page uint32) bool {
	for at := 32; at+24+4096 <= len(wal); at += 24 + 4096 {
		if binary.BigEndian.Uint32(wal[at:]) == page {
			return true
		}
	}
	return false
}

// TestOpen_ChecksOnlyAfterUncleanStop: only an unclean stop causes a check at the next start.
func TestOpen_ChecksOnlyAfterUncleanStop(t *testing.T) {
	file, wal := files(t, 100)
	opened := func(path string, c Config) string {
		var log bytes.Buffer
		c.Path, c.Logger = path, slog.New(slog.NewTextHandler(&log, nil))
		s, err := Open(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if n := total(t, s); n < 100 {
			t.Errorf("%d tasks", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	path := place(t, file, wal)
	if log := opened(path, Config{}); !strings.Contains(log, "the last stop was not clean") || !strings.Contains(log, "the file is whole") {
		t.Errorf("after a kill the log says %s", log)
	}
	if log := opened(path, Config{}); strings.Contains(log, "clean") {
		t.Errorf("after a clean stop the log says %s", log)
	}
	if err := os.WriteFile(path+".lock", []byte("pid 1 on elsewhere"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := opened(path, Config{}); !strings.Contains(log, "the file is whole") {
		t.Errorf("after a kill that left a lock the log says %s", log)
	}
	if log := opened(place(t, file, wal), Config{CheckLimit: time.Nanosecond}); !strings.Contains(log, "was broken off") {
		t.Errorf("a check that takes too long: the log says %s", log)
	}
}

// TestRead_DamageIsNamed: a read that finds damage names it.
func TestRead_DamageIsNamed(t *testing.T) {
	file, _ := files(t, 500)
	bad := slices.Clone(file)
	for page := 1; page < len(bad)/4096; page++ {
		if bad[page*4096] == 13 {
			copy(bad[page*4096:], make([]byte, 100)) // a leaf of a table
		}
	}
	path := place(t, bad, nil)
	r, err := OpenReadOnly(context.Background(), path)
	if err == nil {
		var snap interface{ Close() error }
		snap, err = r.Snapshot(context.Background())
		if err == nil {
			snap.Close()
		}
	}
	if err == nil || !strings.Contains(err.Error(), "the file is damaged") || model.CodeOf(err) == model.CodeUnavailable {
		t.Errorf("reading gives %v, want that the file is damaged", err)
	}
}

// TestStore_DamagedRowsHideNoOthers: rows that another program has spoiled hide no others.
func TestStore_DamagedRowsHideNoOthers(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	repotest.DamagedRows(t, s, func(sql string) {
		t.Helper()
		if _, err := s.w.conn.ExecContext(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	})
}
