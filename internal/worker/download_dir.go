package worker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/internal/filelock"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The names that the worker uses inside a download folder.
const (
	stateDir = model.WorkerFolder
	partsDir = stateDir + "/parts"
	trashDir = stateDir + "/trash"
)

// downloadDir is one download folder. Unfinished files are below it on the same file
// system, so that a rename finishes them. Every operation goes through root, which
// refuses a symbolic link that leaves the folder.
type downloadDir struct {
	path  string   // absolute
	root  *os.Root // the folder
	parts *os.Root // the folder of unfinished files
	self  *os.File // the folder, to sync its names
	// partsFile is the folder of unfinished files, to rename its entries.
	partsFile *os.File
	lock      *os.File
	low       bool // less free space than the floor; only the loop uses it

	names sharedSync // of the names in the folder
}

// openDownloadDir creates the folder if necessary and locks it for the worker name.
func openDownloadDir(path, name string) (_ *downloadDir, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("worker: the folder %s: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("worker: making the download folder: %w", err)
	}
	a := &downloadDir{path: path}
	if a.root, err = os.OpenRoot(path); err != nil {
		return nil, fmt.Errorf("worker: opening the download folder: %w", err)
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, dir := range []string{stateDir, partsDir, trashDir} {
		if err := makeDir(a.root, dir, 0o700); err != nil {
			return nil, fmt.Errorf("worker: making %s: %w", filepath.Join(path, dir), err)
		}
	}
	if a.parts, err = a.root.OpenRoot(partsDir); err != nil {
		return nil, fmt.Errorf("worker: opening %s: %w", filepath.Join(path, partsDir), err)
	}
	if a.self, err = a.root.Open("."); err != nil {
		return nil, fmt.Errorf("worker: opening the download folder: %w", err)
	}
	if a.partsFile, err = a.parts.Open("."); err != nil {
		return nil, fmt.Errorf("worker: opening %s: %w", filepath.Join(path, partsDir), err)
	}
	if err := a.takeLock(name); err != nil {
		return nil, err
	}
	return a, nil
}

// makeDir creates one directory. An existing directory that is not a link is not an error.
func makeDir(root *os.Root, dir string, mode fs.FileMode) error {
	err := root.Mkdir(dir, mode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: dir, Err: fmt.Errorf("is there and is %w", syscall.ENOTDIR)}
	}
	return err
}

func (a *downloadDir) takeLock(name string) error {
	f, err := a.root.OpenFile(stateDir+"/lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("worker: opening the lock: %w", err)
	}
	locked, err := filelock.TryLock(f)
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("worker: locking %s: %w", a.path, err)
	}
	if !locked {
		holder, _ := io.ReadAll(io.LimitReader(f, 128)) // may be empty: only the lock counts
		_ = f.Close()
		return fmt.Errorf("worker: the folder %s is in use by %s; each worker needs one of its own",
			a.path, strings.TrimSpace(string(holder)))
	}
	a.lock = f
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "the worker %s (pid %d)\n", name, os.Getpid())
	}
	return nil
}

func (a *downloadDir) close() {
	if a.lock != nil {
		_ = a.lock.Close()
	}
	if a.parts != nil {
		_ = a.parts.Close()
	}
	for _, file := range []*os.File{a.self, a.partsFile} {
		if file != nil {
			_ = file.Close()
		}
	}
	_ = a.root.Close()
}

// PartsDir returns the folder of unfinished files below the download folder dir. Each
// task has its own folder in it.
func PartsDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("worker: the folder %s: %w", dir, err)
	}
	return filepath.Join(dir, partsDir), nil
}

// partDir returns the folder in which the engine writes the task's bytes, relative to the
// root.
func partDir(id string) string { return partsDir + "/" + id }

// jobDir creates the task's part folder and returns its absolute path. fresh says that it
// did not exist.
func (a *downloadDir) jobDir(id string) (path string, fresh bool, err error) {
	// The folder becomes the finished one, so it has the mode of a finished folder. The
	// folder above it denies access to other users.
	path = filepath.Join(a.path, partDir(id))
	if err := a.parts.Mkdir(id, 0o755); !errors.Is(err, fs.ErrExist) {
		return path, err == nil, err
	}
	return path, false, makeDir(a.parts, id, 0o755)
}

// syncNames makes the names in the download folder durable. Calls at the same time share a
// sync, which waits for others to join.
func (a *downloadDir) syncNames(gather gathering) error {
	return a.names.run(gather, a.self.Sync)
}

// sharedSync has calls that wait share one sync.
type sharedSync struct {
	running sync.Mutex // held by the sync under way
	last    time.Time  // when the last one began; guarded by running
	mu      sync.Mutex
	next    *syncRound // it has not begun, so further calls may join
}

type syncRound struct {
	calls  int
	isFull bool
	full   chan struct{} // closed when enough calls have joined
	done   chan struct{} // closed at the end
	err    error
}

// run returns after a sync that began after the call. It begins when enough calls have
// joined, or the time of gather after the one before.
func (s *sharedSync) run(gather gathering, sync func() error) error {
	s.mu.Lock()
	r, first := s.next, s.next == nil
	if first {
		r = &syncRound{full: make(chan struct{}), done: make(chan struct{})}
		s.next = r
	}
	if r.calls++; r.calls >= gather.tasks && !r.isFull {
		r.isFull = true
		close(r.full)
	}
	s.mu.Unlock()
	if !first {
		<-r.done
		return r.err
	}
	s.running.Lock()
	defer s.running.Unlock()
	if wait := time.Until(s.last.Add(gather.time)); wait > 0 {
		select {
		case <-r.full:
		case <-time.After(wait):
		}
	}
	s.last = time.Now()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	defer close(r.done)
	r.err = sync()
	return r.err
}

// discard moves name to the trash in one step; emptyTrash deletes it later. A crash in
// the middle of a deletion must not leave a data file without its control file, because
// an engine would take it for complete.
func (a *downloadDir) discard(name string) error {
	err := a.root.Rename(name, trashDir+"/"+rand.Text())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptyTrash deletes the discarded files.
func (a *downloadDir) emptyTrash() error {
	names, err := a.list(trashDir)
	for _, name := range names {
		err = errors.Join(err, a.root.RemoveAll(trashDir+"/"+name))
	}
	return err
}

func (a *downloadDir) list(dir string) ([]string, error) {
	f, err := a.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// orphan starts the time for which the bytes of a task that is no longer held are kept.
func (a *downloadDir) orphan(id string, now time.Time) error {
	err := a.root.Chtimes(partDir(id), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// discardOrphans discards the bytes of tasks that are not held and were left
// before the given time; it returns their ids.
func (a *downloadDir) discardOrphans(held func(id string) bool, before time.Time) ([]string, error) {
	ids, err := a.list(partsDir)
	var gone []string
	for _, id := range ids {
		info, statErr := a.root.Lstat(partDir(id))
		if held(id) || statErr != nil || info.ModTime().After(before) {
			continue
		}
		if e := a.discard(partDir(id)); e != nil {
			err = errors.Join(err, e)
			continue
		}
		gone = append(gone, id)
	}
	return gone, err
}
