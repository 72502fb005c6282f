package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Codes of aria2 for what can go wrong with finished files.
const (
	codeExists = 13
	codeRename = 14
)

// placement is where a task's finished files go. It is kept in the journal before
// anything is moved, so that after a crash the move is done once.
type placement struct {
	// Files are the finished ones, relative to the task's part folder.
	Files []model.File `json:"files"`
	// Target is the name in the download folder: of the one file itself if Single
	// (options.out), otherwise of a folder with the files in it (the task's id).
	Target string `json:"target"`
	Single bool   `json:"single"`
}

// newPlacement decides where the files that the engine names go.
func newPlacement(t *model.Task, files []model.File) (*placement, error) {
	p := &placement{Files: files, Target: t.ID}
	if out := t.Options["out"]; len(out) == 1 && len(files) == 1 {
		p.Target, p.Single = out[0], true
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *placement) check() error {
	if len(p.Files) == 0 {
		return errors.New("the engine names no finished file")
	}
	seen := make(map[string]bool, len(p.Files))
	for _, f := range p.Files {
		if !fs.ValidPath(f.Path) || f.Path == "." || f.Length < 0 || seen[f.Path] {
			return fmt.Errorf("the engine names the finished file %.200q, which is not a path inside its folder", f.Path)
		}
		seen[f.Path] = true
	}
	if p.Single && len(p.Files) != 1 {
		return errors.New("one name for several files")
	}
	return model.FileName(p.Target)
}

// results returns the finished files as they are told: relative to the download
// folder.
func (p *placement) results() (files []model.File, total int64) {
	for _, f := range p.Files {
		total += f.Length
		if p.Single {
			f.Path = p.Target
		} else {
			f.Path = p.Target + "/" + f.Path
		}
		files = append(files, f)
	}
	return files, total
}

// errFilesLost says that the finished bytes are neither where they were written nor
// where they should go: the task must be fetched again.
var errFilesLost = errors.New("the finished files are gone")

// refusal is an error that a report can carry.
type refusal struct {
	code    int
	class   model.Class
	message string
}

func (r *refusal) Error() string { return r.message }

// placeFiles puts a task's finished files where they belong, durably, and never over
// anything that is there. The engine has let go of them. It may be called again
// after a crash at any point, and finds out how far it came. The errors are
// *[refusal] and errLost.
func (a *downloadDir) placeFiles(id string, p *placement) error {
	src := partDir(id)
	if _, err := a.root.Lstat(src); errors.Is(err, fs.ErrNotExist) {
		return a.checkPlaced(p)
	}
	if p.Single {
		return a.placeFile(src, p)
	}
	return a.placeFolder(src, p)
}

// checkPlaced tells, where the part folder is gone, that an earlier call had moved it:
// nobody else touches part folders.
func (a *downloadDir) checkPlaced(p *placement) error {
	info, err := a.root.Lstat(p.Target)
	switch {
	case err != nil:
		return errFilesLost
	case p.Single && (!info.Mode().IsRegular() || info.Size() != p.Files[0].Length):
		return errFilesLost
	case !p.Single && !info.IsDir():
		return errFilesLost
	}
	return nil
}

// placeFile moves the one file. A hard link claims the name and fails if that
// exists, which a rename would not; where it was made before a crash, both names
// are the same file.
func (a *downloadDir) placeFile(src string, p *placement) error {
	from := src + "/" + p.Files[0].Path
	file, err := a.root.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) && a.checkPlaced(p) == nil {
		return a.removeParts(src, p)
	}
	if target, targetErr := a.root.Lstat(p.Target); err == nil && targetErr == nil && os.SameFile(file, target) {
		return a.removeParts(src, p)
	}
	if err := a.verifyParts(src, p); err != nil {
		return err
	}
	err = a.root.Link(from, p.Target)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EMLINK) {
		err = a.renameFile(from, p.Target)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return existsError(a, p)
	case err != nil:
		return placeError("renaming", p, err)
	}
	return a.removeParts(src, p)
}

// renameFile is for a file system without hard links (exFAT, some network mounts):
// that the name is free a moment before is as good as it gets there.
func (a *downloadDir) renameFile(from, to string) error {
	if _, err := a.root.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return a.root.Rename(from, to)
}

// removeParts removes what is left of a part folder whose file has its new name, once
// that name is sure to stay.
func (a *downloadDir) removeParts(src string, p *placement) error {
	if err := syncPath(a.root, "."); err != nil {
		return placeError("keeping", p, err)
	}
	if err := a.discard(src); err != nil {
		return placeError("clearing up after", p, err)
	}
	return nil
}

