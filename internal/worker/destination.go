package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkDestination refuses a task whose finished files could not get their name, before its
// first byte is fetched. It guarantees nothing: [downloadDir.placeFiles] checks again, because
// the name may be taken meanwhile. The error is a *[refusal].
func (a *downloadDir) checkDestination(t *model.Task) error {
	var refused error
	for _, target := range targets(t) {
		if refused = a.checkName(target); refused == nil {
			return nil
		}
	}
	return refused
}

// checkName refuses a name in the download folder that exists or cannot exist.
func (a *downloadDir) checkName(target string) error {
	p := &placement{Target: target}
	switch _, err := a.root.Lstat(target); {
	case err == nil:
		return existsError(a, p)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENAMETOOLONG):
		return &refusal{download.CodeCreate, model.ClassPermanent,
			fmt.Sprintf("out: the file system of %s has no names of %d bytes", a.path, len(target))}
	default:
		return placeError("looking for", p, err)
	}
}

// targets returns the names that the finished files of a task may get, see [newPlacement]
// and [Worker.finishMove].
func targets(t *model.Task) []string {
	out := t.Options["out"]
	switch {
	case len(out) != 1:
		return []string{t.ID}
	case waitedForDuplicate(t), mayBeSeveralFiles(t):
		return []string{out[0], t.ID}
	}
	return []string{out[0]}
}

// mayBeSeveralFiles reports whether a task does not say that it is one file.
func mayBeSeveralFiles(t *model.Task) bool {
	switch {
	case len(t.Torrent) > 0:
		info, err := torrent.Parse(t.Torrent)
		return err != nil || info.Folder || info.Files != 1
	case len(t.Metalink) > 0:
		m, err := metalink.Parse(t.Metalink, nil)
		return err != nil || len(m.Files) != 1
	case t.Magnet():
		return true
	}
	u, err := model.ParseURL(t.URL)
	if err != nil {
		return true
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".torrent", ".metalink", ".meta4":
		return true
	}
	return false
}

// jobDirError converts an error of [downloadDir.jobDir] that lasts to a *[refusal]. Another one
// is returned as it is: the worker tries again.
func jobDirError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &refusal{download.CodeDiskFull, model.ClassWorker, fmt.Sprintf("making the folder of the task: %v", err)}
	}
	for _, lasting := range []error{fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EROFS, syscall.ENAMETOOLONG, syscall.ELOOP} {
		if errors.Is(err, lasting) {
			return &refusal{codeMkdir, model.ClassWorker, fmt.Sprintf("making the folder of the task: %v", err)}
		}
	}
	return err
}

// failTaken fails the tasks that download a file for a name which another task has just taken.
func (w *Worker) failTaken(by *heldTask) {
	if !by.Place.Single {
		return
	}
	for _, h := range w.tasks {
		out := h.Task.Options["out"]
		if h == by || h.Phase != phaseAccepted || h.drop != nil || h.dir != by.dir || len(out) != 1 || out[0] != by.Place.Target {
			continue
		}
		if len(targets(h.Task)) == 1 {
			no := existsError(h.dir, by.Place)
			w.failTask(h, taskError(no.code, no.class, no.message))
		}
	}
}
