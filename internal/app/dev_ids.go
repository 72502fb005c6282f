package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// idSource derives the ids of the URLs of one command line from the URLs, so that the
// same command finds its partial files again. An id with a finished file is skipped:
// the file is downloaded again, beside the first one, as is a URL that is given twice.
type idSource struct {
	dir  string // folder of the files
	used map[string]bool
}

func (s *idSource) of(url string) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", url, n))
		id := hex.EncodeToString(sum[:8])
		_, err := os.Lstat(filepath.Join(s.dir, id))
		if s.used[id] || !errors.Is(err, fs.ErrNotExist) && n < maxCopies {
			continue
		}
		s.used[id] = true
		return id
	}
}

// maxCopies limits the finished files of one URL that are checked. Beyond it the worker
// refuses to overwrite one.
const maxCopies = 10_000
