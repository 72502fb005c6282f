package direct

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	partSuffix = ".part"
	mapSuffix  = ".part.map"
	metaSuffix = ".part.json"
	maxMeta    = 16 << 10 // bytes of a meta file
)

// syncInterval is how much of a download the crash of a machine may cost.
const syncInterval = 10 * time.Second

// folder is a job's directory. All access is through an [os.Root], so that
// nothing leads out of it.
type folder struct {
	dir    string
	root   *os.Root
	space  *download.Space
	holds  bool     // space
	memory *memory  // where a small file may be kept until it is complete; nil = nowhere
	empty  bool     // the directory has no entry
	meta   *meta    // of the part that is there; nil = none
	part   *os.File // open while meta is not nil and the part is not in memory
	marks  *os.File // the map file, open as part is
	spans  *spans   // not nil while meta is not nil

	rereading download.Rereading // of meta.Unconfirmed, by this job

	mu    sync.Mutex
	small *smallPart // the part while it is in memory
}

// openFolder opens dir, which is empty if it is fresh, and the part that is there. What does not
// belong to a whole set of part, map and meta is removed with the next begin.
func openFolder(dir string, fresh bool, m *memory, s *download.Space) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, local(download.CodeCreate, err)
	}
	f := &folder{dir: dir, root: root, space: s, memory: m, empty: fresh}
	if fresh {
		return f, nil
	}
	if err := f.restore(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// restore looks for exactly one readable meta file. A broken one is as none.
func (f *folder) restore() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	f.empty = len(entries) == 0
	var found *meta
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), metaSuffix)
		if !ok {
			continue
		}
		m := f.readMeta(entry.Name())
		if m == nil || m.Name != name || found != nil {
			return nil
		}
		found = m
	}
	if found == nil {
		return nil
	}
	info, err := f.root.Lstat(found.Name + partSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.restoreFinished(found)
	case err != nil:
		return local(download.CodeFileIO, err)
	case !info.Mode().IsRegular(), found.Length >= 0 && info.Size() > found.Length:
		return nil
	}
	have, err := f.readMap(found.Name + mapSuffix)
	have = merge(have, info.Size())
	if err != nil || found.Length < 0 && (len(have) > 1 || len(have) == 1 && have[0].from > 0) {
		return nil
	}
	return f.resume(found, have)
}

// resume takes the part that is there, with the bytes that it has.
func (f *folder) resume(m *meta, have []interval) error {
	part, err := f.root.OpenFile(m.Name+partSuffix, os.O_WRONLY, 0)
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	f.meta, f.part, f.spans = m, part, newSpans(have, m.Length)
	if err := part.Sync(); err != nil { // the new map says that these bytes are on the disk
		return local(download.CodeFileIO, err)
	}
	return f.writeMap()
}

// restoreFinished is for a crash between the rename and the end: the file has its
// name already, and gets the part's name back to be checked again.
func (f *folder) restoreFinished(m *meta) error {
	info, err := f.root.Lstat(m.Name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.Length {
		return nil
	}
	if err := f.root.Rename(m.Name, m.Name+partSuffix); err != nil {
		return local(download.CodeFileIO, err)
	}
	return f.resume(m, []interval{{0, m.Length}})
}

func (f *folder) readMeta(name string) *meta {
	file, err := f.root.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxMeta))
	if err != nil {
		return nil
	}
	return decodeMeta(data)
}

// decodeMeta reads a meta file; nil if it is not one that this engine wrote.
func decodeMeta(data []byte) *meta {
	m := &meta{}
	if json.Unmarshal(data, m) != nil || model.ServerFileName(m.Name) != nil || m.Length < -1 || m.Unconfirmed < 0 || m.Unconfirmed > max(m.Length, 0) ||
		download.CheckLength(m.Length) != nil || !download.Sendable(m.ETag) || !download.Sendable(m.LastModified) {
		return nil
	}
	return m
}

func (f *folder) readMap(name string) ([]interval, error) {
	if info, err := f.root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return nil, errMap
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return decodeMap(file, download.BootID())
}

// begin starts an empty part of this version, and removes all else.
func (f *folder) begin(m *meta) error {
	if err := f.wipe(); err != nil {
		return err
	}
	f.meta, f.spans, f.rereading = m, newSpans(nil, m.Length), download.Rereading{}
	if f.keepInMemory() {
		return nil
	}
	if err := f.reserve(); err != nil {
		return local(download.CodeDiskFull, err)
	}
	return f.create(nil)
}

// create makes the files of a part that has data.
func (f *folder) create(data []byte) error {
	m := f.meta
	f.empty = false
	part, err := f.root.OpenFile(m.Name+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return local(download.CodeCreate, err)
	}
	f.part = part
	if len(data) > 0 { // the map says that they are on the disk
		_, err := part.Write(data)
		if err == nil {
			err = part.Sync()
		}
		if err != nil {
			return local(download.CodeFileIO, err)
		}
	}
	if err := f.writeMap(); err != nil {
		return err
	}
	return f.writeMeta() // last: without it the others are nothing
}

