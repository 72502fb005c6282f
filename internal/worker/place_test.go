package worker

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// newDownloadDir returns a folder with finished files in the part folder of the task "a".
func newDownloadDir(t *testing.T, contents map[string]string) (*downloadDir, []model.File) {
	t.Helper()
	a, err := openDownloadDir(t.TempDir(), "w1")
	must(t, err)
	t.Cleanup(a.close)
	dir, _, err := a.jobDir("a")
	must(t, err)
	return a, writeAll(t, dir, contents)
}

func place(t *testing.T, a *downloadDir, out string, list []model.File) error {
	t.Helper()
	spec := task("a")
	if out != "" {
		spec.Options = model.Options{"out": {out}}
	}
	p, err := newPlacement(spec, list)
	if err != nil {
		return err
	}
	return a.placeFiles("a", p)
}

// Finished files are moved to their names.
func TestPlace_FinishedFilesGetTheirNames(t *testing.T) {
	for _, test := range []struct {
		name     string
		out      string
		contents map[string]string
		want     map[string]string
	}{
		{"one file with a name", "film.mkv", map[string]string{"x": "1"}, map[string]string{"film.mkv": "1"}},
		{"one file in a folder with a name", "film.mkv", map[string]string{"d/x": "1"}, map[string]string{"film.mkv": "1"}},
		{"an empty file with a name", "film.mkv", map[string]string{"x": ""}, map[string]string{"film.mkv": ""}},
		{"one file without a name", "", map[string]string{"x": "1"}, map[string]string{"a/x": "1"}},
		{"several files, so options.out is ignored", "film.mkv", map[string]string{"x": "1", "y/z": "2"}, map[string]string{"a/x": "1", "a/y/z": "2"}},
		{"a name like the task's own folder", "", map[string]string{"a": "1"}, map[string]string{"a/a": "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, list := newDownloadDir(t, test.contents)
			parts := filepath.Join(a.path, partDir("a"))
			write(t, parts, "x.aria2", "control")
			write(t, parts, "left/over", "not selected")
			must(t, os.Symlink("/etc/passwd", filepath.Join(parts, "link")))
			must(t, place(t, a, test.out, list))
			same(t, "files", files(t, a.path), test.want)
			if _, err := os.Lstat(parts); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the part folder is still there: %v", err)
			}
			for name := range test.want {
				info, err := os.Stat(filepath.Join(a.path, filepath.Dir(name)))
				must(t, err)
				if info.Mode().Perm()&0o500 != 0o500 || strings.Contains(name, "/") && info.Mode().Perm() == 0o700 {
					t.Errorf("the folder of %s has mode %v", name, info.Mode())
				}
			}
			must(t, place(t, a, test.out, list)) // once more, as after a crash
			same(t, "files", files(t, a.path), test.want)
		})
	}
}

// An existing file is never overwritten.
func TestPlace_ExistingNameIsNotOverwritten(t *testing.T) {
	inTheWay := map[string]func(t *testing.T, path string){
		"a file":        func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("mine"), 0o644)) },
		"a like file":   func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("1"), 0o644)) },
		"an empty file": func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o644)) },
		"a folder":      func(t *testing.T, path string) { must(t, os.MkdirAll(filepath.Join(path, "mine"), 0o755)) },
		"an empty one":  func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) },
		"a dead link":   func(t *testing.T, path string) { must(t, os.Symlink("nowhere", path)) },
		"a link out":    func(t *testing.T, path string) { must(t, os.Symlink("/tmp", path)) },
	}
	for _, what := range slices.Sorted(maps.Keys(inTheWay)) {
		for _, out := range []string{"", "film.mkv"} {
			t.Run(what+" in the way of "+out, func(t *testing.T) {
				a, list := newDownloadDir(t, map[string]string{"x": "1"})
				path := filepath.Join(a.path, map[string]string{"": "a", "film.mkv": "film.mkv"}[out])
				inTheWay[what](t, path)
				before, err := os.Lstat(path)
				must(t, err)
				var no *refusal
				if err := place(t, a, out, list); !errors.As(err, &no) {
					t.Fatalf("placed: %v", err)
				}
				same(t, "code and class", []any{no.code, no.class}, []any{13, model.ClassPermanent})
				if !strings.Contains(no.message, path) {
					t.Errorf("%q does not name %s", no.message, path)
				}
				after, err := os.Lstat(path)
				must(t, err)
				same(t, "what was there", after.ModTime(), before.ModTime())
				same(t, "the bytes", read(t, filepath.Join(a.path, partDir("a"), "x")), "1")
			})
		}
	}
	t.Run("not the worker's own folder either", func(t *testing.T) {
		a, list := newDownloadDir(t, map[string]string{"x": "1"})
		if place(t, a, stateDir, list) == nil {
			t.Error("placed over " + stateDir)
		}
	})
}

