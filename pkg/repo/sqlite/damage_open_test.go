package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const restoreHint = "the file is damaged; put a backup in its place"

// closedFile is the file of a store that was closed in good order.
func closedFile(t *testing.T, tasks int64) []byte {
	t.Helper()
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	fillStore(t, s, 1, tasks)
	if err := s.Commit(t.Context(), &model.Batch{Workers: []model.WorkerChange{{ID: "w1", Put: &model.Worker{ID: "w1"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rootPage returns the page of the file at which a table begins.
func rootPage(t *testing.T, file []byte, table string) int {
	t.Helper()
	db, err := connect(place(t, file, nil), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page int
	if err := db.Get(&page, "SELECT rootpage FROM sqlite_schema WHERE name = ?", table); err != nil {
		t.Fatal(err)
	}
	return page
}

// TestOpen_SaysFileIsDamaged: damage in a page that opening reads is reported as
// damage, in one sentence and at once, however the last stop was. It was reported
// as a failed migration, after three seconds.
func TestOpen_SaysFileIsDamaged(t *testing.T) {
	file := closedFile(t, 200)
	for name, page := range map[string]int{
		"the schema":             1,
		"the table of versions":  rootPage(t, file, "goose_db_version"),
		"the table of tasks":     rootPage(t, file, "tasks"),
		"the table of workers":   rootPage(t, file, "workers"),
		"the table of counters":  rootPage(t, file, "counters"),
		"the table of ids taken": rootPage(t, file, "tombstones"),
	} {
		t.Run(name, func(t *testing.T) {
			bad := slices.Clone(file)
			start := (page - 1) * 4096
			if page == 1 {
				start = 100 // behind the header of the file
			}
			copy(bad[start:page*4096], bytes.Repeat([]byte{0xa5}, 4096))
			path := place(t, bad, nil)
			begin := time.Now()
			err := openAndRead(path)
			if err == nil || !strings.Contains(err.Error(), restoreHint) || strings.Contains(err.Error(), "migrate") {
				t.Errorf("got %v, want %q", err, restoreHint)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, bad) {
				t.Error("the file was touched")
			}
		})
	}
}

// openAndRead opens the store and reads what a dispatcher reads at its start, and
// the ids of deleted tasks.
func openAndRead(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Counts(ctx)
	errs := []error{err}
	_, err = s.LastSeq(ctx)
	errs = append(errs, err)
	_, err = s.Workers(ctx)
	errs = append(errs, err)
	_, err = s.Tombstones(ctx, []string{"a"})
	errs = append(errs, err)
	for _, err := range s.Live(ctx) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TestOpen_RefusesFileThatLostItsSchema: a file of ours with a schema that reads as
// empty looks like a new one. To take it for new would put new tables over the old
// rows.
func TestOpen_RefusesFileThatLostItsSchema(t *testing.T) {
	file := closedFile(t, 200)
	empty := slices.Clone(file)
	clear(empty[100:4096])
	empty[100] = 13                // a leaf of a table
	empty[105], empty[106] = 16, 0 // without a cell: its content begins at the end of the page
	versions := slices.Clone(file)
	page := versions[(rootPage(t, file, "goose_db_version")-1)*4096:][:4096]
	clear(page)
	page[0], page[5], page[6] = 13, 16, 0
	for name, bad := range map[string][]byte{"no table is there": empty, "no version is there": versions} {
		mustLeave(t, bad, nil, restoreHint)
		if report, err := Verify(context.Background(), place(t, bad, nil)); err != nil || report.OK() {
			t.Errorf("%s: Verify found nothing: %+v, %v", name, report, err)
		}
	}
}

// TestOpen_ResumesCutOffCreation: a process that ended between the table of
// versions and the first migration leaves a file that is new, not damaged.
func TestOpen_ResumesCutOffCreation(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "d.db")
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	if err := markFile(ctx, path); err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.DB, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := provider.GetVersions(ctx); err != nil {
		t.Fatal(err)
	}
	var pages int64
	if err := db.Get(&pages, "PRAGMA page_count"); err != nil || pages != newPages {
		t.Errorf("%d pages, %v; newPages is %d", pages, err, newPages)
	}
	if err := openAndRead(path); err != nil {
		t.Error(err)
	}
}
