package sqlite

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/aria-cluster/dispatcher/internal/filelock"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a SQLite file as ours: "aria" in ASCII.
const applicationID = 0x61726961

// Synchronous is the durability of a commit.
type Synchronous = rules.Synchronous

// The levels of durability. With full a commit is on the disk when it returns. With
// normal a power failure may lose the last commits, but a crash of the process loses
// nothing, and the file stays valid.
const (
	Full   = rules.Full
	Normal = rules.Normal
)

// Config locates and tunes the store. Path is required.
type Config struct {
	Path        string      // of the file; its folder is made if it is missing
	Synchronous Synchronous // default Full
	Readers     int         // connections for reading; default 4
	// CacheKiB is the memory for pages of the connection that writes; default 2 MiB.
	// More memory gains nothing: where an index grew by a page, a commit searches the whole
	// table of cached pages (to sort pages SQLite gives one the number of the page at
	// 1 GiB for a moment, and then drops all beyond the file's end). With 8 MiB that is 7%
	// of the dispatcher's profile.
	CacheKiB int
	// CheckLimit bounds the check of the file after a stop that was not clean; default
	// 30 s. A longer check is aborted, with a line in the log.
	CheckLimit time.Duration
	Logger     *slog.Logger // default: discards
}

// Open opens the store. It creates a missing file and migrates an older schema. The
// error is CodeUnavailable if another process has it open. It returns an error and
// leaves the file unchanged if it is not a store, has a newer schema, is shorter than
// its header states, or is damaged after an unclean stop. Before the schema of a store
// is changed, the file is copied to its name with ".before-schema-" and the old
// schema's number behind it.
func Open(ctx context.Context, c Config) (*Store, error) {
	path, err := prepare(&c)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	l, err := acquire(path)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, c, path, l.wasLeft)
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	s.lock = l
	return s, nil
}

// prepare checks the configuration and returns the one path of the file: the
// same file by another name must meet the same lock.
func prepare(c *Config) (string, error) {
	switch {
	case c.Path == "":
		return "", errors.New("no path is given")
	case c.Synchronous == "":
		c.Synchronous = Full
	case c.Synchronous != Full && c.Synchronous != Normal:
		return "", fmt.Errorf("synchronous %q is not full or normal", c.Synchronous)
	}
	if c.Readers < 1 {
		c.Readers = 4
	}
	if c.CacheKiB < 1 {
		c.CacheKiB = 2 << 10
	}
	if c.CheckLimit <= 0 {
		c.CheckLimit = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

func open(ctx context.Context, c Config, path string, killed bool) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	if killed || !isSettled(path) {
		if err := inspectFile(ctx, c, path); err != nil {
			return nil, err
		}
	}
	if err := markFile(ctx, path); err != nil {
		return nil, explainError("open store "+path, err)
	}
	s := &Store{path: path}
	s.w.log, s.w.wal, s.w.walLimit, s.w.walRetry = c.Logger, path+"-wal", walLimit, walRetry
	err := func() (err error) {
		s.w.db, err = connect(path, url.Values{"_pragma": {
			"busy_timeout(5000)",
			"journal_mode(wal)",
			"synchronous(" + string(c.Synchronous) + ")",
			// The WAL restarts after 16 MB, unless a reader prevents it;
			// see writer.shorten for where one is.
			"wal_autocheckpoint(4096)",
			fmt.Sprintf("journal_size_limit(%d)", walLimit),
			"temp_store(memory)",
			fmt.Sprintf("cache_size(-%d)", c.CacheKiB),
			// mmap stays off: a failing disk would then be a signal that kills
			// the process, not an error.
			"mmap_size(0)",
		}}, 1)
		if err != nil {
			return err
		}
		if err := migrate(ctx, s.w.db, path, c.Logger); err != nil {
			return err
		}
		if err := s.w.connect(ctx); err != nil {
			return err
		}
		s.r, err = connect(path, url.Values{"mode": {"ro"}, "_pragma": readerPragmas}, c.Readers)
		if err != nil {
			return err
		}
		return s.prepareReads(ctx)
	}()
	if err != nil {
		return nil, errors.Join(explainError("open store "+path, err), s.disconnect())
	}
	return s, nil
}

// readerPragmas are those of every connection that reads rows.
var readerPragmas = []string{
	"busy_timeout(5000)", "query_only(1)", "temp_store(memory)", "cache_size(-8192)", "mmap_size(0)",
}

// connect opens a pool of at most n connections. They are never closed for being idle
// or old.
func connect(path string, options url.Values, n int) (*sqlx.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	db, err := sqlx.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// create makes an empty file that only its owner can read, unless it exists.
// SQLite gives its WAL the same mode.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return filelock.SyncDir(filepath.Dir(path))
}

// checkHeader refuses a file that is not a store of ours. It only reads the file: SQLite
// itself might roll back a journal or replay a WAL. Closing the file drops the POSIX
// locks of this process on it; the caller holds the lock of the store, so no connection
// of this process has the file open.
func checkHeader(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return fmt.Errorf("open store: %w", err)
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("open store: %s is not a file", path)
	}
	header := make([]byte, 100) // see https://www.sqlite.org/fileformat.html
	switch n, err := io.ReadFull(file, header); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil // new
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("open store: %w", err)
	case err != nil || string(header[:16]) != "SQLite format 3\x00":
		return fmt.Errorf("open store: %s is not a SQLite file; it was left unchanged", path)
	case binary.BigEndian.Uint32(header[68:]) == applicationID:
		return checkLength(file, header, path)
	case binary.BigEndian.Uint32(header[68:]) == 0:
		if ours, err := fromDump(context.Background(), path); err == nil && ours {
			return checkLength(file, header, path)
		}
	}
	return fmt.Errorf("open store: %s is a SQLite file of another program; it was left unchanged", path)
}

