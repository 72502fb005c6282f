package worker

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// renameNew gives an entry of one open folder a new name in another one. It replaces nothing.
// Both names are single elements, so that nothing leads out of the folders. The error is
// errors.ErrUnsupported where the file system cannot do this in one step.
func renameNew(from *os.File, name string, to *os.File, target string) error {
	err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), target, unix.RENAME_NOREPLACE)
	runtime.KeepAlive(from)
	runtime.KeepAlive(to)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return err
}

// lengthAt returns the length of a regular file in an open folder. name is a single element;
// a link is not followed. The error is errors.ErrUnsupported on another system than Linux.
func lengthAt(dir *os.File, name string) (int64, error) {
	var s unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW)
	runtime.KeepAlive(dir)
	if err == nil && s.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fs.ErrInvalid
	}
	return s.Size, err
}