// placeFolder moves the part folder itself: [os.Root.Rename] replaces neither a
// file nor a folder by a folder.
func (a *downloadDir) placeFolder(src string, p *placement) error {
	if err := a.verifyParts(src, p); err != nil {
		return err
	}
	err := a.root.Rename(src, p.Target)
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
		return existsError(a, p)
	case err != nil:
		return placeError("renaming", p, err)
	}
	if err := syncPath(a.root, "."); err != nil {
		return placeError("keeping", p, err)
	}
	return nil
}

// verifyParts leaves in the part folder the finished files and nothing else: each is
// a regular file, reached through no link, of the length that was said, and on
// the disk.
func (a *downloadDir) verifyParts(src string, p *placement) error {
	dir, err := a.root.OpenRoot(src)
	if err != nil {
		return placeError("opening", p, err)
	}
	defer dir.Close()
	want := make(map[string]int64, len(p.Files))
	for _, f := range p.Files {
		want[f.Path] = f.Length
	}
	var folders []string
	err = fs.WalkDir(dir.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		length, wanted := want[path]
		switch {
		case err != nil:
			return err
		case wanted && !d.Type().IsRegular():
			return &refusal{download.CodeFileIO, model.ClassPermanent, fmt.Sprintf("%q is not a regular file", path)}
		case d.IsDir():
			folders = append(folders, path)
			return nil
		case !wanted:
			return dir.Remove(path) // a control file, a link, what was not selected
		}
		delete(want, path)
		return verifyPart(dir, path, length)
	})
	if err != nil {
		return placeError("checking", p, err)
	}
	for path := range want {
		return &refusal{download.CodeUnknown, model.ClassRetryable, fmt.Sprintf("the finished file %q is gone", path)}
	}
	for i := len(folders) - 1; i >= 0; i-- { // the deepest first
		if i > 0 && dir.Remove(folders[i]) == nil {
			continue // it was empty
		}
		if err := syncPath(dir, folders[i]); err != nil {
			return placeError("keeping", p, err)
		}
	}
	return nil
}

func verifyPart(dir *os.Root, path string, length int64) error {
	f, err := dir.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != length {
		return &refusal{download.CodeUnknown, model.ClassRetryable,
			fmt.Sprintf("the finished file %q has %d bytes, not %d", path, info.Size(), length)}
	}
	return f.Sync()
}

// removePlaced takes finished files away again: their task was canceled meanwhile.
func (a *downloadDir) removePlaced(p *placement) error {
	if a.checkPlaced(p) != nil {
		return nil
	}
	return a.discard(p.Target)
}

// deletePlaced deletes finished files, as results named them, and the folders that
// are empty then. It returns those that it left: files that are not the ones that
// were placed (another length, a link), or whose name no placement gives. Files that
// are gone count as deleted. What else is in the task's folder stays.
func (a *downloadDir) deletePlaced(id string, files []model.File) (kept []string, err error) {
	folders := map[string]bool{}
	for _, f := range files {
		dir, _, inFolder := strings.Cut(f.Path, "/")
		info, statErr := a.root.Lstat(f.Path)
		switch {
		case !fs.ValidPath(f.Path), inFolder && dir != id, !inFolder && (len(files) > 1 || model.FileName(f.Path) != nil),
			dir == stateDir, statErr == nil && (!info.Mode().IsRegular() || info.Size() != f.Length):
			kept = append(kept, f.Path)
			continue
		case errors.Is(statErr, fs.ErrNotExist):
		case statErr != nil:
			err = errors.Join(err, statErr)
			continue
		default:
			err = errors.Join(err, a.discard(f.Path))
		}
		for parent := path.Dir(f.Path); parent != "."; parent = path.Dir(parent) {
			folders[parent] = true
		}
	}
	for _, folder := range slices.SortedFunc(maps.Keys(folders), func(a, b string) int { return len(b) - len(a) }) {
		_ = a.root.Remove(folder) // it stays if it is not empty
	}
	return kept, err
}

func existsError(a *downloadDir, p *placement) error {
	return &refusal{codeExists, model.ClassPermanent,
		fmt.Sprintf("%s exists and is not overwritten", a.path+"/"+p.Target)}
}

// placeError makes a *[refusal] of what the file system said, unless err is one.
func placeError(doing string, p *placement, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	code := codeRename
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = download.CodeDiskFull
	}
	return &refusal{code, model.ClassWorker, fmt.Sprintf("%s the finished files of %s: %v", doing, p.Target, err)}
}
