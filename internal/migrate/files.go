package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/jsonl"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// outcome is what backup, restore and schema print with --json.
type outcome struct {
	Path   string `json:"path"`
	From   string `json:"from,omitempty"`
	Kept   string `json:"kept,omitempty"` // the name of the previous file
	Bytes  int64  `json:"bytes,omitempty"`
	Schema int64  `json:"schema,omitempty"`
	Newest int64  `json:"newest_schema,omitempty"`
	Error  string `json:"error,omitempty"`
}

// end prints an outcome, with the error if there is one.
func (p *program) end(o *outcome, err error, format string, args ...any) error {
	if err != nil {
		o.Error = err.Error()
	}
	return errors.Join(err, p.print(o, func(w io.Writer) error {
		if err != nil {
			return nil // it is printed where the program ends
		}
		_, werr := fmt.Fprintf(w, format+"\n", args...)
		return werr
	}))
}

// backup copies the SQLite file while it is in use.
func (p *program) backup(ctx context.Context) error {
	if p.o.to == "" {
		return badUsage("backup: --to is missing: the new file")
	}
	o := outcome{Path: p.o.to, From: p.o.sqlitePath}
	to, err := filepath.Abs(p.o.to)
	if err == nil {
		err = p.ensureFolder(to)
	}
	if err == nil {
		err = sqlite.Backup(ctx, p.o.sqlitePath, to)
	}
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(p.o.to); err == nil {
			o.Bytes = info.Size()
		}
	}
	return p.end(&o, err, "%s is a copy of %s, %d bytes, its integrity checked", o.Path, o.From, o.Bytes)
}

// restore puts a backup in the place of the SQLite file.
func (p *program) restore(ctx context.Context) error {
	if p.o.from == "" {
		return badUsage("restore: --from is missing: the backup")
	}
	if sameFile(p.o.from, p.o.sqlitePath) {
		return badUsage("restore: the backup and the file to be restored are the same")
	}
	o := outcome{Path: p.o.sqlitePath, From: p.o.from}
	err := p.putBack(ctx, &o)
	if err == nil && o.Kept != "" {
		return p.end(&o, nil, "%s was restored from %s; the previous file was kept as %s", o.Path, o.From, o.Kept)
	}
	return p.end(&o, err, "%s was restored from %s", o.Path, o.From)
}

func (p *program) putBack(ctx context.Context, o *outcome) (err error) {
	if err := p.ensureFolder(o.Path); err != nil {
		return err
	}
	path, release, err := sqlite.LockFile(o.Path)
	if err != nil {
		return err
	}
	held := true
	defer func() {
		if held {
			err = errors.Join(err, release())
		}
	}()
	// The copy is checked, so the backup itself stays untouched.
	w := &sqliteWriter{path: path, logger: p.o.logger}
	if err := w.clear(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.clear()) }()
	fresh := path + migrating
	p.o.logger.Debug("checking the backup", "path", o.From)
	if err := sqlite.Backup(ctx, o.From, fresh); err != nil {
		return fmt.Errorf("the backup %s: %w", o.From, err)
	}
	if err := upToDate(ctx, fresh, p); err != nil {
		return fmt.Errorf("the backup %s: %w", o.From, err)
	}
	report, err := sqlite.Verify(ctx, fresh)
	if err != nil {
		return fmt.Errorf("the backup %s: %w", o.From, err)
	}
	if !report.OK() {
		return fmt.Errorf("the backup %s was not restored: %s", o.From, strings.Join(report.Problems, "; "))
	}
	// What an unclean stop left in the WAL goes into the file that is kept; the
	// lock is let go of for that moment, and a dispatcher that starts then wins.
	if info, serr := os.Stat(path + "-wal"); serr == nil && info.Size() > 0 {
		held = false
		if err := release(); err != nil {
			return err
		}
		if serr := settle(ctx, path, p.o.logger); serr != nil && model.CodeOf(serr) == model.CodeUnavailable {
			return serr
		} else if serr != nil {
			p.o.logger.Warn("the previous file cannot be opened; it is kept with its WAL", "path", path, "error", serr)
		}
		if _, release, err = sqlite.LockFile(path); err != nil {
			return err
		}
		held = true
	}
	if o.Kept, err = keep(path); err != nil {
		return err
	}
	return replaceFile(fresh, path)
}

// upToDate brings the schema of a file up to date.
func upToDate(ctx context.Context, path string, p *program) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path, Logger: p.o.logger})
	if err != nil {
		return err
	}
	return s.Close()
}

