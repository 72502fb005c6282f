package jsonl

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aria-cluster/dispatcher/internal/filelock"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// writer writes one file. Everything goes into path + ".partial", which the one
// writer that may use it holds locked.
type writer struct {
	path      string
	o         repo.CopyOptions
	old       *repo.Digest // of the file that is there
	unchanged bool
	file      *os.File // nil in a dry run
	out       *bufio.Writer
	hash      hash.Hash
	bytes     int64
	digest    repo.Digest
	byStatus  model.Counts
	buf       []byte
}

// Begin implements [repo.Target].
func (f File) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	if o.OnConflict == repo.Skip {
		return nil, model.Errorf(model.CodeInvalid, "%s: a file is written whole: on a conflict it is fail or replace, not skip", f)
	}
	w := &writer{path: string(f), o: o, byStatus: make(model.Counts)}
	switch old, err := open(ctx, w.path); {
	case err == nil:
		w.old = &old.digest
		if err := old.Close(); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
	case o.OnConflict != repo.Replace:
		return nil, fmt.Errorf("%w; it stays unchanged; on_conflict replace would overwrite it", err)
	}
	if o.DryRun {
		return w, nil
	}
	if err := w.create(); err != nil {
		return nil, errors.Join(err, w.discard())
	}
	return w, nil
}

// create makes the partial file, or reuses one that a killed process left, and writes the
// header.
func (w *writer) create() error {
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	path := w.path + ".partial"
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if locked, err := filelock.TryLock(file); err != nil {
		file.Close()
		return fmt.Errorf("lock %s: %w", path, err)
	} else if !locked {
		file.Close()
		return model.Errorf(model.CodeUnavailable, "%s is being written by another process", path)
	}
	// Another one may have finished, and renamed what we have just locked.
	opened, err := file.Stat()
	if err == nil {
		var found os.FileInfo
		if found, err = os.Stat(path); err == nil && !os.SameFile(opened, found) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		file.Close()
		return model.Errorf(model.CodeUnavailable, "%s was being written by another process: try again (%v)", path, err)
	}
	w.file = file
	if err := file.Truncate(0); err != nil {
		return err
	}
	w.hash = sha256.New()
	w.out = bufio.NewWriterSize(file, 256<<10)
	return w.line(header{repo.RecordVersion, kindHeader, format, model.TimeOf(time.Now())})
}

// line writes v as a line.
func (w *writer) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.write(append(text, '\n'))
}

func (w *writer) write(b []byte) error {
	w.hash.Write(b)
	w.bytes += int64(len(b))
	_, err := w.out.Write(b)
	return err
}

// Put implements [repo.Writer].
func (w *writer) Put(_ context.Context, records []repo.Record) (repo.PutStats, error) {
	for i := range records {
		r := &records[i]
		if err := w.digest.Add(r); err != nil {
			return repo.PutStats{}, err
		}
		if r.Task != nil {
			w.byStatus[r.Task.Status]++
		}
		if w.file == nil {
			continue
		}
		var err error
		if w.buf, err = r.Append(w.buf[:0]); err != nil {
			return repo.PutStats{}, err
		}
		w.buf = append(w.buf, '\n')
		if err := w.write(w.buf); err != nil {
			return repo.PutStats{}, err
		}
	}
	return repo.PutStats{Written: int64(len(records))}, nil
}

// Finish implements [repo.Writer]: the file is read back before it gets its name.
func (w *writer) Finish(ctx context.Context, want repo.Digest) (got repo.Digest, err error) {
	if !w.digest.Equal(want) {
		return w.digest, errors.Join(fmt.Errorf("%s: %v were put, not %v", w.path, w.digest, want), w.discard())
	}
	switch {
	case w.old != nil && w.old.Equal(want):
		w.unchanged = true
		return want, w.discard()
	case w.old != nil && w.o.OnConflict != repo.Replace:
		return got, errors.Join(model.Errorf(model.CodeConflict,
			"%s is there and holds other records (%v); it was left unchanged", w.path, w.old), w.discard())
	case w.o.DryRun:
		return want, nil
	}
	got, err = w.seal(ctx)
	if err != nil || !got.Equal(want) {
		return got, errors.Join(err, w.discard())
	}
	if err := os.Rename(w.file.Name(), w.path); err != nil {
		return got, errors.Join(err, w.discard())
	}
	return got, errors.Join(w.file.Close(), filelock.SyncDir(filepath.Dir(w.path)))
}

// seal writes the end line, puts the file on the disk, and reads it back.
func (w *writer) seal(ctx context.Context) (got repo.Digest, err error) {
	last := end{
		V: repo.RecordVersion, Kind: kindEnd, Tasks: w.digest.Tasks, Workers: w.digest.Workers, Digest: w.digest.Sum(),
		ByStatus: w.byStatus, Bytes: w.bytes, SHA256: hex.EncodeToString(w.hash.Sum(nil)),
	}
	if err := errors.Join(w.line(last), w.out.Flush(), w.file.Sync()); err != nil {
		return got, err
	}
	snap, err := open(ctx, w.file.Name())
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return repo.DigestOf(ctx, snap)
}

// Abort implements [repo.Writer].
func (w *writer) Abort(context.Context) error { return w.discard() }

// discard removes the partial file, if it is still there.
func (w *writer) discard() error {
	if w.file == nil {
		return nil
	}
	file := w.file
	w.file = nil
	return errors.Join(os.Remove(file.Name()), file.Close())
}

// Unchanged implements [repo.Unchanged].
func (w *writer) Unchanged() bool { return w.unchanged }
