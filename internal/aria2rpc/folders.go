package aria2rpc

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// workersLife is how long what was read of the workers is used, unless one joins or leaves.
const workersLife = 5 * time.Second

// restOfReads is how many times as long as a read takes no other follows.
const restOfReads = 10

// folders remembers the folders of the workers, for dir. It is safe for concurrent use.
type folders struct {
	mu      sync.Mutex
	readAt  time.Time
	took    time.Duration
	changed bool // a worker has joined or left since
	known   *folderSet
}

// folderSet is what one read found. It does not change.
type folderSet struct {
	names []string          // of folders that some worker has
	dirs  map[string]string // worker to its download directory
	first string            // directory of the first worker by name
}

// WorkerEvent takes an event of a worker. It does not block.
func (s *Server) WorkerEvent(*model.WorkerEvent) {
	s.folders.mu.Lock()
	defer s.folders.mu.Unlock()
	s.folders.changed = true
}

// refreshFolders reads the workers if what is known of them may be old. One caller reads,
// and the others use what is known, as all do if they cannot be read.
func (s *Server) refreshFolders(ctx context.Context) *folderSet {
	f := &s.folders
	f.mu.Lock()
	now := s.views.now()
	age := now.Sub(f.readAt)
	if f.known != nil && age < workersLife && (!f.changed || age < restOfReads*f.took) {
		defer f.mu.Unlock()
		return f.known
	}
	before := f.known
	f.readAt, f.changed = now, false
	f.mu.Unlock()
	read, err := s.readFolders(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = s.views.now().Sub(now)
	if err == nil {
		f.known = read
		return read
	}
	if before == nil {
		return &folderSet{}
	}
	return before
}

func (s *Server) readFolders(ctx context.Context) (*folderSet, error) {
	q := model.WorkerQuery{Limit: model.MaxBatch}
	found := &folderSet{dirs: make(map[string]string)}
	for {
		page, err := s.backend.Workers(ctx, &q)
		if err != nil {
			return nil, err
		}
		for _, w := range page.Workers {
			found.dirs[w.ID] = w.Dir
			if found.first == "" {
				found.first = w.Dir
			}
			found.names = append(found.names, w.Capabilities.Folders...)
		}
		if page.Next == "" {
			slices.Sort(found.names)
			found.names = slices.Compact(found.names)
			return found, nil
		}
		q.Cursor = page.Next
	}
}

// folderSet returns what is known of the folders.
func (s *Server) folderSet() *folderSet {
	s.folders.mu.Lock()
	defer s.folders.mu.Unlock()
	if s.folders.known == nil {
		return &folderSet{}
	}
	return s.folders.known
}

// folderOf is the folder that the option dir names: its last element, if a worker has a
// folder of that name. A path is never sent to a worker.
func (s *Server) folderOf(ctx context.Context, dir string) string {
	if name := path.Base(dir); slices.Contains(s.refreshFolders(ctx).names, name) {
		return name
	}
	return ""
}

// dirOf is the directory of a download, for people: what it was added with, else that of
// its worker.
func (s *Server) dirOf(d *shown) string {
	if dir := d.options["dir"]; dir != "" {
		return dir
	}
	known := s.folderSet()
	dir := cmp.Or(known.dirs[d.row.WorkerID], known.dirs[d.row.LastWorkerID], known.first)
	if d.row.Folder != "" {
		return path.Join(dir, d.row.Folder)
	}
	return dir
}

// placeOf is the directory in which the files of a download lie. A task without the option
// out has a folder of its own, which is known from its result: programs show the path of
// a file relative to the directory as the name of the download.
func (s *Server) placeOf(d *shown) string {
	dir := s.dirOf(d)
	if r := d.row.Result; r != nil && len(r.Files) > 0 && strings.HasPrefix(r.Files[0].Path, d.row.ID+"/") {
		return path.Join(dir, d.row.ID)
	}
	return dir
}
