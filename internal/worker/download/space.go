package download

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// SpaceError is the error for files that the disk has no space for.
type SpaceError struct {
	Length   int64 // bytes of the files
	Free     int64 // bytes that the disk has for them
	Reserved int64 // those of them that other downloads still need
}

func (e *SpaceError) Error() string {
	text := fmt.Sprintf("%d bytes are needed; the disk of this worker has %d free", e.Length, e.Free)
	if e.Reserved > 0 {
		text += fmt.Sprintf(", and running downloads need %d of these", e.Reserved)
	}
	return text
}

// Space is the space that running downloads of this process still need, so that no file begins
// which would fill the disk before they end. Folders of jobs with one parent are on one disk. The
// zero value is ready; its methods are safe for concurrent use.
type Space struct {
	mu    sync.Mutex
	disks map[string]*diskSpace // by the parent of folders of jobs
}

// diskSpace is that of one disk. It has a lock of its own, because a disk may not answer.
type diskSpace struct {
	mu     sync.Mutex
	claims map[string]func() int64 // by the folder of a job: the bytes that it still needs
}

func (s *Space) diskOf(dir string) *diskSpace {
	s.mu.Lock()
	defer s.mu.Unlock()
	parent := filepath.Dir(dir)
	if s.disks == nil {
		s.disks = map[string]*diskSpace{}
	}
	if s.disks[parent] == nil {
		s.disks[parent] = &diskSpace{claims: map[string]func() int64{}}
	}
	return s.disks[parent]
}

// Check returns a [SpaceError] if the disk of dir has no space for files of that length in place of
// those in dir, beside what other downloads need. It reserves nothing. An unknown length is negative.
func (s *Space) Check(dir string, length int64) error {
	d := s.diskOf(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	return checkSpace(dir, length, d.reserved(dir))
}

// Reserve checks as Check does and then holds what missing returns until Release.
func (s *Space) Reserve(dir string, length int64, missing func() int64) error {
	d := s.diskOf(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := checkSpace(dir, length, d.reserved(dir)); err != nil {
		return err
	}
	d.claims[dir] = missing
	return nil
}

// Hold holds what missing returns until Release, for a download that continues.
func (s *Space) Hold(dir string, missing func() int64) {
	d := s.diskOf(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims[dir] = missing
}

// Release ends what is held for the job of a folder.
func (s *Space) Release(dir string) {
	d := s.diskOf(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.claims, dir)
}

// reserved returns the bytes that all jobs but the one of dir need.
func (d *diskSpace) reserved(dir string) (total int64) {
	for other, missing := range d.claims {
		if other != dir {
			total += max(missing(), 0)
		}
	}
	return total
}

// checkSpace is Check with the bytes that other downloads need.
func checkSpace(dir string, length, reserved int64) error {
	usage, err := disk.Usage(dir)
	if err != nil || usage.Total == 0 || length < 0 {
		return nil // some network mounts report nothing
	}
	free := int64(min(usage.Free, uint64(model.MaxLength)))
	if length <= free-reserved {
		return nil
	}
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // it holds no bytes of the files
		}
		if info, err := entry.Info(); err == nil {
			free += info.Size()
		}
		return nil
	})
	if length <= free-reserved {
		return nil
	}
	return &SpaceError{length, free, min(reserved, free)}
}
