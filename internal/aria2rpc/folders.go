package aria2rpc

import (
	"context"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// workersLife is how long what was read of the workers is used.
const workersLife = 5 * time.Second

// folders remembers the folders of the workers, for dir. It is safe for concurrent use.
type folders struct {
	mu     sync.Mutex
	readAt time.Time
	names  []string          // of folders that some worker has
	dirs   map[string]string // worker to its download directory
	first  string            // directory of the first worker by name
}

// refresh reads the workers, at most every few seconds. If they cannot be read, what is
// known stays.
func (s *Server) refreshFolders(ctx context.Context) {
	f := &s.folders
	f.mu.Lock()
	defer f.mu.Unlock()
	now := s.views.now()
	if now.Sub(f.readAt) < workersLife {
		return
	}
	q := model.WorkerQuery{Limit: model.MaxBatch}
	var names []string
	dirs, first := make(map[string]string), ""
	for {
		page, err := s.backend.Workers(ctx, &q)
		if err != nil {
			return
		}
		for _, w := range page.Workers {
			dirs[w.ID] = w.Dir
			if first == "" {
				first = w.Dir
			}
			names = append(names, w.Capabilities.Folders...)
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	slices.Sort(names)
	f.names, f.dirs, f.first = slices.Compact(names), dirs, first
	if first != "" { // the first worker may join at any moment
		f.readAt = now
	}
}

// folderOf is the folder that the option dir names: its last element, if a worker has a
// folder of that name. A path is never sent to a worker.
func (s *Server) folderOf(ctx context.Context, dir string) string {
	s.refreshFolders(ctx)
	s.folders.mu.Lock()
	defer s.folders.mu.Unlock()
	if name := path.Base(dir); slices.Contains(s.folders.names, name) {
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
	s.folders.mu.Lock()
	defer s.folders.mu.Unlock()
	dir := s.folders.dirs[d.row.WorkerID]
	if dir == "" {
		dir = s.folders.dirs[d.row.LastWorkerID]
	}
	if dir == "" {
		dir = s.folders.first
	}
	if d.row.Folder != "" {
		return path.Join(dir, d.row.Folder)
	}
	return dir
}
