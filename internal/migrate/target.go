package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/aria-cluster/dispatcher/internal/filelock"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// migrating ends the name of a file that is not whole yet.
const migrating = ".migrating"

// sqliteFile is a SQLite file as a target that is as before or complete, at every
// moment: the copy goes into a second file beside it, which begins with what the
// first one holds and takes its name when it has been verified. A process that
// is killed leaves the first unchanged; the rest of the second is thrown
// away by the next. No dispatcher can open the file meanwhile.
type sqliteFile struct {
	path   string
	logger *slog.Logger
}

// sqliteWriter writes one copy.
type sqliteWriter struct {
	repo.Writer
	repo.Lookup
	path    string
	release func() error
	store   *sqlite.Store
	logger  *slog.Logger
	dryRun  bool
	changed bool // or new
	ended   bool
}

// Begin implements [repo.Target].
func (f *sqliteFile) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	if !o.DryRun {
		if err := settle(ctx, f.path, f.logger); err != nil {
			return nil, err
		}
	}
	path, release, err := sqlite.LockFile(f.path)
	if model.CodeOf(err) == model.CodeUnavailable {
		err = fmt.Errorf("%w; to copy into a running dispatcher, use --target memory --nats URL", err)
	}
	if err != nil {
		return nil, err
	}
	w := &sqliteWriter{path: path, release: release, logger: f.logger, dryRun: o.DryRun}
	if err := w.begin(ctx, o); err != nil {
		return nil, errors.Join(err, w.end())
	}
	return w, nil
}

// settle brings what an unclean stop left in the WAL into the file, so that the
// file is all there is of the store.
func settle(ctx context.Context, path string, logger *slog.Logger) error {
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		return nil //nolint:nilerr // without a WAL there is nothing to do
	}
	logger.Debug("taking the WAL into the file", "path", path)
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path, Logger: logger})
	if err != nil {
		return err
	}
	return s.Close()
}

func (w *sqliteWriter) begin(ctx context.Context, o repo.CopyOptions) error {
	if err := w.clear(); err != nil {
		return err
	}
	switch _, err := os.Stat(w.path); {
	case err == nil:
		w.logger.Debug("copying what the target holds", "path", w.path)
		if err := sqlite.Backup(ctx, w.path, w.path+migrating); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		w.changed = true
	default:
		return err
	}
	var err error
	// The file gets its name when it is on the disk, so single commits need not be.
	w.store, err = sqlite.Open(ctx, sqlite.Config{
		Path: w.path + migrating, Synchronous: sqlite.Normal, Readers: 1, CacheKiB: 16 << 10, Logger: w.logger,
	})
	if err != nil {
		return err
	}
	if w.Writer, err = repo.StoreTarget(w.store).Begin(ctx, o); err != nil {
		return err
	}
	w.Lookup = w.store
	return nil
}

// clear removes what a killed process left. Whoever writes such files holds the
// lock that is held here.
func (w *sqliteWriter) clear() error {
	left, err := filepath.Glob(escapeGlob(w.path+migrating) + "*")
	for _, path := range left {
		w.logger.Debug("removing what is not whole", "path", path)
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// escapeGlob makes a path match itself only.
func escapeGlob(path string) string {
	var b []byte
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}

// Put implements [repo.Writer].
func (w *sqliteWriter) Put(ctx context.Context, records []repo.Record) (repo.PutStats, error) {
	done, err := w.Writer.Put(ctx, records)
	w.changed = w.changed || done.Written+done.Replaced > 0
	if full := new(model.Error); errors.As(err, &full) && full.Code == model.CodeUnavailable {
		err = fmt.Errorf("%s: %w", w.path, err) // its disk is full, or the like
	}
	return done, err
}

// Finish implements [repo.Writer].
func (w *sqliteWriter) Finish(ctx context.Context, want repo.Digest) (repo.Digest, error) {
	w.logger.Debug("verifying", "path", w.path)
	got, err := w.Writer.Finish(ctx, want)
	if err != nil || !got.Equal(want) {
		return got, err // the caller looks for what differs, then aborts
	}
	if w.changed && !w.dryRun {
		err = w.rename()
	}
	return got, errors.Join(err, w.end())
}

// rename puts the new file in the place of the old one.
func (w *sqliteWriter) rename() error {
	if err := w.store.Close(); err != nil {
		return err
	}
	w.store = nil
	return replaceFile(w.path+migrating, w.path)
}

// replaceFile puts a closed SQLite file in the place of another one. The lock of that
// is held, in one step.
func replaceFile(from, to string) error {
	for _, path := range []string{from, to} {
		// A WAL that is not empty belongs to the file of its name only.
		if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
			return model.Errorf(model.CodeConflict, "%s has a WAL: another program is writing to it", path)
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return filelock.SyncDir(filepath.Dir(to))
}

// Abort implements [repo.Writer].
func (w *sqliteWriter) Abort(context.Context) error { return w.end() }

// end removes what is left of the second file and lets go of the first.
func (w *sqliteWriter) end() error {
	if w.ended {
		return nil
	}
	w.ended = true
	var errs []error
	if w.store != nil {
		_ = w.store.Close() // its file is removed
	}
	errs = append(errs, w.clear(), w.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clearing up: %w", err)
	}
	return nil
}
