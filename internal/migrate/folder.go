package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ensureFolder checks that the folder of a file to be written exists, and makes it with
// --mkdir. A folder that is missing is more often a mistyped path: a copy of a store
// would then be in an unexpected place.
func (p *program) ensureFolder(path string) error {
	folder := filepath.Dir(path)
	switch info, err := os.Stat(folder); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a folder", folder)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !p.o.mkdir:
		return fmt.Errorf("the folder %s does not exist; --mkdir makes it", folder)
	}
	p.o.logger.Debug("making the folder", "path", folder)
	return os.MkdirAll(folder, 0o700)
}
