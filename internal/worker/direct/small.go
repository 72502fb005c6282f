package direct

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A small file is kept in memory until it is complete, and then written at once. It needs
// no part, map and meta file: a process that is killed meanwhile loses little.
const (
	maxSmall   = 1 << 20     // bytes of one file
	maxMemory  = 64 << 20    // bytes of all such files of an engine
	spillAfter = time.Second // after which the part of a slow download goes to the disk
)

// memory counts the bytes of small files that all jobs of an engine keep in memory.
type memory struct{ used atomic.Int64 }

// reserve takes n bytes, if there is room.
func (m *memory) reserve(n int64) bool {
	if m.used.Add(n) <= maxMemory {
		return true
	}
	m.used.Add(-n)
	return false
}

// smallPart is a part in memory.
type smallPart struct {
	data     []byte
	reserved int64
}

// keepInMemory keeps the empty part in memory if it is small and there is room.
func (f *folder) keepInMemory() bool {
	length := f.meta.Length
	if f.memory == nil || length < 0 || length > maxSmall || !f.memory.reserve(length) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.small = &smallPart{data: make([]byte, 0, length), reserved: length}
	return true
}

// writeSmall adds the next bytes of a part in memory. It is false without such a part. Such a
// part has one span.
func (f *folder) writeSmall(s *span, p []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.small == nil {
		return false
	}
	f.small.data = append(f.small.data, p...)
	f.spans.advance(s, len(p))
	return true
}

// spill writes a part in memory to its files, and continues with those.
func (f *folder) spill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.small == nil {
		return nil
	}
	data := f.small.data
	f.dropSmall()
	if len(data) == 0 && f.isComplete() {
		return nil // nothing would be lost
	}
	return f.create(data)
}

// reserve reserves the space of the part, if it has a length.
func (f *folder) reserve() error {
	if f.meta.Length < 0 {
		return nil
	}
	if err := f.space.Reserve(f.dir, f.meta.Length, claimOf(f.spans)); err != nil {
		return err
	}
	f.holds = true
	return nil
}

// hold holds the space that an existing part still needs, if it has a length.
func (f *folder) hold() {
	if f.meta != nil && f.meta.Length >= 0 {
		f.holds = true
		f.space.Hold(f.dir, claimOf(f.spans))
	}
}

func (f *folder) releaseSpace() {
	if f.holds {
		f.holds = false
		f.space.Release(f.dir)
	}
}

// claimOf returns what a part still needs, up to what it has: a server that announces a length and
// sends nothing holds no space.
func claimOf(p *spans) func() int64 {
	return func() int64 {
		have, length := p.count()
		return min(length-have, have)
	}
}

// bufferSize returns the bytes of one read.
func (f *folder) bufferSize() int {
	if length := f.meta.Length; length >= 0 && length < bufferSize {
		return max(int(length), 512)
	}
	if f.meta.Length >= 64*largeBuffer {
		return largeBuffer
	}
	return bufferSize
}

func (f *folder) inMemory() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.small != nil
}

func (f *folder) forgetSmall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropSmall()
}

// dropSmall forgets a part in memory. The caller holds mu.
func (f *folder) dropSmall() {
	if f.small != nil {
		f.memory.used.Add(-f.small.reserved)
		f.small = nil
	}
}

// finishSmall writes a complete part in memory to its file. The file has no other name
// before: one that a crash cut off has no meta file, so that it is removed.
func (f *folder) finishSmall() ([]model.File, int64, error) {
	name, data := f.meta.Name, f.small.data
	f.empty = false
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, 0, local(download.CodeCreate, fmt.Errorf("finish: %w", err))
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, 0, local(download.CodeFileIO, fmt.Errorf("finish: %w", err))
	}
	f.forgetSmall()
	return []model.File{{Path: name, Length: int64(len(data))}}, int64(len(data)), nil
}

// open returns a reader of the part.
func (f *folder) open() (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.small != nil {
		return io.NopCloser(bytes.NewReader(f.small.data)), nil
	}
	return f.root.Open(f.meta.Name + partSuffix)
}
