package aria2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// aria2c is told no checksum of a task: it gives no reason when one differs, and skips
// one of a metalink whose form it does not know. The finished files are verified here.

// hasPieces reports whether the job is a torrent, whose pieces were verified: another
// download of it brings the same bytes.
func (j *job) hasPieces() bool {
	kind := kindOf(&j.Task.TaskSpec)
	return kind == kindTorrent || kind == kindMagnet
}

// check is a checksum that a finished file must have.
type check struct {
	path     string // relative to the job's folder
	checksum string // "sha-256=…"
	source   string // what has it
	name     string // of the file, where the error needs it
}

// checks are those of a job's finished files: the task's, and the strongest of a
// metalink for each file.
func (j *job) checks(files []model.File) ([]check, *model.TaskError) {
	var list []check
	if checksum := download.ChecksumOf(&j.Task.TaskSpec); checksum != "" {
		if len(files) != 1 {
			return nil, severalFiles(len(files))
		}
		list = append(list, check{files[0].Path, checksum, "the task", ""})
	}
	for _, f := range files {
		link := j.linkOf(filepath.Join(j.Dir, filepath.FromSlash(f.Path)))
		if link == nil {
			continue
		}
		if h, ok := link.Strongest(); ok {
			list = append(list, check{f.Path, h.Kind + "=" + h.Value, "the metalink", f.Path})
		}
	}
	return list, nil
}

// verifyFiles compares the finished files of a job with their checksums and syncs them; the
// first call begins that, for it may take long. A file must be on the disk before the
// journal of the worker calls it complete: after a crash of the machine that is believed.
func (e *Engine) verifyFiles(j *job, list []check, files []model.File) (failure *model.TaskError, known bool) {
	if j.probing != nil {
		p, known := j.takeProbe(toVerify)
		return p.failure, known
	}
	dir, task := j.Dir, j.Task
	e.startProbe(j, toVerify, func(ctx context.Context) preparation {
		for _, c := range list {
			if err := c.verify(ctx, dir); err != nil {
				code := download.CodeFileIO
				if errors.Is(err, download.ErrChecksum) {
					code = download.CodeChecksum
				}
				return preparation{failure: download.Failure(task, code, err.Error()), canceled: ctx.Err() != nil}
			}
		}
		if err := e.syncFiles(ctx, dir, files); err != nil {
			return preparation{failure: download.Failure(task, download.CodeFileIO, err.Error()), canceled: ctx.Err() != nil}
		}
		return preparation{}
	})
	return nil, false
}

// syncFiles makes the bytes of the finished files durable. Their names need not be.
func (e *Engine) syncFiles(ctx context.Context, dir string, files []model.File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if err := errors.Join(ctx.Err(), e.syncFile(root, filepath.FromSlash(f.Path))); err != nil {
			return fmt.Errorf("sync a finished file: %w", err)
		}
	}
	return nil
}

func syncFile(root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func (c *check) verify(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.Open(c.path)
	if err != nil {
		return err
	}
	defer file.Close()
	err = download.Verify(ctx, file, c.checksum, c.source)
	var differs *download.ChecksumError
	if errors.As(err, &differs) {
		differs.Name = c.name
	}
	return err
}
