//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package embedded

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// locksFiles says that lockFile keeps others out.
const locksFiles = true

// lockFile takes the lock on path, which ends with the process at the latest.
// nats-server itself does not notice that another one writes the same files.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 64)
		n, _ := f.ReadAt(holder, 0)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another NATS server (%s)", path, strings.TrimSpace(string(holder[:n])))
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	// Who holds it is a courtesy to people; the lock stands without it.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "pid %d\n", os.Getpid())
	}
	return f, nil
}
