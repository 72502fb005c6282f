package direct

import (
	"net/http"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// noteDuplicates notes the further sources that a response names. A task with passwords or headers
// has none: they are for the servers of its own sources only.
func (j *job) noteDuplicates(resp *http.Response) {
	found := download.Duplicates(resp)
	if len(found) == 0 || confides(j.Task) {
		return
	}
	for _, source := range found {
		if source != j.Task.URL && !slices.Contains(j.Task.Mirrors, source) && !slices.Contains(j.duplicates, source) {
			j.duplicates = append(j.duplicates, source)
		}
	}
	j.duplicates = j.duplicates[:min(len(j.duplicates), maxDuplicates)]
}

// maxDuplicates bounds the further sources of one job.
const maxDuplicates = 16

// useDuplicates continues with the sources that the servers have named, after the own ones of the
// task have failed with err as the last error. They are used in turn, each for the whole file unless
// the same strong ETag or a checksum proves its version. It is false without one, the second time,
// and if a server asks to wait.
func (t *tries) useDuplicates(err error, reached int64) bool {
	j := t.job
	if t.ownError != nil || len(j.duplicates) == 0 || download.MustWait(err) || t.limited != nil {
		return false
	}
	t.ownError = t.lastError(err, reached)
	t.sources, t.at, t.count, t.best, t.furthest = slices.Clone(j.duplicates), 0, 1, 0, 0
	if j.out == "" && t.folder.meta != nil { // the own source has named the file
		j.out = t.folder.meta.Name
	}
	j.unranged = false
	j.useOneConnection()
	j.log.Debug("the sources failed; those that they name are used", "error", download.Clean(t.ownError.Error()))
	return true
}