// keep gives the file at path, and its WAL if it could not be checkpointed, a second
// name, and returns that; "" if there is no file.
func keep(path string) (string, error) {
	name := path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000Z")
	switch err := os.Link(path, name); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		// A file system without hard links: for a moment there is no file.
		if err := os.Rename(path, name); err != nil {
			return "", err
		}
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		if err := os.Rename(path+"-wal", name+"-wal"); err != nil {
			return "", err
		}
	}
	return name, nil
}

// verify checks a file.
func (p *program) verify(ctx context.Context) error {
	path := p.o.sqlitePath
	if len(p.o.words) == 1 {
		path = p.o.words[0]
	}
	report, err := p.examine(ctx, path)
	if err == nil && !report.OK() {
		err = fmt.Errorf("%s: %s", path, strings.Join(report.Problems, "; "))
	}
	o := struct {
		*sqlite.Report
		Error string `json:"error,omitempty"`
	}{Report: report}
	if err != nil {
		o.Error = err.Error()
	}
	return errors.Join(err, p.print(o, func(w io.Writer) error {
		if err != nil {
			return nil
		}
		kind := fmt.Sprintf("schema %d", report.Schema)
		if isRecordsFile(path) {
			kind = "a file of records"
		}
		_, werr := fmt.Fprintf(w, "%s is whole: %s, %s, %s\n", report.Path, kind, number(report.Tasks, "task"), number(report.Workers, "worker"))
		return werr
	}))
}

// isRecordsFile reports whether a path is by its name one of a file of records.
func isRecordsFile(path string) bool { return strings.HasSuffix(strings.ToLower(path), ".jsonl") }

// examine looks at a SQLite file or at one of records, by its name, or at the database.
func (p *program) examine(ctx context.Context, path string) (r *sqlite.Report, err error) {
	if path == postgresWord {
		found, err := postgres.Verify(ctx, p.o.postgresDSN)
		if err != nil {
			return nil, err
		}
		return &sqlite.Report{
			Path: path, Schema: found.Schema, Tasks: found.Tasks, Workers: found.Workers,
			ByStatus: found.ByStatus, Problems: found.Problems,
		}, nil
	}
	if !isRecordsFile(path) {
		return sqlite.Verify(ctx, path)
	}
	snap, err := jsonl.File(path).Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	d, err := repo.DigestOf(ctx, snap)
	if err != nil {
		return nil, err
	}
	r = &sqlite.Report{Path: path, Tasks: d.Tasks, Workers: d.Workers, Problems: []string{}}
	if r.ByStatus, err = snap.Counts(ctx); err != nil {
		return nil, err
	}
	if said := snap.(repo.DigestProvider).Digest(); !said.Equal(d) {
		r.Problems = append(r.Problems, fmt.Sprintf("its end line says %v, its records are %v", said, d))
	}
	return r, nil
}

// schema prints which schema the SQLite file, or the one of the second word, has; or it
// brings that file, or the streams in NATS, up to date.
func (p *program) schema(ctx context.Context) error {
	words := p.o.words
	if len(words) == 0 || words[0] != "status" && words[0] != "up" {
		return badUsage("schema: status or up is expected")
	}
	if p.o.streams {
		return p.streams(ctx)
	}
	o := outcome{Path: p.o.sqlitePath}
	if len(words) == 2 {
		o.Path = words[1]
	}
	text := "%s has schema %d, the newest is %d"
	err := p.storeSchema(ctx, &o)
	if err == nil && words[0] == "up" {
		if text = "%s is up to date: schema %d, the newest is %d"; o.Schema < o.Newest {
			text = "%s was brought up to date: schema %d, the newest is %d"
			if err = p.schemaUp(ctx, o.Path); err == nil {
				err = p.storeSchema(ctx, &o)
			}
		}
	}
	return p.end(&o, err, text, o.Path, o.Schema, o.Newest)
}

// schemaUp brings the schema of a SQLite file or of the database up to date.
func (p *program) schemaUp(ctx context.Context, path string) error {
	if path != postgresWord {
		return upToDate(ctx, path, p)
	}
	s, err := postgres.Open(ctx, p.postgresConfig())
	if err != nil {
		return err
	}
	return s.Close()
}

// storeSchema reads the schema of a SQLite file or of the database, which needs no lock.
func (p *program) storeSchema(ctx context.Context, o *outcome) (err error) {
	if o.Path == postgresWord {
		o.Schema, o.Newest, err = postgres.Schema(ctx, p.o.postgresDSN)
		return err
	}
	if _, err := os.Stat(o.Path); err != nil {
		return err
	}
	if isRecordsFile(o.Path) {
		return fmt.Errorf("%s is a file of records: it has no schema; migrate verify checks it", o.Path)
	}
	o.Schema, o.Newest, err = sqlite.Schema(ctx, o.Path)
	return err
}
