package filelock

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// Supported reports whether [TryLock] excludes other processes on this system.
const Supported = true

// TryLock locks f without waiting. It returns false and no error if another open
// file holds the lock.
func TryLock(f *os.File) (locked bool, err error) {
	// Windows refuses reads and writes of a locked range. The locked byte lies
	// behind the end of any file, so that the content can still be read.
	far := &windows.Overlapped{OffsetHigh: math.MaxInt32}
	err = windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, far)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