// checkLength refuses a file that is shorter than its header states. With a WAL that is
// still to be checkpointed, the header may be ahead of the file.
func checkLength(file *os.File, header []byte, path string) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	size := int64(binary.BigEndian.Uint16(header[16:]))
	if size == 1 {
		size = 65536
	}
	if want := size * int64(binary.BigEndian.Uint32(header[28:])); info.Size() < want && isSettled(path) {
		return damageError("open store "+path, fmt.Sprintf("it is cut off: it has %d of %d bytes", info.Size(), want))
	}
	return nil
}

// inspectFile checks a file that was not closed in good order, without writing to
// it: a WAL is read where it stands. Disks and machines that fail take more than
// one process with them.
func inspectFile(ctx context.Context, c Config, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return err
	}
	c.Logger.Info("store: the last stop was not clean, the file is checked", "path", path, "bytes", info.Size())
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, c.CheckLimit)
	defer cancel()
	var found []string
	err = openReader(path, url.Values{"mode": {"ro"}}, func(db *sqlx.DB) error {
		found, err = integrity(limited, db, "quick_check")
		return err
	})
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		c.Logger.Warn("store: the check was broken off, for it took too long; verify the file when there is time",
			"path", path, "after", c.CheckLimit)
		return nil
	case err != nil && !isDamaged(err):
		return fmt.Errorf("open store: %w", err)
	case err != nil:
		return err // it says that the file is damaged
	}
	if len(found) > 0 {
		return damageError("open store "+path, found[0])
	}
	c.Logger.Info("store: the file is whole", "path", path, "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// markFile makes an empty file one of ours, before it gets a WAL: the mark must stand
// in the file itself, where checkHeader finds it, however the process ends. A file with
// an interrupted marking is rolled back to an empty one here, and marked again.
func markFile(ctx context.Context, path string) (err error) {
	db, err := connect(path, url.Values{"_pragma": {"busy_timeout(5000)", "synchronous(full)"}}, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var id int64
	if err := db.GetContext(ctx, &id, "PRAGMA application_id"); err != nil || id == applicationID {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return err
}

func newerSchemaError(path string, have, known int64) error {
	return model.Errorf(model.CodeConflict,
		"open store: %s has schema %d, this program knows only %d: use a newer version of it", path, have, known)
}

// migrate brings the schema up to date, or refuses one that is newer than this
// program. It reads the schema itself: goose takes a table of versions that it
// cannot read for one that is missing, tries for three seconds to make it, and
// says that it exists.
func migrate(ctx context.Context, db *sqlx.DB, path string, log *slog.Logger) error {
	have, err := schemaOf(ctx, db)
	if err != nil {
		return err
	}
	known := SchemaVersion()
	switch {
	case have > known:
		return newerSchemaError(path, have, known)
	case have == known:
		return nil
	case have == 0:
		if err := checkMigrated(ctx, db, path); err != nil {
			return err
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.DB, files,
		goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, _, err := provider.GetVersions(ctx); err != nil { // makes its table, which upInOne needs
		return fmt.Errorf("migrate: %w", err)
	}
	if have > 0 {
		backup := fmt.Sprintf("%s.before-schema-%d", path, have)
		// The tables alone are checked: to look up each row in each index would take more
		// time than the rest of the upgrade.
		if err := replaceBackup(ctx, path, backup, "quick_check"); err != nil {
			return fmt.Errorf("keep a copy before the schema is changed: %w", err)
		}
		log.Info("store: the file was copied before its schema is changed", "path", path, "copy", backup)
	}
	done, err := migrateInOne(ctx, db, provider)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(done) > 0 {
		log.Info("store: schema brought up to date", "path", path, "from", have, "to", known)
	}
	return nil
}

// newPages is how many pages a file has at most before the first migration: the
// one that marks it as ours, and goose's table of versions with its sequence.
const newPages = 3

// checkMigrated refuses a file without a schema that has more pages than a new one. All
// other tables are made in one transaction, so such a file has lost its schema, and
// new tables would overwrite the rows that it still has.
func checkMigrated(ctx context.Context, q sqlx.QueryerContext, path string) error {
	var pages int64
	if err := sqlx.GetContext(ctx, q, &pages, "PRAGMA page_count"); err != nil {
		return err
	}
	if pages > newPages {
		return damageError("open store "+path, fmt.Sprintf("it has %d pages, but schema 0", pages))
	}
	return nil
}

// migrateInOne runs all migrations in one transaction, where goose would give each its
// own: a file has the old schema or the new one. The pool has one connection, so
// that goose works inside the transaction that is begun here.
func migrateInOne(ctx context.Context, db *sqlx.DB, provider *goose.Provider) ([]*goose.MigrationResult, error) {
	if _, err := db.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	done, err := provider.Up(ctx)
	if err == nil {
		_, err = db.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, rollback := db.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return nil, errors.Join(err, rollback)
	}
	return done, nil
}
