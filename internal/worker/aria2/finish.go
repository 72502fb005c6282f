package aria2

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// finish ends a complete job after it has checked its files.
func (e *Engine) finish(ctx context.Context, s session, j *job, v familyState, all map[string]*row) error {
	bounded, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	list, err := s.client.files(bounded, v.leaves)
	if err != nil {
		return err
	}
	if j.usedOther(list) {
		v.failed = &row{ErrorCode: download.CodeNoResume, ErrorMessage: "the file came in part from another source, which its server names"}
		return e.remedy(ctx, s, j, v, all)
	}
	files, total, failure := j.finishedFiles(list)
	if failure != nil {
		e.conclude(j, all, func() { j.failWith(failure) })
		return nil
	}
	if kindOf(&j.Task.TaskSpec) == kindPlain {
		next, ok, failure := download.Follow(&j.Job, files, "", &e.follows)
		if failure != nil {
			e.conclude(j, all, func() { j.failWith(failure) })
			return nil
		}
		if ok {
			return e.stopThen(ctx, s, j, all, func() error { // the next download has the same gid
				e.follow(j, next, files[0].Path)
				return nil
			})
		}
	}
	checks, failure := j.checks(files)
	if failure == nil {
		var known bool
		if failure, known = e.verifyFiles(j, checks, files); !known {
			return nil
		}
	}
	switch {
	case failure == nil:
	case failure.Code == download.CodeChecksum:
		v.failed = &row{ErrorCode: download.CodeChecksum, ErrorMessage: failure.Message}
		return e.remedy(ctx, s, j, v, all)
	default:
		e.conclude(j, all, func() { j.failWith(failure) })
		return nil
	}
	e.conclude(j, all, func() {
		j.end(download.State{Phase: download.Complete, Completed: total, Total: total, Files: files, Synced: true})
	})
	return nil
}

// dropOther has the bytes of a failed download removed before it is submitted again, if some came
// from a source that aria2c was not given.
func (e *Engine) dropOther(ctx context.Context, s session, j *job, leaves []*row) error {
	if !j.needsOneVersion() || j.maxBytes == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	files, err := s.client.files(bounded, leaves)
	if errors.As(err, new(*rpcError)) {
		return nil // its result went meanwhile
	}
	j.mustWipe = j.mustWipe || j.usedOther(files)
	return err
}

// conclusion is the end of a job whose downloads have stopped.
type conclusion struct {
	job     *job
	members []*row
	end     func()
}

// conclude notes how a job whose downloads have stopped ends. concludeAll ends it.
func (e *Engine) conclude(j *job, all map[string]*row, end func()) {
	e.concluding.Lock()
	defer e.concluding.Unlock()
	e.conclusions = append(e.conclusions, conclusion{j, family(j.ownGIDs(all), all), end})
}

// concludeAll ends the jobs of conclude, and has aria2c forget their downloads with one call.
// The jobs end even if aria2c does not answer: it may have forgotten them, and a job without
// downloads would be fetched again. Such a job keeps its process, so that Remove first makes
// sure that its gids are free.
func (e *Engine) concludeAll(ctx context.Context, c *client) error {
	list := e.conclusions
	e.conclusions = nil
	var members []*row
	for i := range list {
		members = append(members, list[i].members...)
		list[i].end()
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if err := c.forgetResults(ctx, members); err != nil {
		return err
	}
	for i := range list {
		list[i].job.process, list[i].job.gids = nil, nil // aria2c has nothing of it any more
	}
	return nil
}

// finishedFiles checks the paths of the files that aria2c names and returns the files there.
func (j *job) finishedFiles(list [][]file) (files []model.File, total int64, failure *model.TaskError) {
	failed := func(code int, message string) *model.TaskError { return download.Failure(j.Task, code, message) }
	pads := j.pads()
	paths := pathsOf(list, pads)
	if so := torrent.ParseMagnet(j.Task.URL).Select; len(paths) == 0 && so != "" && len(j.Task.Options["select-file"]) == 0 {
		return nil, 0, failed(download.CodeOption, "so: the magnet link selects no file of the torrent")
	}
	if len(paths) == 0 && len(pads) > 0 {
		return nil, 0, failed(download.CodeOption, "select-file: it names only files that pad the torrent")
	}
	if len(paths) == 0 {
		return nil, 0, failed(download.CodeTorrent, "it completed without a file: not a torrent or metalink that can be read")
	}
	relative := make([]string, len(paths))
	for i, path := range paths {
		rel, err := filepath.Rel(j.Dir, filepath.Clean(path))
		if err != nil || !filepath.IsLocal(rel) {
			return nil, 0, failed(download.CodeFileIO, fmt.Sprintf("the file %q is outside the task's folder", path))
		}
		relative[i] = rel
	}
	files, total, err := download.Files(j.Dir, relative)
	if err != nil {
		return nil, 0, failed(download.CodeFileIO, err.Error())
	}
	return files, total, nil
}
