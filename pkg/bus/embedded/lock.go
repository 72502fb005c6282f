package embedded

import (
	"fmt"
	"os"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/filelock"
)

// lockFile locks the file at path until it is closed. nats-server itself does not
// detect a second server that writes to the same files.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := filelock.TryLock(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if !locked {
		holder := make([]byte, 64)
		n, _ := f.ReadAt(holder, 0)
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use by another NATS server (%s)", path, strings.TrimSpace(string(holder[:n])))
	}
	// The process id is for people; the lock holds without it.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "pid %d\n", os.Getpid())
	}
	return f, nil
}
