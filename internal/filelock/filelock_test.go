package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/filelock"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A lock excludes other open files of the same path until its file is closed, and
// the content stays readable meanwhile.
func TestTryLock_SecondFileExcludedUntilClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, second := open(t, path), open(t, path)
	if locked, err := filelock.TryLock(first); !locked || err != nil {
		t.Fatalf("the first: %v, %v", locked, err)
	}
	if _, err := first.WriteString("pid 1"); err != nil {
		t.Fatal(err)
	}
	if locked, err := filelock.TryLock(second); locked || err != nil {
		t.Fatalf("the second while the first holds it: %v, %v", locked, err)
	}
	b := make([]byte, 5)
	if _, err := second.ReadAt(b, 0); err != nil || string(b) != "pid 1" {
		t.Errorf("reads %q, %v", b, err)
	}
	first.Close()
	if locked, err := filelock.TryLock(second); !locked || err != nil {
		t.Errorf("the second after the first was closed: %v, %v", locked, err)
	}
}

// A closed file is an error, not a lock that another process holds.
func TestTryLock_ClosedFileIsAnError(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	f.Close()
	if locked, err := filelock.TryLock(f); locked || err == nil {
		t.Errorf("a closed file: %v, %v", locked, err)
	}
}