// On a file system without hard links files are renamed.
func TestPlace_RenamesWithoutHardLinks(t *testing.T) {
	a, _ := newDownloadDir(t, map[string]string{"x": "1"})
	must(t, a.renameFile(partDir("a")+"/x", "film.mkv"))
	write(t, a.path, partDir("a")+"/x", "2")
	if err := a.renameFile(partDir("a")+"/x", "film.mkv"); !errors.Is(err, os.ErrExist) {
		t.Errorf("renamed over a file: %v", err)
	}
	same(t, "files", files(t, a.path), map[string]string{"film.mkv": "1"})
}

// Only regular files inside the part folder are placed.
func TestPlace_OnlyRegularFilesAreMoved(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "x", "1")
	named := func(path string) []model.File { return []model.File{{Path: path, Length: 1}} }
	for _, test := range []struct {
		name string
		make func(parts string)
		list []model.File
	}{
		{"nothing", nil, nil},
		{"a path upwards", nil, named("../x")},
		{"an absolute path", nil, named(outside + "/x")},
		{"the folder itself", nil, named(".")},
		{"an unclean path", nil, named("d/../x")},
		{"the same one twice", nil, append(named("x"), named("x")...)},
		{"one that is not there", nil, named("y")},
		{"one of another length", nil, []model.File{{Path: "x", Length: 2}}},
		{"one of a negative length", nil, []model.File{{Path: "x", Length: -1}}},
		{"a folder", func(p string) { must(t, os.Mkdir(p+"/d", 0o755)) }, named("d")},
		{"a link out", func(p string) { must(t, os.Symlink(outside+"/x", p+"/l")) }, named("l")},
		{"a link inside", func(p string) { must(t, os.Symlink("x", p+"/l")) }, named("l")},
		{"a file through a link out", func(p string) { must(t, os.Symlink(outside, p+"/d")) }, named("d/x")},
		{"a file through a link inside", func(p string) { must(t, os.Symlink(".", p+"/d")) }, named("d/x")},
		{"a file through a link to the worker's own", func(p string) { must(t, os.Symlink("../..", p+"/d")) }, named("d/lock")},
	} {
		for _, out := range []string{"", "film.mkv"} {
			t.Run(test.name+" as "+out, func(t *testing.T) {
				a, _ := newDownloadDir(t, map[string]string{"x": "1"})
				if test.make != nil {
					test.make(filepath.Join(a.path, partDir("a")))
				}
				if err := place(t, a, out, test.list); err == nil {
					t.Error("placed")
				}
				same(t, "files", files(t, a.path), map[string]string{})
				same(t, "outside", files(t, outside), map[string]string{"x": "1"})
			})
		}
	}
}

// A part folder that is a link is not used.
func TestJobDir_LinkIsRefused(t *testing.T) {
	outside := t.TempDir()
	a, err := openDownloadDir(t.TempDir(), "w1")
	must(t, err)
	defer a.close()
	must(t, os.Symlink(outside, filepath.Join(a.path, partDir("a"))))
	if dir, _, err := a.jobDir("a"); err == nil {
		t.Errorf("the engine would write to %s", dir)
	}
	must(t, os.Symlink(outside, filepath.Join(a.path, partDir("b"))))
	must(t, a.discard(partDir("b")))
	must(t, a.emptyTrash())
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("discarding a link removed what it points to: %v", err)
	}
}

