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

// The exit codes of aria2 for failures with the files and folders of a task.
const (
	codeExists = 13
	codeRename = 14
	codeMkdir  = 18
)

// placement is the destination of a task's finished files. The journal has it before a
// file is moved, so that the move happens once also after a crash.
type placement struct {
	// Files are the finished files, relative to the task's part folder.
	Files []model.File `json:"files"`
	// Target is the name in the download folder: of the one file itself if Single
	// (options.out), otherwise of a folder with the files in it (the task's id).
	Target string `json:"target"`
	Single bool   `json:"single"`
	// Synced says that the engine has synced the bytes of the files.
	Synced bool `json:"synced,omitempty"`

	gather gathering // of the sync of the names
}

// newPlacement chooses the destination of the files that the engine names.
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

// results returns the finished files relative to the download folder, for the report.
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

// errFilesLost says that the finished files are neither in the part folder nor at their
// destination: the task must be downloaded again.
var errFilesLost = errors.New("the finished files are gone")

// refusal is an error that a report can carry.
type refusal struct {
	code    int
	class   model.Class
	message string
}

func (r *refusal) Error() string { return r.message }

// placeFiles moves a task's finished files to their destination, durably and without
// overwriting a file. The engine must have removed its job. It may be called again after
// a crash at any point and then continues. The errors are *[refusal] and errFilesLost.
func (a *downloadDir) placeFiles(id string, p *placement) error {
	if p.Single {
		return a.placeFile(id, p)
	}
	return a.placeFolder(id, p)
}

// verifyParts checks and syncs the finished files in the part folder, and removes everything
// else from it. moved says that the folder does not exist; then err is that of checkPlaced.
func (a *downloadDir) verifyParts(id string, p *placement) (moved bool, err error) {
	done, err := a.verifySingle(id, p)
	if done || err != nil {
		return false, err
	}
	dir, err := a.parts.OpenRoot(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, a.checkPlaced(p)
	case err != nil:
		return false, placeError("opening", p, err)
	}
	defer dir.Close()
	return false, verifyAll(dir, p)
}

// checkPlaced returns nil if an earlier call has moved the files. It is called when the
// part folder does not exist; only the worker moves part folders.
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

// placeFile moves a single file. A hard link fails if the name exists; a rename would
// not. After a crash both names may be the same file.
func (a *downloadDir) placeFile(id string, p *placement) error {
	src := partDir(id)
	from := src + "/" + p.Files[0].Path
	file, err := a.root.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) && a.checkPlaced(p) == nil {
		return a.removeParts(src, p)
	}
	if target, targetErr := a.root.Lstat(p.Target); err == nil && targetErr == nil && os.SameFile(file, target) {
		return a.removeParts(src, p)
	}
	if moved, err := a.verifyParts(id, p); moved || err != nil {
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

// renameFile is for a file system without hard links (exFAT, some network mounts). There
// it can only check that the name is free just before the rename.
func (a *downloadDir) renameFile(from, to string) error {
	if _, err := a.root.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return a.root.Rename(from, to)
}

// removeParts removes the rest of a part folder after the new name of its file is durable.
func (a *downloadDir) removeParts(src string, p *placement) error {
	if err := a.syncNames(p.gather); err != nil {
		return placeError("keeping", p, err)
	}
	if err := a.discard(src); err != nil {
		return placeError("clearing up after", p, err)
	}
	return nil
}

// placeFolder moves the part folder itself. It replaces neither a file nor a folder.
func (a *downloadDir) placeFolder(id string, p *placement) error {
	if moved, err := a.verifyParts(id, p); moved || err != nil {
		return err
	}
	err := renameNew(a.partsFile, id, a.self, p.Target)
	if errors.Is(err, errors.ErrUnsupported) {
		err = a.root.Rename(partDir(id), p.Target)
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
		return existsError(a, p)
	case err != nil:
		return placeError("renaming", p, err)
	}
	if err := a.syncNames(p.gather); err != nil {
		return placeError("keeping", p, err)
	}
	return nil
}

// verifyAll removes everything except the finished files from the part folder. It
// checks that each is a regular file without a link on its path and has the expected
// length, and syncs it.
func verifyAll(dir *os.Root, p *placement) error {
	want := make(map[string]int64, len(p.Files))
	for _, f := range p.Files {
		want[f.Path] = f.Length
	}
	var folders []string
	err := fs.WalkDir(dir.FS(), ".", func(path string, d fs.DirEntry, err error) error {
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
			return dir.Remove(path) // a control file, a link, a file that was not selected
		}
		delete(want, path)
		return verifyPart(dir, path, length, p.Synced)
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

// verifySingle does the work of verifyAll with fewer calls for the usual case: a folder
// with nothing but one file, whose bytes are synced. done is false for any other.
func (a *downloadDir) verifySingle(id string, p *placement) (done bool, err error) {
	if !p.Synced || len(p.Files) != 1 {
		return false, nil
	}
	self, err := a.parts.Open(id)
	if err != nil {
		return false, nil //nolint:nilerr // verifyParts finds the reason
	}
	defer self.Close()
	file := p.Files[0]
	names, err := self.Readdirnames(2)
	if err != nil || len(names) != 1 || names[0] != file.Path {
		return false, nil //nolint:nilerr // verifyAll finds the reason
	}
	if length, err := lengthAt(self, file.Path); err != nil || length != file.Length {
		return false, nil //nolint:nilerr // verifyAll finds the reason
	}
	if err := self.Sync(); err != nil {
		return false, placeError("keeping", p, err)
	}
	return true, nil
}

func verifyPart(dir *os.Root, path string, length int64, synced bool) error {
	if synced {
		info, err := dir.Lstat(path) // the caller has found a regular file
		if err != nil {
			return err
		}
		return checkLength(path, info.Size(), length)
	}
	f, err := dir.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := checkLength(path, info.Size(), length); err != nil {
		return err
	}
	return f.Sync()
}

func checkLength(path string, got, want int64) error {
	if got == want {
		return nil
	}
	return &refusal{download.CodeUnknown, model.ClassRetryable,
		fmt.Sprintf("the finished file %q has %d bytes, not %d", path, got, want)}
}

// removePlaced removes placed files whose task was canceled meanwhile.
func (a *downloadDir) removePlaced(p *placement) error {
	if a.checkPlaced(p) != nil {
		return nil
	}
	return a.discard(p.Target)
}

// deletePlaced deletes finished files by the names of results, and then empty folders. It
// returns the files that it kept: those that differ from the placed ones (another length,
// a link), or with a name that no placement has. Missing files count as deleted. Other
// files in the task's folder stay.
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

func existsError(a *downloadDir, p *placement) *refusal {
	return &refusal{codeExists, model.ClassPermanent,
		fmt.Sprintf("%s exists and is not overwritten", a.path+"/"+p.Target)}
}

// placeError converts an error of the file system to a *[refusal].
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
