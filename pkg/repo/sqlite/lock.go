package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/filelock"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lock is held beside the file for as long as the store is open. The kernel
// releases it when the process ends, however it ends.
type lock struct {
	file    *os.File
	path    string
	wasLeft bool // a holder before us did not remove it: it was killed
}

// acquire takes the lock of the database at path, or returns an error that
// names its holder.
func acquire(path string) (*lock, error) {
	path += ".lock"
	for range 100 { // see below: once, or a few times
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open store: no lock can be put beside it: %w", err)
		}
		locked, err := filelock.TryLock(file)
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !locked {
			holder := readHolder(file)
			file.Close()
			return nil, model.Errorf(model.CodeUnavailable,
				"open store: %s is in use by another process, a dispatcher or migrate (%s); stop that one first", strings.TrimSuffix(path, ".lock"), holder)
		}
		l := &lock{file: file, path: path}
		// The holder before us may have removed the file between our open and
		// our lock; then what we locked is no longer what others will find.
		if !l.isCurrent() {
			file.Close()
			continue
		}
		l.wasLeft = isSigned(file)
		if err := l.writeHolder(); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), l.release())
		}
		return l, nil
	}
	return nil, fmt.Errorf("lock %s: the file is removed again and again", path)
}

func (l *lock) isCurrent() bool {
	opened, err := l.file.Stat()
	if err != nil {
		return false
	}
	found, err := os.Stat(l.path)
	return err == nil && os.SameFile(opened, found)
}

// writeHolder writes the holder of the lock, for the error of a second one.
func (l *lock) writeHolder() error {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.NewOffsetWriter(l.file, 0), "pid %d on %s since %s\n",
		os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	return err
}

func isSigned(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Size() > 0
}

func readHolder(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(io.NewSectionReader(file, 0, 512), 512))
	if s := strings.TrimSpace(string(text)); err == nil && s != "" {
		return s
	}
	return "unknown process"
}

// release removes the file and unlocks it, in this order: a process that locks the
// removed file in between sees that it is no longer there.
func (l *lock) release() error {
	if runtime.GOOS == "windows" { // an open file cannot be removed there
		return errors.Join(l.file.Truncate(0), l.file.Close())
	}
	return errors.Join(os.Remove(l.path), l.file.Close())
}