// writeMeta puts a new meta file in the place of the one that is there.
func (f *folder) writeMeta() error {
	data, err := json.Marshal(f.meta)
	if err != nil {
		return local(download.CodeCreate, err)
	}
	file, err := f.replace(f.meta.Name+metaSuffix, data)
	if err != nil {
		return err
	}
	file.Close()
	return nil
}

// writeMap puts a new map in the place of the one that is there, and opens it.
func (f *folder) writeMap() error {
	file, err := f.replace(f.meta.Name+mapSuffix, encodeMap(download.BootID(), f.spans.list))
	if err != nil {
		return err
	}
	f.marks = file
	return nil
}

// replace writes a file whole or not at all, and leaves it open.
func (f *folder) replace(name string, data []byte) (*os.File, error) {
	temp := name + "~"
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, local(download.CodeCreate, err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = f.root.Rename(temp, name)
	}
	if err != nil {
		file.Close()
		return nil, local(download.CodeCreate, err)
	}
	return file, nil
}

// takeSpan returns a span for one more connection, as [spans.take] does.
func (f *folder) takeSpan(least int64) (*span, error) {
	s, fresh := f.spans.take(least)
	if !fresh {
		return s, nil
	}
	if err := f.spill(); err != nil {
		return s, err
	}
	_, err := f.marks.WriteAt(appendSlot(nil, s.from, s.from, s.from), mapHead+int64(s.slot)*slotSize)
	return s, local(download.CodeFileIO, err)
}

// write puts the next bytes of a span into the part; the map follows.
func (f *folder) write(s *span, p []byte) error {
	if f.writeSmall(s, p) {
		return nil
	}
	pos, _ := f.spans.bounds(s)
	if _, err := f.part.WriteAt(p, pos); err != nil {
		return local(download.CodeFileIO, err)
	}
	return f.mark(s.slot, 1, f.spans.advance(s, len(p)))
}

// mark writes one number of a slot.
func (f *folder) mark(slot, field int, value int64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(value))
	_, err := f.marks.WriteAt(b[:], mapHead+int64(slot)*slotSize+int64(field)*8)
	return local(download.CodeFileIO, err)
}

// checkpoint brings what is written to the disk, so that it outlives the machine.
func (f *folder) checkpoint() error {
	if err := f.spill(); err != nil {
		return err
	}
	positions := f.spans.positions()
	if err := f.part.Sync(); err != nil {
		return local(download.CodeFileIO, err)
	}
	for slot, pos := range positions {
		if err := f.mark(slot, 2, pos); err != nil {
			return err
		}
	}
	return local(download.CodeFileIO, f.marks.Sync())
}

// have returns the bytes that are there and the file's length; 0 = not known.
func (f *folder) have() (completed, total int64) {
	if f.meta == nil {
		return 0, 0
	}
	completed, total = f.spans.count()
	return completed, max(total, 0)
}

// isComplete reports whether every byte is there.
func (f *folder) isComplete() bool {
	if f.meta == nil {
		return false
	}
	have, length := f.spans.count()
	return have == length
}

// wipe removes everything.
func (f *folder) wipe() error {
	f.release()
	f.meta, f.spans = nil, nil
	if f.empty {
		return nil
	}
	if err := download.Wipe(f.dir); err != nil {
		return local(download.CodeFileIO, err)
	}
	f.empty = true
	return nil
}

// finish makes the part durable and gives it its name, if nothing is missing.
func (f *folder) finish() ([]model.File, int64, error) {
	if !f.isComplete() {
		return nil, 0, fmt.Errorf("finish: bytes are missing: %w", io.ErrUnexpectedEOF)
	}
	if f.small != nil {
		return f.finishSmall()
	}
	name := f.meta.Name
	err := f.part.Sync()
	f.release()
	if err == nil {
		err = f.root.Rename(name+partSuffix, name)
	}
	if err == nil {
		err = f.sync()
	}
	if err == nil {
		err = errors.Join(f.root.Remove(name+mapSuffix), f.root.Remove(name+metaSuffix))
	}
	if err != nil {
		return nil, 0, local(download.CodeFileIO, fmt.Errorf("finish: %w", err))
	}
	files, total, err := download.Files(f.dir, []string{name})
	return files, total, local(download.CodeFileIO, err)
}

// sync makes the names in the folder durable.
func (f *folder) sync() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// release closes the files of the part, and forgets one in memory. A later job resumes
// them or starts over.
func (f *folder) release() {
	f.forgetSmall()
	f.releaseSpace()
	for _, file := range []*os.File{f.part, f.marks} {
		if file != nil {
			file.Close()
		}
	}
	f.part, f.marks = nil, nil
}

// close closes the folder. A part in memory is written to the disk before.
func (f *folder) close() {
	_ = f.spill() // the bytes are fetched again
	f.release()
	f.root.Close()
}
