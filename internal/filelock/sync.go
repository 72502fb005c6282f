package filelock

import (
	"errors"
	"os"
)

// SyncDir makes the names in a folder durable: after it, a file that was created or
// renamed there has its name even if the machine loses power. It does not sync the
// content of the file.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
