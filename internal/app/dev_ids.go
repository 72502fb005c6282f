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

// idSource makes the ids of the URLs of one command line out of the URLs
// themselves, so that the same command finds its partial files again. An id that
// has a finished file already is passed over: the file is downloaded once more, next
// to the first, as is a URL that is given twice.
type idSource struct {
	dir  string // where the files go
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

// maxCopies bounds the finished files of one URL that are looked for. Beyond it the
// worker refuses to overwrite one.
const maxCopies = 10_000
