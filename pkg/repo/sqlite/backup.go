package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/internal/filelock"
)

// Backup copies the store's file from, as of one moment, into the new file to and
// checks its integrity. A dispatcher may have from open. Only its owner can read the
// new file. It gets its name when it is complete and synced; an interrupted backup
// leaves a file with ".partial-" appended to the name.
//
// If to exists, the error is fs.ErrExist.
func Backup(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("backup: %s: %w", to, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	return replaceBackup(ctx, from, to, "integrity_check")
}

// replaceBackup is Backup over what may have that name, with the PRAGMA that checks it.
func replaceBackup(ctx context.Context, from, to, check string) error {
	from, options, err := readable(ctx, from)
	if err != nil {
		return err
	}
	if to, err = filepath.Abs(to); err != nil { // SQLite is given it as a URI, which has no relative paths
		return fmt.Errorf("backup: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".partial-")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	partial := file.Name() // mode 0600, empty: so VACUUM INTO takes it
	defer os.Remove(partial)
	defer os.Remove(partial + "-journal") // a copy that fails leaves it
	err = explainError("copy "+from+" to "+to, withReader(from, options, func(db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", partial)
		return err
	}))
	if err == nil {
		err = errors.Join(file.Sync(), checkWhole(ctx, partial, check))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(partial, to); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return filelock.SyncDir(filepath.Dir(to))
}

// checkWhole is an error that names the first of what is damaged in the file.
func checkWhole(ctx context.Context, path, check string) error {
	return openReader(path, url.Values{"mode": {"ro"}}, func(db *sqlx.DB) error {
		problems, err := integrity(ctx, db, check)
		if err == nil && len(problems) > 0 {
			err = fmt.Errorf("the copy is damaged: %s", problems[0])
		}
		return err
	})
}
