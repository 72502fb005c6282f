package direct

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

const (
	partSuffix = ".part"
	metaSuffix = ".part.json"
	maxMeta    = 16 << 10 // bytes of a meta file
)

// meta says of which version of which source a part file is.
type meta struct {
	Name         string `json:"name"`   // of the finished file
	Source       string `json:"source"` // hash of the URL, which may hold a password
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Dated        bool   `json:"dated,omitempty"` // LastModified is old enough to tell versions apart
	Length       int64  `json:"length"`          // of the whole file; -1 = not known
}

// folder is a job's directory. All access is through an [os.Root], so that
// nothing leads out of it.
type folder struct {
	dir  string
	root *os.Root
	meta *meta    // of the part that is there; nil = none
	part *os.File // open for appending while meta is not nil
	size int64    // bytes of the part
}

// openFolder opens dir and the part that is there. What does not belong to a
// whole pair of part and meta is removed with the next begin.
func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, local(download.CodeCreate, err)
	}
	f := &folder{dir: dir, root: root}
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
	var found *meta
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), metaSuffix)
		if !ok {
			continue
		}
		m := f.readMeta(entry.Name())
		if m == nil || m.Name != name || model.FileName(name) != nil || found != nil {
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
	return f.open(found, info.Size())
}

// open takes the part that is there.
func (f *folder) open(m *meta, size int64) error {
	part, err := f.root.OpenFile(m.Name+partSuffix, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	f.meta, f.part, f.size = m, part, size
	return nil
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
	return f.open(m, info.Size())
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
	m := &meta{}
	if json.Unmarshal(data, m) != nil {
		return nil
	}
	return m
}

// begin starts an empty part of this version, and removes all else.
func (f *folder) begin(m *meta) error {
	if err := f.wipe(); err != nil {
		return err
	}
	part, err := f.root.OpenFile(m.Name+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return local(download.CodeCreate, err)
	}
	f.part, f.size = part, 0
	// The meta file comes second: with an empty part it promises nothing.
	data, err := json.Marshal(m)
	if err != nil {
		return local(download.CodeCreate, err)
	}
	temp := m.Name + metaSuffix + "~"
	if err := f.writeFile(temp, data); err != nil {
		return local(download.CodeCreate, err)
	}
	if err := f.root.Rename(temp, m.Name+metaSuffix); err != nil {
		return local(download.CodeCreate, err)
	}
	f.meta = m
	return nil
}

func (f *folder) writeFile(name string, data []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// write appends to the part.
func (f *folder) write(p []byte) error {
	n, err := f.part.Write(p)
	f.size += int64(n)
	return local(download.CodeFileIO, err)
}

// wipe removes everything.
func (f *folder) wipe() error {
	if f.part != nil {
		f.part.Close() // its bytes are about to go
	}
	f.part, f.meta, f.size = nil, nil, 0
	return local(download.CodeFileIO, download.Wipe(f.dir))
}

// finish makes the part durable and gives it its name.
func (f *folder) finish() ([]model.File, int64, error) {
	name := f.meta.Name
	err := errors.Join(f.part.Sync(), f.part.Close())
	f.part = nil
	if err == nil {
		err = f.root.Rename(name+partSuffix, name)
	}
	if err == nil {
		err = f.sync()
	}
	if err == nil {
		err = f.root.Remove(name + metaSuffix)
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

func (f *folder) close() {
	if f.part != nil {
		f.part.Close() // what it holds is resumed or begun anew
	}
	f.root.Close()
}
