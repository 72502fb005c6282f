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

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a SQLite file as ours: "aria" in ASCII.
const applicationID = 0x61726961

// Synchronous is how much a commit waits for.
type Synchronous string

// The levels of durability. With full a commit is on the disk when it returns.
// With normal a power failure may take the last commits, but a crash of the
// process does not, and the file stays whole.
const (
	Full   Synchronous = "full"
	Normal Synchronous = "normal"
)

// Config says where the store is and how it behaves. Path is needed.
type Config struct {
	Path        string       // of the file; its folder is made if it is missing
	Synchronous Synchronous  // default Full
	Readers     int          // connections for reading; default 4
	Logger      *slog.Logger // default: discards
}

// Open opens the store, making it if it is not there and bringing its schema up
// to date. It is CodeUnavailable if another process has it. It returns an error
// and leaves the file untouched if that is not a store of ours or is one of a
// newer schema.
func Open(ctx context.Context, c Config) (*Store, error) {
	path, err := prepare(&c)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	held, err := acquire(path)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, c, path)
	if err != nil {
		return nil, errors.Join(err, held.release())
	}
	s.lock = held
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
		return "", fmt.Errorf("synchronous %q is none of full, normal", c.Synchronous)
	}
	if c.Readers < 1 {
		c.Readers = 4
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

func open(ctx context.Context, c Config, path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	if err := mark(ctx, path); err != nil {
		return nil, explain("open store "+path, err)
	}
	s := &Store{log: c.Logger, path: path}
	s.snaps.open = make(map[*snapshot]struct{})
	err := func() (err error) {
		s.w.db, err = connect(path, url.Values{"_pragma": {
			"busy_timeout(5000)",
			"journal_mode(wal)",
			"synchronous(" + string(c.Synchronous) + ")",
			// The WAL starts anew after 16 MB, and is cut back if a long read
			// made it grow past 64 MB.
			"wal_autocheckpoint(4096)",
			"journal_size_limit(67108864)",
			"temp_store(memory)",
			"cache_size(-32768)",
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
		return nil, errors.Join(explain("open store "+path, err), s.disconnect())
	}
	return s, nil
}

// readerPragmas are those of every connection that reads rows.
var readerPragmas = []string{
	"busy_timeout(5000)", "query_only(1)", "temp_store(memory)", "cache_size(-8192)", "mmap_size(0)",
}

// connect opens a pool of at most n connections, none of which is ever closed
// for being idle or old.
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

// create makes an empty file that only its owner can read, if there is none.
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
	return syncFolder(path)
}

// checkHeader refuses a file that is not a store of ours, by reading it only:
// SQLite itself might already roll back a journal or replay a WAL. The caller
// holds the lock, so no connection of this process has the file open, whose
// locks the closing here would drop.
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
		return fmt.Errorf("open store: %s is not a SQLite file; it was left as it is", path)
	case binary.BigEndian.Uint32(header[68:]) != applicationID:
		return fmt.Errorf("open store: %s is a SQLite file of another program; it was left as it is", path)
	}
	return nil
}

// mark makes an empty file one of ours, before it gets a WAL: the mark must
// stand in the file itself, where checkHeader finds it, however the process
// ends. A file whose marking was cut off is rolled back to an empty one here,
// and marked again.
func mark(ctx context.Context, path string) (err error) {
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

func newer(path string, have, known int64) error {
	return model.Errorf(model.CodeConflict,
		"open store: %s has schema %d, this program knows only %d: use a newer version of it", path, have, known)
}

// migrate brings the schema up to date, or refuses one that is newer than this
// program.
func migrate(ctx context.Context, db *sqlx.DB, path string, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.DB, files,
		goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	have, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if have > known {
		return newer(path, have, known)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(done) > 0 {
		log.Info("store: schema brought up to date", "path", path, "from", have, "to", known)
	}
	return nil
}