// A long list of files is cut to the size of a message.
func TestBoundFiles_FitsOneMessage(t *testing.T) {
	var many []model.File
	for range 5000 {
		many = append(many, model.File{Path: strings.Repeat("x", 200), Length: 1})
	}
	cut := boundFiles(many)
	r := model.Report{Result: &model.Result{Files: cut}}
	if len(cut) == 0 || estimatedSize(&r) > maxBody {
		t.Errorf("%d files of weight %d are left", len(cut), estimatedSize(&r))
	}
	same(t, "one that is too long alone", len(boundFiles([]model.File{{Path: strings.Repeat("x", 1<<20)}})), 1)
	same(t, "short ones", len(boundFiles(make([]model.File, 3000))), model.MaxResultFiles)
}

// Finished files are deleted and nothing else.
func TestDeletePlaced_DeletesFinishedFilesOnly(t *testing.T) {
	for name, c := range map[string]struct {
		has        map[string]string
		result     []model.File
		left       map[string]string
		kept       int
		keepFolder bool
	}{
		"a folder":              {map[string]string{"a/x": "1", "a/sub/y": "22"}, []model.File{{Path: "a/x", Length: 1}, {Path: "a/sub/y", Length: 2}}, nil, 0, false},
		"a named file":          {map[string]string{"film.mkv": "1"}, []model.File{{Path: "film.mkv", Length: 1}}, nil, 0, false},
		"already gone":          {nil, []model.File{{Path: "a/x", Length: 1}}, nil, 0, false},
		"another's file inside": {map[string]string{"a/x": "1", "a/notes": "n"}, []model.File{{Path: "a/x", Length: 1}}, map[string]string{"a/notes": "n"}, 0, true},
		"changed since":         {map[string]string{"a/x": "1 and more"}, []model.File{{Path: "a/x", Length: 1}}, map[string]string{"a/x": "1 and more"}, 1, true},
		"another task's folder": {map[string]string{"b/x": "1"}, []model.File{{Path: "b/x", Length: 1}}, map[string]string{"b/x": "1"}, 1, false},
		"out of the folder":     {map[string]string{"x": "1"}, []model.File{{Path: "../x", Length: 1}, {Path: "a/../x", Length: 1}, {Path: "/x", Length: 1}}, map[string]string{"x": "1"}, 3, false},
		"several without one":   {map[string]string{"x": "1", "y": "1"}, []model.File{{Path: "x", Length: 1}, {Path: "y", Length: 1}}, map[string]string{"x": "1", "y": "1"}, 2, false},
		"the worker's own":      {map[string]string{".aria/epoch": "1"}, []model.File{{Path: ".aria/epoch", Length: 1}}, nil, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := newDownloadDir(t, nil)
			writeAll(t, a.path, c.has)
			kept, err := a.deletePlaced("a", c.result)
			must(t, err)
			same(t, "kept", len(kept), c.kept)
			same(t, "files", files(t, a.path), c.left)
			if _, err := os.Lstat(filepath.Join(a.path, "a")); (err == nil) != c.keepFolder {
				t.Errorf("the task's folder: %v", err)
			}
		})
	}
}

// A link in the place of a finished file is not followed.
func TestDeletePlaced_LinkIsNotFollowed(t *testing.T) {
	a, _ := newDownloadDir(t, nil)
	outside := t.TempDir()
	write(t, outside, "x", "1")
	must(t, os.Symlink(outside, filepath.Join(a.path, "a")))
	_, err := a.deletePlaced("a", []model.File{{Path: "a/x", Length: 1}})
	if err == nil {
		t.Error("no error")
	}
	same(t, "files outside", files(t, outside), map[string]string{"x": "1"})
}
