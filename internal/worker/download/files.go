package download

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Wipe removes everything in dir, not dir itself. It follows no symbolic link.
func Wipe(dir string) error {
	return WipeExcept(dir, func(string) bool { return false })
}

// WipeExcept removes everything in dir except the entries whose name keep accepts.
func WipeExcept(dir string, keep func(name string) bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("wipe %s: %w", dir, err)
	}
	defer root.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("wipe %s: %w", dir, err)
	}
	for _, entry := range entries {
		if keep(entry.Name()) {
			continue
		}
		if err := root.RemoveAll(entry.Name()); err != nil {
			return fmt.Errorf("wipe %s: %w", dir, err)
		}
	}
	return nil
}

// Files checks that each path, relative to dir, is a regular file inside dir,
// and returns them with their lengths and the sum of these.
func Files(dir string, paths []string) ([]model.File, int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("finished files: %w", err)
	}
	defer root.Close()
	files := make([]model.File, 0, len(paths))
	var total int64
	for _, path := range paths {
		info, err := root.Lstat(path)
		if err != nil {
			return nil, 0, fmt.Errorf("finished files: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, 0, fmt.Errorf("finished files: %q is no regular file", path)
		}
		files = append(files, model.File{Path: filepath.ToSlash(path), Length: info.Size()})
		total += info.Size()
	}
	return files, total, nil
}
